"""The host application as the agent sees it: callables, sync or async, that say no by raising."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from webhook_agent import placeholders
from webhook_agent.errors import Rejected, ReloadFailed
from webhook_agent.protocol import Document

log = logging.getLogger("webhook_agent")

MAX_REASON = 500  # characters of a host's reason that are passed on
RESOLVE_SECONDS = 5.0  # the longest that a host is given to say what it can resolve
QUOTES = "The host's reason quotes what a placeholder stands for here, so it is only in the instance's log."
_SHORTEST_HIDDEN = 3  # characters of such a value; a shorter one stands in many words

Reload = Callable[[tuple[str, ...]], Any]
Validate = Callable[[str, Document], Any]
Started = Callable[[], Any]
CanResolve = Callable[[Sequence[str]], Any]


class Host:
    """Calls the host's `reload` and `validate`: a sync one in a thread, an async one on the event loop."""

    def __init__(
        self,
        *,
        reload: Reload,
        validate: Validate | None,
        started: Started | None = None,
        can_resolve: CanResolve | None = None,
        hidden: Iterable[str] = (),
        paths: Iterable[Path] = (),
    ) -> None:
        """`hidden` are strings (paths, tokens) that no reason may carry to the wire; `paths` those of the documents."""
        self._reload = reload
        self._validate = validate
        self._started = started
        self._can_resolve = can_resolve
        self._paths = tuple(paths)
        self._refused: set[str] = set()  # what variables stand for, of the files it refused last
        self._hidden = sorted({text for text in hidden if len(text) > 1}, key=len, reverse=True)

    @property
    def validates(self) -> bool:
        """Whether the host judges documents itself; else only their shape is looked at before they are loaded."""
        return self._validate is not None

    async def validate(self, kind: str, document: Document) -> None:
        """Raises Rejected, also when the validator itself breaks: an unjudged document is not written.

        A host that resolves placeholders may quote what they stand for. Whoever can send a document could so read any
        variable here; so a reason that quotes one of those that it names is not told.
        """
        if self._validate is None:
            return
        try:
            await _call(self._validate, kind, document)
        except Rejected as refusal:
            raise Rejected(self._clean(refusal.reason, values=_values(document))) from None
        except Exception as error:
            log.exception("The host's validator broke on a %s document.", kind)
            raise Rejected(f"The host's validator broke ({type(error).__name__}).") from None

    async def reload(self, kinds: Iterable[str]) -> None:
        """Raises ReloadFailed, also when the host breaks while loading."""
        try:
            await _call(self._reload, tuple(kinds))
        except ReloadFailed as failure:
            raise ReloadFailed(await self._clean_of_files(failure.reason)) from None
        except Exception as error:
            log.exception("The host broke while loading its documents.")
            raise ReloadFailed(f"The host broke while loading ({type(error).__name__}).") from None

    async def started(self) -> str:
        """Why the host came up without its files, or nothing."""
        if self._started is None:
            return ""
        try:
            await _call(self._started)
        except ReloadFailed as failure:
            return await self._clean_of_files(failure.reason)
        except Exception as error:
            log.exception("Asking the host whether it has loaded its documents failed.")
            return f"The host broke while starting ({type(error).__name__})."
        return ""

    async def can_resolve(self, names: Sequence[str]) -> dict[str, bool]:
        """name → whether there is a value for it. Names of which nobody knows are left out.

        The host is asked first; what it does not say of a variable, the environment of this process does.
        """
        told = {name: name in os.environ for name in names if not name.startswith("vault:")}
        if self._can_resolve is None or not names:
            return told
        try:
            said = await asyncio.wait_for(_call(self._can_resolve, tuple(names)), RESOLVE_SECONDS)
        except asyncio.TimeoutError:
            log.warning("The host did not say within %.0f seconds what it can resolve.", RESOLVE_SECONDS)
            return {}
        except Exception:
            log.exception("Asking the host what it can resolve failed.")
            return {}
        said = said if isinstance(said, Mapping) else {}
        return {**told, **{name: said[name] for name in names if isinstance(said.get(name), bool)}}

    async def _clean_of_files(self, reason: object) -> str:
        """What a host says of the files it loads is as little told as what its validator says, when it quotes.

        Once the previous files are back, it may still speak of those it refused.
        """
        before, self._refused = self._refused, await asyncio.to_thread(_values_on_disk, self._paths)
        return self._clean(reason, values=before | self._refused)

    def _clean(self, reason: object, *, values: Iterable[str] = ()) -> str:
        text = unquoted(str(reason), values)
        for secret in self._hidden:
            text = text.replace(secret, "…")
        return _printable(text)[:MAX_REASON] or "The host gave no reason."


def unquoted(reason: str, values: Iterable[str]) -> str:
    """The reason on one line; QUOTES for one with one of these values in it, in whatever case.

    Taking out the value alone would confirm it to whoever sends guesses beside it. The log has the rest of the reason.
    """
    text = found = " ".join(reason.split())
    for value in sorted({" ".join(value.split()) for value in values}, key=len, reverse=True):
        if len(value) >= _SHORTEST_HIDDEN:
            found = re.sub(re.escape(value), "…", found, flags=re.IGNORECASE)
    if found == text:
        return text
    log.warning("A reason that quotes what a placeholder stands for: %s", _printable(found))
    return QUOTES


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def _values(document: Document) -> set[str]:
    """What the variables that a document names stand for here."""
    return {_variable(name) for name in placeholders.names(document, most=None)[0]}


def _values_on_disk(paths: Iterable[Path]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:
            continue
        try:
            found |= _values(json.loads(text))
        except (ValueError, RecursionError):
            found |= _values({"": text})  # broken, and named in it all the same
    return found


def _variable(name: str) -> str:
    try:
        return os.environ.get(name, "")
    except UnicodeEncodeError:  # a name that this system's locale cannot write is no variable here
        return ""


async def _call(function: Callable[..., Any], *arguments: object) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return await function(*arguments)
    result = await asyncio.to_thread(function, *arguments)
    if inspect.isawaitable(result):  # a plain callable that hands out a coroutine
        return await result
    return result
