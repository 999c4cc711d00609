"""python -m sample_service --port P --dir DIR --name NAME [--host 127.0.0.1] [--workers 1] [--announce] [--no-agent]

Prints `listening: <url>` once it accepts connections. Several workers are processes behind one port, each with an agent
of its own; one that dies is started again. Tokens come from CONFIG_ADMIN_TOKEN or from the file that
CONFIG_ADMIN_TOKEN_FILE names: one, or several with blanks between them. Port 0 takes a free one.

With --announce it tells the console at WEBHOOK_CONSOLE_URL of itself, with WEBHOOK_CONSOLE_JOIN_TOKEN; the other
variables of agent/README.md hold, too, and its address is the one that it listens at. With --no-agent it is the service
alone, as one is before the agent is embedded.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

import uvicorn

from sample_service.instance import build, tokens_from
from sample_service.supervisor import supervise
from webhook_agent import Announce, boot_guard


def main() -> None:
    parser = argparse.ArgumentParser(prog="sample_service", description="A small webhook service to try things on.")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--dir", type=Path, required=True, help="holds webhooks.json and connections.json")
    parser.add_argument("--name", required=True, help="the instance's id")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--workers", type=int, default=1, help="processes behind the port")
    parser.add_argument("--announce", action="store_true", help="tell a console (WEBHOOK_CONSOLE_URL) of itself")
    parser.add_argument("--no-agent", action="store_true", help="the service alone")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)  # a worker's: the listening socket
    options = parser.parse_args()
    try:
        options.dir.mkdir(parents=True, exist_ok=True)
        if options.workers == 1:
            said = boot_guard(
                webhooks_path=options.dir / "webhooks.json",
                connections_path=options.dir / "connections.json",
                state_folder=os.environ.get("SAMPLE_STATE") or None,
            )
            for sentence in said:
                print(sentence, flush=True)  # noqa: T201
        listener = _listener(options)
        address = f"http://{options.host}:{listener.getsockname()[1]}"
        if options.workers == 1:
            app = build(
                options.dir,
                name=options.name,
                tokens=[] if options.no_agent else tokens_from(os.environ),
                environ=os.environ,
                agent=not options.no_agent,
                announce=Announce.from_environment(base_url=address) if options.announce else None,
            )
    except (OSError, ValueError) as error:
        sys.exit(f"sample_service: {error}")
    if options.workers > 1:
        supervise(listener, options.workers)
        return
    # One worker, HTTP/1.1: uvloop and the websocket stacks would only cost memory here. The agent starts with the first
    # request, or with the service where it has something to say before.
    config = uvicorn.Config(
        app,
        loop="asyncio",
        ws="none",
        lifespan="on" if options.announce else "off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    print(f"listening: {address}", flush=True)  # noqa: T201
    uvicorn.Server(config).run(sockets=[listener])


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.fd is not None:
        return socket.socket(fileno=options.fd)
    listener = socket.create_server((options.host, options.port), backlog=128)
    # asyncio does this only for sockets that say they are TCP, which create_server's do not; without it every
    # answer waits 40 ms for the client's delayed acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


if __name__ == "__main__":
    main()
