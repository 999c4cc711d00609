"""A file that something else writes on the console's machine, below one folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings as site

from instances_app.client.listing import LIMIT
from instances_app.discovery import asking, formats
from instances_app.discovery.found import Found, SourceError

TITLE = "File"
ABOUT = "A file below CONSOLE_DISCOVERY_DIR that something else writes, as JSON, YAML, CSV or lines."
SECRET = ""


class Settings(forms.Form):
    path = forms.CharField(max_length=300, help_text="Below CONSOLE_DISCOVERY_DIR. Example: eu/hooks.json")
    format = forms.ChoiceField(choices=formats.FORMATS)
    scheme = forms.ChoiceField(choices=asking.SCHEMES, help_text="For targets that name only host:port.")


def find(settings: dict[str, Any], *, secret: str) -> Iterable[Found]:
    return formats.parse(read(settings["path"]), settings["format"], scheme=settings["scheme"])


def read(path: str) -> bytes:
    """The content of a regular file below the folder, wherever links lead; raises SourceError."""
    if site.DISCOVERY_DIR is None:
        raise SourceError("Files are not read: CONSOLE_DISCOVERY_DIR is not set. Whoever runs the console sets it.")
    folder = Path(site.DISCOVERY_DIR).resolve()
    try:
        whole = (folder / path).resolve()
        if not whole.is_relative_to(folder):
            raise SourceError(f"{path} leads out of CONSOLE_DISCOVERY_DIR. Type a path below it.")
        # Not blocking: a pipe in its place would hold the worker.
        opened = os.open(whole, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or "its path cannot be used"
        raise SourceError(f"{path} cannot be read: {why}. Look at the path and at who may read it.") from None
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise SourceError(f"{path} is no file. Type the path of one.")
    with os.fdopen(opened, "rb") as file:
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise SourceError(f"{path} is larger than {LIMIT >> 20} MB. Split it.")
    return content
