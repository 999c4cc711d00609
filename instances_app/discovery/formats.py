"""Lists as files and servers keep them: JSON, CSV, or a line for each address."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from instances_app.discovery import static
from instances_app.discovery.found import Found, SourceError

FORMATS = (("json", "JSON"), ("csv", "CSV"), ("lines", "lines, as in a typed list"))
JSON_SHAPE = (
    'a list of addresses, of {"url": …, "name": …, "labels": {…}}, or of {"targets": ["host:port", …], "labels": {…}}'
)


def parse(content: bytes, form: str, *, scheme: str = "http") -> Iterable[Found]:
    """Raises SourceError, at the latest when it is read to its end. `scheme` is for targets without one."""
    if form == "json":
        return _json(load(content), scheme)
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


def _text_of(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError("The answer is not UTF-8 text. Is this the right address or file?") from None


def _json(told: Any, scheme: str) -> Iterator[Found]:
    if not isinstance(told, list):
        raise SourceError(f"The JSON must be {JSON_SHAPE}.")
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
            raise SourceError(f"Entry {number} of the JSON is of another shape. It must be {JSON_SHAPE}.")


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
