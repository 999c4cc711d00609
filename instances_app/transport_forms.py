"""Transport as an admin types it. Keys are never sent back to the browser."""

from __future__ import annotations

from typing import Any

from django import forms

from instances_app.certificates import LONGEST
from instances_app.forms import SecretArea

PLAIN = (("no", "https:// only"), ("yes", "https:// and plain http://"))
REASON = "Needed in a protected environment. That opens a review, which somebody else has to close."


TYPED = {"rows": 5, "spellcheck": "false", "autocomplete": "off"}


def _pem(*, label: str, help_text: str, widget: type[forms.Textarea] = forms.Textarea) -> forms.CharField:
    area = widget(attrs=TYPED)
    return forms.CharField(max_length=LONGEST, required=False, label=label, help_text=help_text, widget=area)


class PlainForm(forms.Form):
    plain_http = forms.ChoiceField(choices=PLAIN, label="Addresses of instances")
    reason = forms.CharField(required=False, max_length=500, help_text=f"To allow plain http. {REASON}")

    def __init__(self, data: Any = None, *, allowed: bool) -> None:
        super().__init__(data, initial={"plain_http": "yes" if allowed else "no"}, prefix="plain")


class AuthoritiesForm(forms.Form):
    authorities = _pem(
        label="CA certificates",
        help_text="PEM, one after the other; public. Empty: the CAs that this machine trusts.",
    )
    reason = forms.CharField(required=False, max_length=500, help_text=f"For every CA that was not trusted. {REASON}")

    def __init__(self, data: Any = None, *, pem: str) -> None:
        super().__init__(data, initial={"authorities": pem}, prefix="trust")


class CertificateForm(forms.Form):
    certificate = _pem(
        label="Client certificate",
        help_text="PEM; then the certificates that it is signed by, if instances do not have them.",
    )
    key = _pem(
        label="Private key",
        help_text="PEM, not encrypted. Sealed at once; nobody can read it back here, so after an error paste it again.",
        widget=SecretArea,
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, prefix="client")

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        for name, noun in (("certificate", "certificate"), ("key", "private key")):
            if not self.errors.get(name) and not data.get(name, "").strip():
                self.add_error(name, f"Paste the {noun}.")
        return data
