"""The host application as the agent sees it: callables, sync or async, that say no by raising."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable
from typing import Any

from webhook_agent.errors import Rejected, ReloadFailed
from webhook_agent.protocol import Document

log = logging.getLogger("webhook_agent")

MAX_REASON = 500  # characters of a host's reason that are passed on

Reload = Callable[[tuple[str, ...]], Any]
Validate = Callable[[str, Document], Any]
Started = Callable[[], Any]


class Host:
    """Calls the host's `reload` and `validate`: a sync one in a thread, an async one on the event loop."""

    def __init__(
        self,
        *,
        reload: Reload,
        validate: Validate | None,
        started: Started | None = None,
        hidden: Iterable[str] = (),
    ) -> None:
        """`hidden` are strings (paths, tokens) that no reason may carry to the wire."""
        self._reload = reload
        self._validate = validate
        self._started = started
        self._hidden = sorted({text for text in hidden if len(text) > 1}, key=len, reverse=True)

    async def validate(self, kind: str, document: Document) -> None:
        """Raises Rejected, also when the validator itself breaks: an unjudged document is not written."""
        if self._validate is None:
            return
        try:
            await _call(self._validate, kind, document)
        except Rejected as refusal:
            raise Rejected(self._clean(refusal.reason)) from None
        except Exception as error:
            log.exception("The host's validator broke on a %s document.", kind)
            raise Rejected(f"The host's validator broke ({type(error).__name__}).") from None

    async def reload(self, kinds: Iterable[str]) -> None:
        """Raises ReloadFailed, also when the host breaks while loading."""
        try:
            await _call(self._reload, tuple(kinds))
        except ReloadFailed as failure:
            raise ReloadFailed(self._clean(failure.reason)) from None
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
            return self._clean(failure.reason)
        except Exception as error:
            log.exception("Asking the host whether it has loaded its documents failed.")
            return f"The host broke while starting ({type(error).__name__})."
        return ""

    def _clean(self, reason: object) -> str:
        text = " ".join(str(reason).split())
        for hidden in self._hidden:
            text = text.replace(hidden, "…")
        text = "".join(character if character.isprintable() else "?" for character in text)
        return text[:MAX_REASON] or "The host gave no reason."


async def _call(function: Callable[..., Any], *arguments: object) -> None:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        await function(*arguments)
        return
    result = await asyncio.to_thread(function, *arguments)
    if inspect.isawaitable(result):  # a plain callable that hands out a coroutine
        await result
