"""Telling a console that this instance is there: at its start and now and then, in a thread of its own.

Nothing here delays, breaks or outlives the host. The console keeps what it is told for a person to accept; the join
token opens nothing else, and is never logged.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import logging
import os
import random
import re
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from webhook_agent.version import __version__

log = logging.getLogger("webhook_agent")

PATH = "/api/agents/register"
TRIES = 8  # in a round; then the next round
FIRST_SECONDS = 1.0  # at most, before the first try: many instances start together
BACKOFF_SECONDS = 1.0  # doubled with each try, up to
LONGEST_BACKOFF = 60.0
EVERY_SECONDS = 900.0  # from round to round: a console forgets whoever is silent
LONGEST_RETRY_AFTER = 300.0
TIMEOUT = 10.0  # seconds, of one step
ANSWER_LIMIT = 16 * 1024  # bytes
LOCK = ".webhook_agent.announcing"
DIGITS = re.compile(r"\A[0-9]{1,5}\Z")
STATE = re.compile(r"\A[a-z ]{1,20}\Z")
LABEL = re.compile(r"\A\s*([A-Za-z][\w.-]*)\s*=\s*(.*?)\s*\Z")


@dataclass(frozen=True)
class Announce:
    """Whom to tell, and what. `console` and `base_url` are http(s) addresses; raises ValueError for anything else."""

    console: str
    join_token: str = field(repr=False)
    base_url: str
    name: str = ""  # empty: the agent's instance_id
    labels: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""  # certificates in PEM to trust instead of the machine's

    def __post_init__(self) -> None:
        for what, address in (("console", self.console), ("base_url", self.base_url)):
            parts = urlsplit(address)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
                raise ValueError(f"{what}: must be an address such as https://name:8000")
            parts.port  # noqa: B018 - raises ValueError for a port that is none
        if not self.join_token or any(not "!" <= mark <= "~" for mark in self.join_token):
            raise ValueError("join_token: must be the token that the console has shown")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, *, base_url: str = "") -> Announce | None:
        """As WEBHOOK_CONSOLE_… says; None where there is no WEBHOOK_CONSOLE_URL, or what there is makes no sense."""
        console = environ.get("WEBHOOK_CONSOLE_URL", "")
        if not console:
            return None
        try:
            token = environ.get("WEBHOOK_CONSOLE_JOIN_TOKEN", "")
            if environ.get("WEBHOOK_CONSOLE_JOIN_TOKEN_FILE"):
                token = Path(environ["WEBHOOK_CONSOLE_JOIN_TOKEN_FILE"]).read_text()
            return cls(
                console=console,
                join_token=token.strip(),
                base_url=environ.get("WEBHOOK_CONSOLE_BASE_URL", "") or base_url,
                name=environ.get("WEBHOOK_CONSOLE_NAME", ""),
                labels=_labels(environ.get("WEBHOOK_CONSOLE_LABELS", "")),
                ca_file=environ.get("WEBHOOK_CONSOLE_CA_FILE", ""),
            )
        except OSError as error:
            log.error("Not announced to a console: the join token's file: %s", error.strerror or type(error).__name__)
        except ValueError as error:
            log.error("Not announced to a console: %s (WEBHOOK_CONSOLE_…)", error)
        return None


class _Refused(Exception):
    """The console said no: trying again soon would not help."""


class _Later(Exception):
    """No answer, or one that says so; `seconds` that it wants to be left alone."""

    def __init__(self, words: str, seconds: float = 0.0) -> None:
        super().__init__(words)
        self.seconds = seconds


class Announcer:
    """Of several worker processes one announces: whoever holds the lock in the state folder."""

    def __init__(self, announce: Announce, *, name: str, folder: Path, every: float = EVERY_SECONDS) -> None:
        self._announce = announce
        self._folder = folder
        self._every = every
        self._where = urlsplit(announce.console).hostname or ""
        told = {"base_url": announce.base_url, "name": announce.name or name, "labels": dict(announce.labels)}
        self._body = json.dumps(told).encode()
        self._process = 0
        self._stop = threading.Event()
        self._said = ""
        self._lock = -1

    def start(self) -> None:
        """Once in a process; returns at once and never raises."""
        if self._process == os.getpid():
            return
        if self._process:  # forked after its start: a lock of the process before is not this one's
            self._lock = -1
        self._process, self._stop = os.getpid(), threading.Event()
        thread = threading.Thread(target=self._run, args=(self._stop,), name="webhook_agent.joining", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            log.error("Not announced to a console: no thread can be started.")

    def stop(self) -> None:
        self._stop.set()
        self._process = 0

    def _run(self, stop: threading.Event) -> None:
        wait = _between(0, FIRST_SECONDS)
        try:
            while not stop.wait(wait):
                if self._is_ours():
                    self._round(stop)
                wait = self._every * _between(0.8, 1.2)
        except Exception:
            log.exception("Announcing to the console ended.")
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    def _round(self, stop: threading.Event) -> None:
        for wait in _waits():
            try:
                self._say(logging.INFO, f"Announced to the console at {self._where}: {self._tell()}.")
                return
            except _Refused as refusal:
                self._say(logging.ERROR, f"The console at {self._where} does not take the announcement: {refusal}")
                return
            except _Later as later:
                self._say(logging.WARNING, f"Not announced yet to the console at {self._where}: {later}")
                if stop.wait(max(wait, later.seconds)):
                    return

    def _say(self, level: int, words: str) -> None:
        """Once, however often it is so."""
        if words != self._said:
            self._said = words
            log.log(level, "%s", words)

    def _tell(self) -> str:
        """One POST; the state that the instance has there. No redirects, no proxies. Raises _Refused or _Later."""
        parts = urlsplit(self._announce.console)
        headers = {
            "Authorization": f"Bearer {self._announce.join_token}",
            "Content-Type": "application/json",
            "User-Agent": f"webhook-agent/{__version__}",
        }
        connection: http.client.HTTPConnection
        try:
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=self._announce.ca_file or None)
                connection = http.client.HTTPSConnection(
                    parts.hostname or "", parts.port, timeout=TIMEOUT, context=context
                )
            else:
                connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
            with contextlib.closing(connection):
                connection.request("POST", parts.path.rstrip("/") + PATH, body=self._body, headers=headers)
                answer = connection.getresponse()
                content = answer.read(ANSWER_LIMIT)
                return _state(answer.status, answer.getheader("Retry-After") or "", content)
        except ssl.SSLCertVerificationError as error:
            raise _Later(f"its certificate is not trusted ({error.verify_message})") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Later(getattr(error, "strerror", None) or type(error).__name__) from None

    def _is_ours(self) -> bool:
        """Whether this process announces. Where nothing can be locked, every one does: it changes nothing there."""
        if self._lock >= 0:
            return True
        try:
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return True
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True


def _between(least: float, most: float) -> float:
    return random.uniform(least, most)  # noqa: S311 - spreads requests, hides nothing


def _waits() -> Iterator[float]:
    """Seconds after each try that brought no answer, with full jitter."""
    for number in range(TRIES):
        yield _between(0.1, 1) * min(LONGEST_BACKOFF, BACKOFF_SECONDS * 2**number)


def _state(status: int, retry_after: str, content: bytes) -> str:
    if status in (408, 429) or status >= 500:
        seconds = float(retry_after) if DIGITS.match(retry_after) else 0.0
        raise _Later(f"it answers HTTP {status}", min(seconds, LONGEST_RETRY_AFTER))
    try:
        said = json.loads(content)
        said = said if isinstance(said, dict) else {}
    except (ValueError, RecursionError):
        said = {}
    if 200 <= status < 300:
        state = said.get("state")
        return state if isinstance(state, str) and STATE.match(state) else "taken"
    if status == 401:
        raise _Refused("its join token has ended, or the source is paused (HTTP 401).")
    if 300 <= status < 400:
        raise _Refused(f"it redirects (HTTP {status}); WEBHOOK_CONSOLE_URL must be where it leads to.")
    reason = said.get("error")
    words = " ".join(reason[:300].split()) if isinstance(reason, str) and reason.isprintable() else "without a reason"
    raise _Refused(f"HTTP {status}, {words}")


def _labels(text: str) -> dict[str, str]:
    """`region=eu,tier=web`; raises ValueError."""
    found = {}
    for part in filter(str.strip, text.split(",")):
        match = LABEL.match(part)
        if not match:
            raise ValueError("labels: must be key=value, with commas between")
        found[match[1]] = match[2]
    return found
