"""Webhook Console's embedded agent: receives, applies and proves the configuration of a webhook service."""

from webhook_agent.app import ConfigAgent
from webhook_agent.boot import boot_guard
from webhook_agent.errors import Rejected, ReloadFailed
from webhook_agent.joining import Announce
from webhook_agent.version import __version__

__all__ = ["Announce", "ConfigAgent", "Rejected", "ReloadFailed", "__version__", "boot_guard"]
