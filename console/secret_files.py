"""`python3 -m console.secret_files [FOLDER]`: the secrets of docker-compose.yml, made once, one file each.

Standard library only: it runs before anything is installed. Files that exist are left alone, so running it again
after an upgrade adds only what is new. The folder is closed to others (0700); the files in it are readable,
because containers read them as accounts of their own.
"""

from __future__ import annotations

import base64
import secrets
import sys
from pathlib import Path

FOLDER = Path(".secrets")


def make(folder: Path, *, postgres: str = "postgres:5432", redis: str = "redis:6379") -> list[str]:
    """Write what is missing and return its names. `postgres` and `redis` are host:port as the containers see them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    made: list[str] = []

    def once(name: str, value: str) -> str:
        path = folder / name
        if not path.exists():
            path.write_text(value + "\n")
            made.append(name)
        return path.read_text().strip()

    password = once("postgres_password", secrets.token_hex(24))
    once("database_url", f"postgresql://console:{password}@{postgres}/console")
    redis_password = once("redis_password", secrets.token_hex(24))
    once("redis_url", f"redis://:{redis_password}@{redis}/0")
    once("secret_key", secrets.token_urlsafe(50))
    once("seal_keys", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    once("audit_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    once("instance_token", secrets.token_urlsafe(32))
    return made


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    made = make(target)
    sys.stdout.write(f"{target}: {', '.join(made) if made else 'nothing was missing'}\n")
