"""From a bare Python to a running command: makes .venv from the locked requirements, then starts again inside it.

Standard library only, and old syntax enough for any Python 3.11. In an environment of your own (an activated one
with Django in it, or CONSOLE_BOOTSTRAP=0, as in the container) nothing is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
RUN_LOCK = ROOT / "requirements.lock"
TEST_LOCK = ROOT / "requirements-test.lock"  # everything of RUN_LOCK, and the tests' packages
OLDEST, NEWEST = (3, 11), (3, 13)  # the embedded Redis has wheels for these


def main(argv: list[str]) -> int:
    """Run one command line; returns its exit code (or never: the process is replaced)."""
    if sys.version_info < OLDEST:
        return _fail(f"Webhook Console needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    command = argv[1] if len(argv) > 1 else "help"
    if Path(sys.prefix).resolve() != VENV.resolve() and not _own_environment():
        try:
            _install(TEST_LOCK if command == "test" else RUN_LOCK)
        except (subprocess.CalledProcessError, OSError) as error:
            return _fail(f"Setting up .venv failed: {error}\nIs the package index reachable? Then try again.")
        _enter(argv)
    from console.embedded import commands  # the packages are there from here on

    return commands.run(argv)


def _own_environment() -> bool:
    if os.environ.get("CONSOLE_BOOTSTRAP") == "0":
        return True
    return sys.prefix != sys.base_prefix and importlib.util.find_spec("django") is not None


def _enter(argv: list[str]) -> None:
    """Replace this process, so that whoever started it still holds its process id."""
    environment = dict(os.environ)
    # With these set every process would compile all its imports again, or find other packages.
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__"):
        environment.pop(name, None)
    os.execve(str(PYTHON), [str(PYTHON), str(ROOT / "manage.py"), *argv[1:]], environment)


def _install(lock: Path) -> None:
    with (ROOT / ".venv.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two commands at once: the second finds the work done
        stamp = VENV / "installed"
        if PYTHON.exists() and stamp.exists() and stamp.read_text() in {_stamp(lock), _stamp(TEST_LOCK)}:
            return
        interpreter = _interpreter()
        print(f"Setting up .venv (once; {lock.name})", file=sys.stderr, flush=True)
        if not PYTHON.exists() or not _same_version(interpreter):
            shutil.rmtree(VENV, ignore_errors=True)
            _create(interpreter, lock)
        stamp.unlink(missing_ok=True)
        _sync(interpreter, lock)
        stamp.write_text(_stamp(lock))


def _create(interpreter: str, lock: Path) -> None:
    """A venv with uv in it: with the machine's pip if it is new enough, else with ensurepip's."""
    with tempfile.TemporaryDirectory() as folder:
        only_uv = Path(folder) / "uv.txt"
        only_uv.write_text(_pinned("uv", lock))
        wanted = ["install", "--quiet", "--require-hashes", "--disable-pip-version-check", "-r", str(only_uv)]
        try:
            _run(interpreter, "-m", "venv", "--without-pip", str(VENV))
            _run(interpreter, "-m", "pip", "--python", str(PYTHON), *wanted)
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            _run(interpreter, "-m", "venv", str(VENV))
            _run(str(PYTHON), "-m", "pip", *wanted)


def _sync(interpreter: str, lock: Path) -> None:
    uv = VENV / "bin" / "uv"
    # The machine's own certificates: a company's proxy is known there, and nowhere else.
    options = ["--quiet", "--system-certs", "--require-hashes", "--compile-bytecode", "--python", str(PYTHON)]
    try:
        if uv.exists():
            _run(str(uv), "pip", "sync", *options, str(lock))
            return
    except subprocess.CalledProcessError:
        print("uv could not install them; trying pip, which takes longer.", file=sys.stderr, flush=True)
    _run(interpreter, "-m", "venv", "--upgrade", str(VENV))
    _run(str(PYTHON), "-m", "ensurepip", "--upgrade")
    _run(str(PYTHON), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock))


def _interpreter() -> str:
    """This Python if the wheels cover it, else a covered one on PATH, else this one with a warning."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return str(base)
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            print(f"Using {found}: this Python is newer than the embedded Redis.", file=sys.stderr)
            return found
    print("This Python is newer than the embedded Redis; a redis-server on PATH is needed.", file=sys.stderr)
    return str(base)


def _same_version(interpreter: str) -> bool:
    ask = "import sys; print(sys.version)"
    answers = {subprocess.run([who, "-c", ask], capture_output=True, text=True).stdout for who in (interpreter, PYTHON)}
    return len(answers) == 1


def _pinned(name: str, lock: Path) -> str:
    """The lock's lines of one package, hashes included."""
    found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*$", lock.read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{lock.name} does not pin {name}")
    return found.group() + "\n"


def _stamp(lock: Path) -> str:
    content = lock.read_bytes() + str(VENV).encode()
    return hashlib.sha256(content).hexdigest()


def _run(*words: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    subprocess.run(words, check=True, stdout=sys.stderr, env=environment)


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
