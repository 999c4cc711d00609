"""What was done, what was broken, and which promise did not hold: the evidence of one run."""

from __future__ import annotations

import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from enum import StrEnum
from pathlib import Path


class Promise(StrEnum):
    LOST = "lost"  # what was answered as done is not there
    STUCK = "stuck"  # something did not come to its end by itself
    HALF_APPLIED = "half_applied"  # an instance has a pair of documents that nobody published
    UNTRUE = "untrue"  # a state that the facts contradict, or that changed after it was final
    UNSEEN = "unseen"  # a part of the run itself broke: what it should have seen, nobody has


class Record:
    """Threads write here; every line also goes to a file."""

    def __init__(self, path: Path) -> None:
        self.faults: Counter[str] = Counter()
        self.deeds: Counter[str] = Counter()
        self.broken: dict[Promise, list[str]] = {promise: [] for promise in Promise}
        self._lock = threading.Lock()
        self._file = path.open("w", buffering=1)
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        with self._lock:
            self._file.write(f"{time.monotonic() - self._began:9.3f} {text}\n")

    def fault(self, kind: str, text: str = "") -> None:
        self.faults[kind] += 1
        self.say(f"fault  {kind} {text}")

    def deed(self, name: str, outcome: str, text: str = "") -> None:
        """What a person asked for, and whether it was done, refused, or is in doubt."""
        self.deeds[outcome] += 1
        self.say(f"deed   {name} {outcome} {text}")

    def violation(self, promise: Promise, text: str) -> None:
        with self._lock:
            known = self.broken[promise]
            if text in known:
                return
            known.append(text)
        self.say(f"BROKEN {promise} {text}")

    @property
    def holds(self) -> bool:
        return not any(self.broken.values())

    def close(self) -> None:
        self._file.close()


class Loop(ABC):
    """One part of a run, in a thread of its own: takes steps until it is told to stop."""

    def __init__(self, record: Record, name: str) -> None:
        self.record = record
        self.name = name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After the step that it is in."""
        self._over.set()

    def _run(self) -> None:
        try:
            while not self._over.wait(self.pause()):
                self.step()
            self.end()
        except Exception:
            self.record.violation(Promise.UNSEEN, f"{self.name} broke: {traceback.format_exc()}")

    @abstractmethod
    def pause(self) -> float:
        """Seconds before the next step."""

    @abstractmethod
    def step(self) -> None: ...

    def end(self) -> None:  # noqa: B027 - most have nothing to end
        """After the last step, in the same thread."""
