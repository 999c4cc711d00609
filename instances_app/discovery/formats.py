"""Lists as files and servers keep them: JSON, YAML, CSV, or a line for each address."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from instances_app.discovery import static
from instances_app.discovery.found import Found, SourceError

FORMATS = (("json", "JSON"), ("yaml", "YAML"), ("csv", "CSV"), ("lines", "lines, as in a typed list"))
YAML_LIMIT = 2 * 1024 * 1024  # bytes
YAML_EVENTS = 500_000  # scalars, lists and objects, their beginnings and ends
YAML_DEPTH = 20
# Every scalar is a text: no `no` that becomes false, no port that becomes a time of day, and no object of Python's.
YamlLoader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
SHAPE = (
    'a list of addresses, of {"url": …, "name": …, "labels": {…}}, or of {"targets": ["host:port", …], "labels": {…}}'
)


def parse(content: bytes, form: str, *, scheme: str = "http") -> Iterable[Found]:
    """Raises SourceError, at the latest when it is read to its end. `scheme` is for targets without one."""
    if form == "json":
        return _entries(load(content), scheme, "JSON")
    if form == "yaml":
        return _entries(load_yaml(content), scheme, "YAML")
    return _csv(_text_of(content)) if form == "csv" else static.lines(_text_of(content))


def load(content: bytes) -> Any:
    """JSON; raises SourceError with the place for what is none."""
    try:
        return json.loads(_text_of(content))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SourceError(f"The answer is no JSON ({place}). Is this the right address or file?") from None
    except (ValueError, RecursionError):
        raise SourceError("The answer is no JSON that can be read: too deep, or a number too long.") from None


def load_yaml(content: bytes) -> Any:
    """YAML of one document, all of its scalars texts; raises SourceError with the place for what is none.

    It is looked through before anything is made of it. Aliases are refused: a few lines of them stand for more than
    any memory holds.
    """
    if len(content) > YAML_LIMIT:
        raise SourceError(f"More than {YAML_LIMIT >> 20} MB of YAML. Split it, or give it out as JSON.")
    text = _text_of(content)
    depth = 0
    try:
        for number, event in enumerate(yaml.parse(text, Loader=YamlLoader)):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                raise SourceError(f"Line {line} of the YAML has an alias (*). Write out what it stands for.")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > YAML_DEPTH or number > YAML_EVENTS:
                raise SourceError(f"The YAML is too deep or too long from line {line} on. Is this the right file?")
        return yaml.load(text, Loader=YamlLoader)  # noqa: S506 - it makes texts, lists and objects only
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise SourceError(f"The answer is no YAML of one document{place}. Is this the right address or file?") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SourceError("The answer is no YAML that can be read. Is this the right address or file?") from None


def _text_of(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError("The answer is not UTF-8 text. Is this the right address or file?") from None


def _entries(told: Any, scheme: str, noun: str) -> Iterator[Found]:
    if not isinstance(told, list):
        raise SourceError(f"The {noun} must be {SHAPE}.")
    for number, item in enumerate(told, start=1):
        if isinstance(item, str):
            yield Found(item)
        elif isinstance(item, dict) and isinstance(item.get("url"), str):
            yield Found(item["url"], _text(item.get("name")), _labels(item))
        elif isinstance(item, dict) and isinstance(item.get("targets"), list):
            for target in item["targets"]:
                address = str(target)
                yield Found(address if "://" in address else f"{scheme}://{address}", "", _labels(item))
        else:
            raise SourceError(f"Entry {number} of the {noun} is of another shape. It must be {SHAPE}.")


def _csv(text: str) -> Iterator[Found]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    try:
        if "url" not in (reader.fieldnames or []):
            raise SourceError("The first line of the CSV must name its columns: url, perhaps name, and labels.")
        for row in reader:
            rest = {key: value for key, value in row.items() if key and value and key not in {"url", "name"}}
            yield Found(row["url"] or "", row.get("name") or "", rest)
    except csv.Error as error:
        raise SourceError(f"Line {reader.line_num} of the CSV cannot be read: {error}.") from None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _labels(item: dict[str, Any]) -> dict[str, Any]:
    labels = item.get("labels")
    return labels if isinstance(labels, dict) else {}
