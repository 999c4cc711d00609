"""The agent in spiderhash-io/webhook (0.2): `app = webhook_service.wrap(app)`.

The service's config manager does the loading. What this works round:

- Reloading both files at once reports a failure of one and brings the other, and the failed one, live. So each file
  is reloaded by itself.
- A refused file stays in its provider's memory and goes live with the next reload of the other file. So a document
  is judged by the service's own validators, placeholders resolved, before anything is written; and what was
  refused all the same is put back and loaded again (the agent does that).
- Its admin endpoint hides the reason of a refusal; the result inside the process has it.
- With its etcd backend a reload answers success and does nothing. That is refused here.
- Its validators quote what placeholders stand for. Reasons that do are not told.
- A file that fails validation at start leaves it "healthy" with no webhooks at all. That is reported here.

Everything is looked up when it is needed: the config manager exists once the service has started.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from webhook_agent.app import ConfigAgent
from webhook_agent.boot import boot_guard
from webhook_agent.errors import Rejected, ReloadFailed
from webhook_agent.host import RESOLVE_SECONDS, unquoted
from webhook_agent.http import App
from webhook_agent.protocol import KINDS, Document

# The service's words for the two documents.
_RELOAD = {"webhooks": "reload_webhooks", "connections": "reload_connections"}
_VALIDATE = {"webhooks": "_validate_webhook_config", "connections": "_validate_connection_config"}
_LOADED = {"webhooks": "get_all_webhook_configs", "connections": "get_all_connection_configs"}
_FILES = {
    "webhooks": ("WEBHOOKS_CONFIG_FILE", "webhooks.json"),
    "connections": ("CONNECTIONS_CONFIG_FILE", "connections.json"),
}
_ORDER = ("connections", "webhooks")  # a webhook may name a connection
_ETCD = "This instance takes its configuration from etcd; pushing files to it has no effect."


def guard() -> list[str]:
    """`boot_guard` on the service's files; call it before `src.main` is imported, which reads them."""
    paths = {kind: _path(kind) for kind in KINDS}
    return boot_guard(webhooks_path=paths["webhooks"], connections_path=paths["connections"])


def wrap(app: Any, **options: Any) -> App:
    """The service's FastAPI `app` with the agent in front. `options` are ConfigAgent's.

    Files come from WEBHOOKS_CONFIG_FILE and CONNECTIONS_CONFIG_FILE, tokens from CONFIG_ADMIN_TOKEN (blanks between
    several), unless given. Raises ValueError without a token.
    """
    host = WebhookService(app)
    settings: dict[str, Any] = {
        "webhooks_path": _path("webhooks"),
        "connections_path": _path("connections"),
        "tokens": os.environ.get("CONFIG_ADMIN_TOKEN", "").split(),
        "version": _version(),
        **options,
    }
    agent = ConfigAgent(
        reload=host.reload,
        validate=host.validate,
        started=host.started,
        can_resolve=host.can_resolve,
        **settings,
    )
    return agent.wrap(app)


class WebhookService:
    """What the agent asks of the service."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def started(self) -> None:
        """Raises ReloadFailed when the service came up without its configuration, with the reason."""
        manager = self._manager()
        for kind in _ORDER:
            reason = await _judged(manager, kind, _loaded(manager, kind))
            if reason:
                raise ReloadFailed(f"{kind}: {unquoted(reason, await _behind(manager, kind))}")

    async def validate(self, kind: str, document: Document) -> None:
        """Raises Rejected with the validator's reason, or with why placeholders cannot be resolved."""
        try:
            manager = self._manager()
        except ReloadFailed as failure:
            raise Rejected(failure.reason) from None
        try:
            resolved = await asyncio.to_thread(_resolver(manager), copy.deepcopy(document))
        except Exception as error:
            raise Rejected(f"A placeholder cannot be resolved: {error}") from None
        reason = await _judged(manager, kind, resolved)
        if reason:
            raise Rejected(unquoted(reason, _substituted(document, resolved)))

    def can_resolve(self, names: Sequence[str]) -> dict[str, bool]:
        """Whether the service's loader finds a value for each reference to Vault. The values go nowhere."""
        resolve = _resolver(self._manager())
        found = {}
        ends = time.monotonic() + RESOLVE_SECONDS
        for name in names:
            if time.monotonic() > ends:  # nobody waits any longer, and the next question would queue behind this one
                break
            if name.startswith("vault:"):
                try:
                    resolve({"value": f"{{${name}}}"})
                    found[name] = True
                except Exception:  # the loader says so by raising, and with what is not ours to know
                    found[name] = False
        return found

    async def reload(self, kinds: tuple[str, ...]) -> None:
        manager = self._manager()
        for kind in _ORDER:
            if kind in kinds:
                result = await getattr(manager, _RELOAD[kind])()
                if not result.success:
                    reason = result.error or f"The service refused {kind} without a reason."
                    raise ReloadFailed(unquoted(reason, await _behind(manager, kind)))

    def _manager(self) -> Any:
        manager = getattr(self._app.state, "config_manager", None)
        if manager is None:
            raise ReloadFailed("The service runs without its config manager; its log says why.")
        if getattr(manager, "provider", None) is not None and manager.provider.get_status().get("backend") != "file":
            raise ReloadFailed(_ETCD)
        return manager


def _resolver(manager: Any) -> Callable[[Any], Any]:
    """The loader's own substitution. It may ask Vault: call it in a thread."""
    # By the name under which the manager itself imported it.
    found: Callable[[Any], Any] = getattr(sys.modules[type(manager).__module__], "load_env_vars")  # noqa: B009
    return found


def _loaded(manager: Any, kind: str) -> Any:
    """What the provider holds of a file, placeholders resolved; also of one that was refused."""
    return getattr(manager.provider, _LOADED[kind])()


async def _behind(manager: Any, kind: str) -> list[str]:
    """What the placeholders of a file stand for in what was loaded from it."""
    try:
        written = json.loads(await asyncio.to_thread(_path(kind).read_bytes))
        return list(_substituted(written, _loaded(manager, kind)))
    except (OSError, ValueError, RecursionError):  # then nothing of it was loaded
        return []


def _substituted(written: Any, resolved: Any) -> Iterator[str]:
    """The strings that are another one once placeholders are resolved, whole and in the pieces a message may quote."""
    if isinstance(written, dict) and isinstance(resolved, dict):
        for key, value in written.items():
            yield from _substituted(value, resolved.get(key))
    elif isinstance(written, list) and isinstance(resolved, list):
        for before, after in zip(written, resolved):
            yield from _substituted(before, after)
    elif isinstance(resolved, str) and resolved != written:
        yield resolved
        literal = re.split(r"[^\w.-]+", written) if isinstance(written, str) else []
        yield from (piece for piece in re.split(r"[^\w.-]+", resolved) if piece not in literal)


async def _judged(manager: Any, kind: str, entries: Document) -> str:
    """Why the service would not load these entries, or nothing. Its validators break on what is no object."""
    for name, entry in entries.items():
        if not isinstance(entry, dict):
            return f"The entry '{name}' must be an object."
    return str(await getattr(manager, _VALIDATE[kind])(entries) or "")


def _path(kind: str) -> Path:
    name, default = _FILES[kind]
    return Path(os.environ.get(name) or default)


def _version() -> str:
    """The service's version, when it is there."""
    found = sys.modules.get("src.__version__")
    return str(getattr(found, "__version__", "")) if found is not None else ""
