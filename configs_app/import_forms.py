"""Where an import comes from: two files, an archive, or an instance."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from configs_app import archives
from console.errors import Refused
from instances_app.models import Environment, Instance, Kind


class FilesForm(forms.Form):
    webhooks = forms.FileField(required=False, allow_empty_file=True, label="webhooks.json")
    connections = forms.FileField(required=False, allow_empty_file=True, label="connections.json")

    def contents(self) -> dict[str, bytes]:
        """kind → bytes of the files that were chosen; one that is too large is not read."""
        found: dict[str, bytes] = {}
        for kind in Kind.values:
            file: UploadedFile[bytes] | None = self.cleaned_data[kind]
            if file is not None:
                size, limit = file.size or 0, settings.DOCUMENT_MAX_BYTES
                if size > limit:
                    raise Refused(f"{file.name} has {size:,} bytes; the limit is {limit:,}. Split the environment.")
                found[kind] = file.read()
        return found

    def origin(self) -> str:
        return " and ".join(str(self.cleaned_data[kind].name)[:60] for kind in Kind.values if self.cleaned_data[kind])


class ArchiveForm(forms.Form):
    archive = forms.FileField(label="Zip archive", help_text="Holds webhooks.json and connections.json, in any folder.")

    def contents(self) -> dict[str, bytes]:
        file = self.cleaned_data["archive"]
        return archives.documents_in(file, size=file.size, name=self.origin())

    def origin(self) -> str:
        return str(self.cleaned_data["archive"].name)[:120]


class InstanceForm(forms.Form):
    instance = forms.ModelChoiceField(Instance.objects.none(), label="Instance", empty_label=None)

    def __init__(self, *args: object, environment: Environment, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        chosen = self.fields["instance"]
        assert isinstance(chosen, forms.ModelChoiceField)
        chosen.queryset = environment.instances.managed().order_by("name")
