"""pytest fixtures for a real Chromium: the machine's own, else the one inside an npm package.

`@sparticuz/chromium` is a headless Chromium with the libraries and a font that a bare machine lacks. It comes
compressed; it is unpacked once into .cache/chromium with Node's zlib (Python has no brotli).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from console.bootstrap import ROOT
from console.embedded import assets

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A refusal, and a server that is away: what the browser and htmx say of it.
EXPECTED = ("status of 422", "net::ERR", "htmx:sendError", "htmx:afterRequest")
PACKAGE = ROOT / "assets" / "browser"
CACHE = ROOT / ".cache" / "chromium"
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""
UNPACK = """
const fs = require("fs"), path = require("path"), zlib = require("zlib");
const [from, to] = process.argv.slice(1);
for (const name of fs.readdirSync(from)) {
  if (name.endsWith(".br")) {
    const plain = zlib.brotliDecompressSync(fs.readFileSync(path.join(from, name)));
    fs.writeFileSync(path.join(to, name.slice(0, -3)), plain);
  }
}
"""


def chromium() -> tuple[Path, dict[str, str]]:
    """The executable and the environment it needs; makes it available on the first call."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return Path(found), {}
    return _unpacked()


def _unpacked() -> tuple[Path, dict[str, str]]:
    CACHE.parent.mkdir(exist_ok=True)
    with CACHE.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two test processes at once: the second finds the work done
        _unpack()
    libraries = [str(path.parent) for path in CACHE.rglob("libnss3.so")]
    return CACHE / "chromium", {
        "LD_LIBRARY_PATH": os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]).strip(os.pathsep),
        "FONTCONFIG_FILE": str(CACHE / "fonts.conf"),
    }


def _unpack() -> None:
    assets.install(PACKAGE)
    packed = PACKAGE / "node_modules" / "@sparticuz" / "chromium" / "bin"
    stamp = CACHE / "unpacked"
    version = hashlib.sha256((PACKAGE / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != version:
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        subprocess.run([str(assets.node()), "-e", UNPACK, str(packed), str(CACHE)], check=True)
        for archive in sorted(CACHE.glob("*.tar")):
            # The swiftshader libraries belong beside the binary, the others into folders of their own.
            into = CACHE if archive.stem == "swiftshader" else CACHE / archive.stem
            into.mkdir(exist_ok=True)
            subprocess.run(["tar", "-xf", str(archive), "-C", str(into)], check=True)
        (CACHE / "chromium").chmod(0o755)
        fonts = next(iter(sorted(CACHE.rglob("*.ttf"))), CACHE).parent
        (CACHE / "fonts.conf").write_text(FONTS.format(fonts=fonts, cache=CACHE / "fontcache"))
        stamp.write_text(version)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests run last: Playwright's event loop stays in this thread, and asyncio's own tests fail beside it."""
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    # Playwright's own Node wants a library that bare machines lack.
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(assets.node()))
    # Playwright's loop stays in this thread, and Django would refuse to be used beside it.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        executable, environment = chromium()
    except (subprocess.CalledProcessError, OSError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Chromium for this machine: {error}")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=str(executable), args=FLAGS, env={**os.environ, **environment}
        )
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages in contexts of their own: ``open_page(color_scheme="dark")``. Errors on a page fail the test."""
    contexts = []
    problems: list[str] = []

    def opened(**options: object) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        return page

    yield opened
    complaints = list(problems)  # before closing: that interrupts event streams, and the pages say so
    for context in contexts:
        context.close()
    unexpected = [text for text in complaints if not any(words in text for words in EXPECTED)]
    assert not unexpected, f"the page complained: {unexpected}"


if __name__ == "__main__":
    sys.stdout.write(f"{chromium()}\n")
