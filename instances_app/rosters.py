"""A fleet as a table: instances read from CSV, what each line would do, and doing it, all lines or none."""

from __future__ import annotations

import csv
import hmac
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.core.exceptions import ValidationError
from django.db import transaction

from console.errors import Refused
from console.models import User
from instances_app import registry
from instances_app.forms import LABEL
from instances_app.models import Environment, Exchange, Instance

COLUMNS = ("name", "base_url", "token", "labels")
MOST = 2000  # lines in one file
ADD, CHANGE, SAME, REFUSED = "new", "changed", "unchanged", "refused"
FORMULA = ("'=", "'+", "'-", "'@")  # what an export puts an apostrophe before


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file. `what`: what it would do, in words, or why it cannot; never the token."""

    number: int
    name: str
    base_url: str
    deed: str
    what: str = ""
    token: str = field(default="", repr=False)
    labels: dict[str, str] = field(default_factory=dict)


def read(environment: Environment, text: str) -> list[Line]:
    """What every line would do today; nothing is written. Refused says what is wrong with the file as a whole."""
    known = {one.name: one for one in environment.instances.active().defer("info")}
    return _lines(environment, _rows(text), known)


def carry_out(environment: Environment, text: str, *, actor: User) -> list[Line]:
    """Register the new ones and change the others, in one transaction; refused while one line is.

    Everything is locked and written in one order, whatever that of the file is, and the events come last: whoever
    checks or registers one of these instances meanwhile waits, or is waited for, and never both.
    """
    rows = _rows(text)
    with transaction.atomic():
        environment = Environment.objects.select_for_update(no_key=True).get(pk=environment.pk)
        named = environment.instances.active().filter(name__in=[row["name"] for _, row in rows]).defer("info")
        known = {one.name: one for one in named.order_by("pk").select_for_update(no_key=True)}
        lines = _lines(environment, rows, known)
        refused = [line for line in lines if line.deed == REFUSED]
        if refused:
            raise Refused(f"Line {refused[0].number}, {refused[0].name}: {refused[0].what}")
        changes = sorted((line for line in lines if line.deed == CHANGE), key=lambda line: known[line.name].pk)
        additions = sorted((line for line in lines if line.deed == ADD), key=lambda line: line.name)
        written = {line.number: _write(environment, line, known.get(line.name)) for line in changes + additions}
        for _, one in sorted(written.items()):
            registry.record(one, actor=actor)
    return lines


def _write(environment: Environment, line: Line, instance: Instance | None) -> registry.Written:
    facts = {"name": line.name, "base_url": line.base_url, "token": line.token}
    try:
        if instance is None:
            return registry.add(environment, **facts, labels=line.labels)
        return registry.edit(instance, **facts, labels=line.labels)
    except (Refused, ValidationError) as error:
        words = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        raise Refused(f"Line {line.number}, {line.name}: {words}") from None


def _lines(
    environment: Environment, rows: Sequence[tuple[int, dict[str, str]]], known: dict[str, Instance]
) -> list[Line]:
    urls = [row["base_url"] for _, row in rows]
    managed = dict(Instance.objects.active().filter(base_url__in=_clean(urls)).values_list("base_url", "pk"))
    switched = Exchange.objects.filter(instance__in=known.values(), switched_at__isnull=False)
    rotated = set(switched.values_list("instance_id", flat=True))
    taken: set[str] = set()
    return [_line(environment, number, row, known.get(row["name"]), managed, taken, rotated) for number, row in rows]


def labels_text(labels: dict[str, str]) -> str:
    """region=eu; tier=web"""
    return "; ".join(f"{key}={value}" for key, value in labels.items())


def _rows(text: str) -> list[tuple[int, dict[str, str]]]:
    """(line, column → cell) of every line that says something."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        heading = [name.strip().lower() for name in reader.fieldnames or ()]
        if not {"name", "base_url"} <= set(heading):
            raise Refused(f"The first line names the columns: {', '.join(COLUMNS)}, with commas. Others are ignored.")
        reader.fieldnames = heading
        found = []
        for row in reader:
            cells = {name: _cell(row.get(name)) for name in COLUMNS if name in heading}
            if any(cells.values()):
                found.append((reader.line_num, cells))
            if len(found) > MOST:
                raise Refused(f"More than {MOST:,} lines. Divide the file.")
    except csv.Error as error:
        raise Refused(f"Line {reader.line_num} is no CSV: {error}.") from None
    if not found:
        raise Refused("There is no instance in the file.")
    return found


def _cell(cell: str | None) -> str:
    text = (cell or "").replace("\0", "").strip()
    return text[1:] if text.startswith(FORMULA) else text


def _clean(urls: Sequence[str]) -> set[str]:
    found = set()
    for url in urls:
        try:
            found.add(registry.clean_base_url(url))
        except Refused:
            continue
    return found


def _line(
    environment: Environment,
    number: int,
    row: dict[str, str],
    instance: Instance | None,
    managed: dict[str, int],
    taken: set[str],
    rotated: set[int],
) -> Line:
    name, token = row["name"], row.get("token", "")
    try:
        url = registry.clean_base_url(row["base_url"])
        labels = _labels(row["labels"]) if "labels" in row else (instance.labels if instance else {})
        if not name or len(name) > 80:
            raise Refused("An instance needs a name of at most 80 characters.")
        if len(url) > 300:
            raise Refused("An address has at most 300 characters.")
        if {name, url} & taken:
            raise Refused("Another line has this name or this address.")
        if url in managed and (instance is None or managed[url] != instance.pk):
            raise Refused(f"{url} is managed already, under another name.")
        if refusal := registry.plain_refusal(environment, url):
            raise Refused(refusal)
        carried = registry.carry_refusal(environment, instance.base_url, url) if instance and not token else ""
        if carried:
            raise Refused(f"{carried} Put the token that the agent there has into this line.")
        if instance is None and not token:
            raise Refused("A new instance needs its agent's token.")
    except Refused as refusal:
        return Line(number, name, row["base_url"], REFUSED, str(refusal))
    taken |= {name, url}
    if instance is None:
        return Line(number, name, url, ADD, labels_text(labels), token, labels)
    parts = [f"address {instance.base_url} → {url}"] * (url != instance.base_url)
    parts += [f"labels {labels_text(instance.labels) or 'none'} → {labels_text(labels) or 'none'}"] * (
        labels != instance.labels
    )
    if token and not hmac.compare_digest(token.encode(), instance.target.token.encode()):
        # What a file has is likely to be the token that was dropped.
        parts.append("token, instead of the one that a rotation gave it" if instance.pk in rotated else "token")
    return Line(number, name, url, CHANGE if parts else SAME, ", ".join(parts), token, labels)


def _labels(cell: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for part in cell.replace("\n", ";").split(";"):
        if not part.strip():
            continue
        if not LABEL.match(part.strip()):
            raise Refused(f"{part.strip()[:60]!r} is not key=value; several labels stand apart with a semicolon.")
        key, _, value = part.strip().partition("=")
        labels[key] = value.strip()
    return labels
