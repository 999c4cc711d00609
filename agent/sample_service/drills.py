"""Failure drills: switches that make this instance misbehave, for tests and for trying the console out.

SAMPLE_REJECT=reason  or the file DIR/reject  every reload of changed files is refused with this reason
SAMPLE_OBJECT=reason  or the file DIR/object  the validator refuses every document with this reason
SAMPLE_HANG=seconds   or the file DIR/hang    a config-update is applied, and answered this much later
                      the file DIR/ill      /health says that the service is not healthy
SAMPLE_ALLOW_EMPTY=1                          empty documents are accepted
SAMPLE_STATE=folder                           where the agent keeps its journal, if not beside the documents
SAMPLE_LASTING=1 or 0                         whether that folder outlives a redeployment, whatever its disk says
SAMPLE_RATE=number                            every rate limit of the agent is this
SAMPLE_LENIENT=1                              entries that are no objects ("_comment") are passed over

The files are read for every request, so that they can come and go while the service runs. The agent has one
more: WEBHOOK_AGENT_CRASH_AT=step ends the process at that step of an update, as kill -9 would.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from webhook_agent.http import App, Message, Receive, Scope, Send


def hanging(app: App, folder: Path, default: str) -> App:
    """`app`, answering config-update late."""

    async def drilled(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "/admin/config-update" not in scope["path"]:
            await app(scope, receive, send)
            return
        try:
            seconds = float((folder / "hang").read_text())
        except FileNotFoundError:
            seconds = float(default or 0)

        async def late(message: Message) -> None:
            if message["type"] == "http.response.start" and seconds > 0:
                await asyncio.sleep(seconds)
            await send(message)

        await app(scope, receive, late)

    return drilled
