"""A list that a server gives out over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from instances_app.discovery import asking, formats
from instances_app.discovery.found import Found

TITLE = "HTTP list"
ABOUT = (
    "A list that a server gives out, as JSON, YAML, CSV or lines: an inventory, or targets as Prometheus reads them."
)
SECRET = "Bearer token"  # noqa: S105 - a label


class Settings(forms.Form):
    url = asking.UrlField(
        query=True, help_text="Example: https://inventory.example/hooks.json. Secrets belong into the token, not here."
    )
    format = forms.ChoiceField(choices=formats.FORMATS)
    scheme = forms.ChoiceField(choices=asking.SCHEMES, help_text="For targets that name only host:port.")
    authority = asking.AuthorityField()


def find(settings: dict[str, Any], *, secret: str) -> Iterable[Found]:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    answer = asking.get(settings["url"], headers, what="the server", authority=settings["authority"])
    return formats.parse(answer.content, settings["format"], scheme=settings["scheme"])
