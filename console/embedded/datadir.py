"""The data folder: where everything lives that must survive, and the secrets that are made once.

postgres/ redis/     the services' own files       logs/              what the processes print
secret_key seal_keys audit_key  made once, 0600    credentials.json   generated sign-ins
checkpoints/         signed states of the audit trail
demo.json            sample instances and tokens   instances.json     their addresses
up.lock              held while `up` runs; says its URL
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any, TextIO

from console.bootstrap import ROOT

LONGEST_SOCKET = 100  # sun_path holds 108 bytes


def path() -> Path:
    """CONSOLE_DATA_DIR, or .data in the project folder; made if it is not there."""
    folder = Path(os.environ.get("CONSOLE_DATA_DIR") or ROOT / ".data").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # Postgres may run as another account and has to pass through; what is secret in here is 0600 itself.
    folder.chmod(0o711)
    return folder


def environment(data: Path, *, database_url: str, redis_url: str) -> dict[str, str]:
    """What every process of this data folder needs to know."""
    return {
        "CONSOLE_DATA_DIR": str(data),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY_FILE": str(_once(data / "secret_key", secrets.token_urlsafe(50))),
        "CONSOLE_SEAL_KEYS_FILE": str(_once(data / "seal_keys", _new_key())),
        "CONSOLE_AUDIT_KEY_FILE": str(_once(data / "audit_key", _new_key())),
    }


def placeholders() -> None:
    """Settings load, nothing can be reached: for commands that ask no service."""
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    os.environ.setdefault("CONSOLE_SEAL_KEYS", _new_key())


def socket_folder(wanted: Path) -> Path:
    """`wanted`, or a short private folder in its place where a socket path in it would be too long."""
    if len(str(wanted).encode()) + len("/.s.PGSQL.5432") <= LONGEST_SOCKET:
        return wanted
    name = hashlib.sha256(str(wanted).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"webhook-console-{os.getuid()}-{name}"


def write_private(target: Path, content: str) -> None:
    """Replace a file that only its owner may read; a reader sees the old content or the new one."""
    temporary = target.with_name(target.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, target)


class Running:
    """The lock that says "`up` runs here", and at which address."""

    def __init__(self, data: Path) -> None:
        self._path = data / "up.lock"
        self._file: TextIO | None = None

    def take(self) -> bool:
        """Whether it was free; it is held until this process ends, however it ends."""
        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.seek(0)
        file.truncate()
        file.flush()
        self._file = file
        return True

    def say(self, **facts: Any) -> None:
        if self._file is None:
            raise RuntimeError("take the lock first")
        self._file.seek(0)
        self._file.truncate()
        json.dump(facts, self._file)
        self._file.flush()

    def facts(self) -> dict[str, Any] | None:
        """What the holder said; None when nobody holds it."""
        if not self._path.exists():
            return None
        with self._path.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                try:
                    facts = json.load(file)
                except ValueError:
                    return {}
                return facts if isinstance(facts, dict) else {}
        return None


def _new_key() -> str:
    """32 random bytes, as Fernet and Ed25519 both take them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _once(target: Path, value: str) -> Path:
    if not target.exists():
        write_private(target, value + "\n")
    return target
