"""One instance: the service with its agent in front of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sample_service.app import service
from sample_service.config import Configuration
from sample_service.drills import hanging
from webhook_agent import Announce, ConfigAgent, ReloadFailed
from webhook_agent.http import App


def build(
    folder: Path,
    *,
    name: str,
    tokens: Sequence[str],
    environ: Mapping[str, str],
    agent: bool = True,
    announce: Announce | None = None,
) -> App:
    """The service with its agent in front, or alone. Raises ValueError for an agent without a token."""
    configuration = Configuration(
        folder,
        lenient=environ.get("SAMPLE_LENIENT") == "1",
        refuse=environ.get("SAMPLE_REJECT", ""),
        object_=environ.get("SAMPLE_OBJECT", ""),
    )
    if not agent:
        configuration.load(["connections", "webhooks"])
        return service(configuration)
    embedded = ConfigAgent(
        webhooks_path=configuration.path("webhooks"),
        connections_path=configuration.path("connections"),
        tokens=tokens,
        reload=configuration.reload,
        validate=configuration.validate,
        instance_id=name,
        version="sample",
        allow_empty=environ.get("SAMPLE_ALLOW_EMPTY") == "1",
        state_folder=environ.get("SAMPLE_STATE") or None,
        announce=announce,
        lasting={"1": True, "0": False}.get(environ.get("SAMPLE_LASTING", "")),
        **_rates(environ.get("SAMPLE_RATE", "")),
    )
    for kind in ("webhooks", "connections"):
        try:
            configuration.load([kind])
        except ReloadFailed as failure:
            embedded.not_loaded(failure.reason, kinds=[kind])
    return hanging(embedded.wrap(service(configuration)), folder, environ.get("SAMPLE_HANG", ""))


def _rates(text: str) -> dict[str, Any]:
    names = ("requests_per_second", "requests_per_second_in_all", "failures_per_minute")
    return dict.fromkeys(names, float(text)) if text else {}


def tokens_from(environ: Mapping[str, str]) -> list[str]:
    """Raises OSError when the file named cannot be read."""
    if environ.get("CONFIG_ADMIN_TOKEN_FILE"):
        return Path(environ["CONFIG_ADMIN_TOKEN_FILE"]).read_text().split()
    return environ.get("CONFIG_ADMIN_TOKEN", "").split()
