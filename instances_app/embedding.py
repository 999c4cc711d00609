"""What somebody puts into a service so that the console can reach it: the lines that embed the agent, and its token.

The lines are those of agent/README.md; a test runs them as a page shows them.
"""

from __future__ import annotations

import secrets

VARIABLE = "CONFIG_ADMIN_TOKEN"
SERVICE_FILE = "served.py"
SERVICE_START = "uvicorn served:app --host 0.0.0.0 --port 8000"
SERVICE_LINES = """\
from webhook_agent.adapters import webhook_service

webhook_service.guard()  # before the service reads its files
from src.main import app as service

app = webhook_service.wrap(service)
"""
ASGI_LINES = """\
import os
from webhook_agent import ConfigAgent, ReloadFailed


async def reload(kinds):  # ("webhooks",), ("connections",) or both
    problem = await my_service.load_files()  # yours; keeps what it had when it refuses the files
    if problem:
        raise ReloadFailed(problem)


agent = ConfigAgent(
    webhooks_path="webhooks.json",
    connections_path="connections.json",
    tokens=os.environ["CONFIG_ADMIN_TOKEN"],
    reload=reload,
)
app = agent.wrap(app)
"""


def fresh_token() -> str:
    """256 bits, with nothing in it that a shell or a YAML file would read as something else."""
    return f"wc-{secrets.token_urlsafe(32)}"
