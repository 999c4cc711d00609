"""The agent in spiderhash-io/webhook (0.2): `app = webhook_service.wrap(app)`.

The service's config manager does the loading. What this works round:

- Reloading both files at once reports a failure of one and brings the other, and the failed one, live. So each file
  is reloaded by itself.
- A refused file stays in its provider's memory and goes live with the next reload of the other file. So a document
  is judged by the service's own validators, placeholders resolved, before anything is written; and what was
  refused all the same is put back and loaded again (the agent does that).
- Its admin endpoint hides the reason of a refusal; the result inside the process has it.
- With its etcd backend a reload answers success and does nothing. That is refused here.
- A file that fails validation at start leaves it "healthy" with no webhooks at all. That is reported here.

Everything is looked up when it is needed: the config manager exists once the service has started.
"""

from __future__ import annotations

import asyncio
import copy
import os
import sys
from pathlib import Path
from typing import Any

from webhook_agent.app import ConfigAgent
from webhook_agent.boot import boot_guard
from webhook_agent.errors import Rejected, ReloadFailed
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
    agent = ConfigAgent(reload=host.reload, validate=host.validate, started=host.started, **settings)
    return agent.wrap(app)


class WebhookService:
    """What the agent asks of the service."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def started(self) -> None:
        """Raises ReloadFailed when the service came up without its configuration, with the reason."""
        manager = self._manager()
        for kind in _ORDER:
            reason = await _judged(manager, kind, getattr(manager.provider, _LOADED[kind])())
            if reason:
                raise ReloadFailed(f"{kind}: {reason}")

    async def validate(self, kind: str, document: Document) -> None:
        """Raises Rejected with the validator's reason, or with why placeholders cannot be resolved."""
        try:
            manager = self._manager()
        except ReloadFailed as failure:
            raise Rejected(failure.reason) from None
        # By the name under which the manager itself imported it. It may ask Vault: not on the event loop.
        resolve = getattr(sys.modules[type(manager).__module__], "load_env_vars")  # noqa: B009 - not ours to import
        try:
            resolved = await asyncio.to_thread(resolve, copy.deepcopy(document))
        except Exception as error:
            raise Rejected(f"A placeholder cannot be resolved: {error}") from None
        reason = await _judged(manager, kind, resolved)
        if reason:
            raise Rejected(reason)

    async def reload(self, kinds: tuple[str, ...]) -> None:
        manager = self._manager()
        for kind in _ORDER:
            if kind in kinds:
                result = await getattr(manager, _RELOAD[kind])()
                if not result.success:
                    raise ReloadFailed(result.error or f"The service refused {kind} without a reason.")

    def _manager(self) -> Any:
        manager = getattr(self._app.state, "config_manager", None)
        if manager is None:
            raise ReloadFailed("The service runs without its config manager; its log says why.")
        if getattr(manager, "provider", None) is not None and manager.provider.get_status().get("backend") != "file":
            raise ReloadFailed(_ETCD)
        return manager


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
