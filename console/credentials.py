"""Generated passwords: shown once, and kept in credentials.json (readable by its owner only) in the data folder."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping

from django.conf import settings

ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that look alike


def new_password() -> str:
    """Five groups of four characters, about 116 bits."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(4)) for _ in range(5))


def keep(people: Mapping[str, tuple[str, str]]) -> None:
    """Write role → username and password, replacing the file at once: a reader sees the old one or the new one."""
    path = settings.DATA_DIR / "credentials.json"
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    content = {role: {"username": name, "password": password} for role, (name, password) in people.items()}
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
