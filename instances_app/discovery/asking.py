"""What sources have in common that ask a server: its address as typed, the certificates to trust, one GET."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django import forms

from console.errors import Refused
from instances_app import registry
from instances_app.client import listing
from instances_app.client.listing import Listing, ListingError
from instances_app.discovery.found import SourceError

SCHEMES = (("http", "http"), ("https", "https"))


class UrlField(forms.CharField):
    """Where a server answers; judged as an instance's address is. A query may follow where `query` says so."""

    def __init__(self, *, query: bool = False, required: bool = True, help_text: str) -> None:
        widget = forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"})
        super().__init__(max_length=500, label="Address", required=required, help_text=help_text, widget=widget)
        self.query = query

    def clean(self, value: object) -> str:
        url: str = super().clean(value)
        try:
            if url or self.required:
                registry.clean_base_url(url.partition("?")[0] if self.query else url)
        except Refused as refusal:
            raise forms.ValidationError(str(refusal)) from None
        return url if urlsplit(url).path not in {"", "/"} else url.rstrip("/")


class PathField(forms.RegexField):
    """What stands before /admin in the addresses of instances."""

    def __init__(self) -> None:
        super().__init__(
            r"\A(/[A-Za-z0-9._~-]+)+\Z",
            required=False,
            max_length=100,
            label="Path before /admin",
            help_text="Usually empty. Example: /hooks",
        )


class AuthorityField(forms.CharField):
    """Certificates to trust, as PEM."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            max_length=100_000,
            label="CA certificate",
            help_text="PEM, for a server whose certificate the machine does not trust; it alone is trusted then.",
            widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        )

    def clean(self, value: object) -> str:
        text: str = super().clean(value)
        try:
            if text:
                ssl.create_default_context(cadata=text)
        except (ssl.SSLError, ValueError):
            raise forms.ValidationError("This is no certificate in PEM, with its BEGIN and END lines.") from None
        return text


def address(settings: dict[str, Any], host: object, port: object) -> str:
    """An instance's, by the scheme and the path that were typed."""
    return f"{settings['scheme']}://{f'[{host}]' if ':' in str(host) else host}:{port}{settings['path']}"


def get(
    url: str,
    headers: Mapping[str, str],
    *,
    what: str,
    authority: str = "",
    client: tuple[str, str] = ("", ""),
    seconds: float | None = None,
) -> Listing:
    """Raises SourceError with what is wrong and what to do. `client`: a certificate and its key."""
    if any(mark in value for value in headers.values() for mark in "\r\n\0") or not all(
        map(str.isascii, headers.values())
    ):
        raise SourceError("The stored token has characters in it that no token has. Store it again.")
    try:
        return listing.fetch(
            url, headers=headers, authority=authority, client=client, what=what, seconds=seconds or listing.SECONDS
        )
    except ListingError as error:
        raise SourceError(str(error)) from None
