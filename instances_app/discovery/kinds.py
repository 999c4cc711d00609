"""The table of sources. To add one, copy a neighbour and name it here and in `SourceKind`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from django import forms

from instances_app.discovery import consul, dns, file, http, joining, kubernetes, static
from instances_app.discovery.found import Found
from instances_app.models import SourceKind


class Kind(Protocol):
    """What the module of a source has."""

    TITLE: str
    ABOUT: str  # one sentence: what it reads, and when to take it
    SECRET: str  # how the secret is called that the source asks for; empty: it asks for none

    @property
    def Settings(self) -> type[forms.Form]:
        """What a person types; its cleaned data are kept as JSON."""

    def find(self, settings: dict[str, Any], *, secret: str) -> Iterable[Found]:
        """Everything it tells of, within some twenty seconds; `settings` as typed, and `source`, the source's id.

        Raises SourceError; an empty answer is an answer.
        """


KINDS: dict[str, Kind] = {
    SourceKind.STATIC: static,
    SourceKind.FILE: file,
    SourceKind.HTTP: http,
    SourceKind.DNS: dns,
    SourceKind.CONSUL: consul,
    SourceKind.KUBERNETES: kubernetes,
    SourceKind.JOINING: joining,
}
