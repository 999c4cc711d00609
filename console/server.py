"""The web server: uvicorn, told to end open event streams before it waits for them."""

from __future__ import annotations

import argparse
import os
import warnings
from types import FrameType

import uvicorn

# Here, not in the handler: a second signal would find it half imported, uvloop would only log that, and go on.
from console import live


class Server(uvicorn.Server):
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        live.close()  # without this a single open page keeps the server from stopping


def main() -> None:
    parser = argparse.ArgumentParser(prog="console.server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    os.environ.setdefault("CONSOLE_DB_POOL", "8")
    # whitenoise hands over plain file iterators; Django says so for every file, and it is of no use to anybody.
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
    config = uvicorn.Config(
        "console.asgi:application",
        host=options.host,
        port=options.port,
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    Server(config).run()


if __name__ == "__main__":
    main()
