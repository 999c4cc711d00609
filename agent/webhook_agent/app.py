"""The agent as a host embeds it: an ASGI wrapper (or a mountable app) answering the five admin endpoints."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from webhook_agent import protocol
from webhook_agent.agent import Documents
from webhook_agent.errors import Problem
from webhook_agent.host import Host, Reload, Validate
from webhook_agent.http import App, Disconnected, Receive, Request, Response, Scope, Send, refusal
from webhook_agent.limits import Buckets, Tokens, client_key
from webhook_agent.protocol import KINDS
from webhook_agent.state import now
from webhook_agent.turn import Turns
from webhook_agent.update import Update, read_update
from webhook_agent.version import __version__

log = logging.getLogger("webhook_agent")


class ConfigAgent:
    """Receives documents for a host, puts them in place, has the host load them, and reports what it runs.

    Construct it *before* the host loads its files: an update that a kill cut short is settled here.
    """

    def __init__(
        self,
        *,
        webhooks_path: str | os.PathLike[str],
        connections_path: str | os.PathLike[str],
        tokens: str | Sequence[str],
        reload: Reload,
        validate: Validate | None = None,
        instance_id: str | None = None,
        version: str = "",
        prefix: str = "",
        state_folder: str | os.PathLike[str] | None = None,
        max_body: int = protocol.MAX_BODY,
        allow_read: bool = True,
        allow_empty: bool = False,
        lock_wait: float = 10.0,
        requests_per_second: float = 50.0,
        failures_per_minute: float = 60.0,
    ) -> None:
        """`reload(kinds)` loads the files anew and raises ReloadFailed(reason) when it keeps what it had;
        `validate(kind, document)` raises Rejected(reason). Either may be sync (runs in a thread) or async.

        `state_folder` holds the journal (default: where the webhooks file lives). `max_body` is in bytes,
        `lock_wait` in seconds. Limits are per client address: `requests_per_second`, four seconds' worth of
        them at once; and `failures_per_minute` wrong tokens, a third of them at once, after which everybody
        at that address is asked to wait.

        Raises ValueError for options that make no sense, no token among them.
        """
        paths = {"webhooks": Path(webhooks_path), "connections": Path(connections_path)}
        folder = Path(state_folder) if state_folder is not None else paths["webhooks"].absolute().parent
        self._tokens = Tokens(tokens)
        _check_options(paths, folder, prefix)
        for name, value in (
            ("max_body", max_body),
            ("lock_wait", lock_wait),
            ("requests_per_second", requests_per_second),
            ("failures_per_minute", failures_per_minute),
        ):
            if not value > 0:
                raise ValueError(f"{name}: must be more than zero")
        if not callable(reload) or not (validate is None or callable(validate)):
            raise ValueError("reload and validate: must be callable")
        hostname = socket.gethostname()
        self._identity = {"instance_id": instance_id or hostname, "hostname": hostname, "version": version}
        self._prefix = prefix
        self._max_body = max_body
        self._allow_read = allow_read
        self._allow_empty = allow_empty
        self._requests = Buckets(per_second=requests_per_second, burst=4 * requests_per_second)
        self._failures = Buckets(per_second=failures_per_minute / 60, burst=failures_per_minute / 3)
        host = Host(reload=reload, validate=validate, hidden=_hidden(tokens, paths, folder))
        self._documents = Documents(paths, folder=folder, host=host, wait=lock_wait)
        self._turns = Turns(folder, wait=lock_wait)
        self._under_way: set[asyncio.Future[Response]] = set()
        self._routes: dict[str, tuple[str, Callable[[Request], Awaitable[Response]]]] = {
            "config-update": ("POST", self._config_update),
            "reload-config": ("POST", self._reload_config),
            "config-version": ("GET", self._config_version),
            "instance-info": ("GET", self._instance_info),
            "config": ("GET", self._config),
        }

    def wrap(self, app: App) -> App:
        """`app` with the admin endpoints in front of it; every other request and scope is `app`'s."""

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            path = _path(scope) if scope["type"] == "http" else ""
            endpoint = path[len(self._prefix) + len("/admin/") :]
            if endpoint in self._routes and path == f"{self._prefix}/admin/{endpoint}":
                await self._answer(endpoint, scope, receive, send)
            else:
                await app(scope, receive, send)

        return wrapped

    @property
    def asgi(self) -> App:
        """An app of its own, to mount: answers `/admin/<endpoint>` and `/<endpoint>` below that place."""

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            endpoint = _path(scope).removeprefix("/").removeprefix("admin/")
            await self._answer(endpoint, scope, receive, send)

        return mounted

    def not_loaded(self, reason: str, *, kinds: Iterable[str] = KINDS) -> None:
        """For a host that could not load its files at start: it is degraded and reports no version."""
        self._documents.state.never_loaded(kinds, reason)

    async def _answer(self, endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            self._admit(request)
            if endpoint not in self._routes:
                raise Problem(404, protocol.NOT_FOUND, "There is no such endpoint.")
            method, handler = self._routes[endpoint]
            if request.method != method:
                raise Problem(405, protocol.METHOD_NOT_ALLOWED, f"This endpoint answers {method} only.")
            response = await handler(request)
        except Problem as problem:
            response = refusal(problem)
        except Disconnected:
            return
        except Exception:
            log.exception("The agent broke while answering %s.", endpoint)
            response = refusal(Problem(500, protocol.INTERNAL, "The agent broke; its log says more."))
        await response.send(send)

    def _admit(self, request: Request) -> None:
        client = client_key(request.client)
        wait = self._failures.wait(client)
        if not wait and not self._tokens.allow(request.header(b"authorization")):
            self._failures.take(client)
            log.warning("A wrong token, or none, from %s.", request.client or "a local socket")
            raise Problem(401, protocol.UNAUTHORISED, "This needs `Authorization: Bearer <token>`.")
        wait = wait or self._requests.take(client)
        if wait:
            raise Problem(429, protocol.RATE_LIMITED, "Too many requests from this address.", retry_after=wait)

    async def _config_update(self, request: Request) -> Response:
        body = await request.body(self._max_body)
        update = await asyncio.to_thread(read_update, body, allow_empty=self._allow_empty)
        return await self._whole(self._updated(update))

    async def _updated(self, update: Update) -> Response:
        status, error, code = 200, None, None
        try:
            async with self._turns.take():
                fields = await self._documents.apply(update)
        except Problem as problem:
            if problem.retry_after is not None:
                problem.more["request_id"] = update.request_id
                raise
            status, error, code, fields = problem.status, problem.message, problem.code, problem.more
        answer = {
            "status": "error" if error else "success",
            "outcome": None,
            "error": error,
            "code": code,
            "details": {},
            "timestamp": now(),
            "instance_id": self._identity["instance_id"],
            "version": update.version,
            "request_id": update.request_id,
            **self._documents.state.versions(),
            **fields,
        }
        return Response(status, answer)

    async def _reload_config(self, request: Request) -> Response:
        body = await request.body(self._max_body)
        try:
            wanted = protocol.parse(body) if body.strip() else {}
        except protocol.ProtocolError as error:
            raise Problem(400, error.code, error.message) from None
        kinds = []
        for kind in KINDS:
            chosen = wanted.get(f"reload_{kind}", True)
            if not isinstance(chosen, bool):
                raise Problem(400, protocol.SHAPE, f"`reload_{kind}` must be true or false.")
            if chosen:
                kinds.append(kind)
        if not kinds:
            raise Problem(400, protocol.SHAPE, "Nothing is left to reload.")
        return await self._whole(self._reloaded(kinds))

    async def _reloaded(self, kinds: Sequence[str]) -> Response:
        async with self._turns.take():
            loaded = await self._documents.reload(kinds)
        answer = {
            "status": "success",
            "reloaded": {kind: kind in loaded for kind in KINDS},
            "timestamp": now(),
            "instance_id": self._identity["instance_id"],
            **self._documents.state.versions(),
        }
        return Response(200, answer)

    async def _config_version(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._documents.read)
        sequence = await asyncio.to_thread(self._documents.sequence)
        return Response(200, self._documents.state.version_report(found, sequence))

    async def _instance_info(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._documents.read)
        capabilities = ["batch", "digest", "sequence", "dry_run", *(["read"] if self._allow_read else [])]
        answer = {
            **self._identity,
            **self._documents.state.instance_report(found),
            "agent_version": __version__,
            "protocol": protocol.PROTOCOL,
            "capabilities": capabilities,
        }
        return Response(200, answer)

    async def _config(self, request: Request) -> Response:
        if not self._allow_read:
            raise Problem(404, protocol.NOT_FOUND, "Reading documents is switched off on this instance.")
        kind = request.query("type")
        if kind not in KINDS:
            raise Problem(400, protocol.SHAPE, '`type` must be "webhooks" or "connections".')
        found = (await asyncio.to_thread(self._documents.read, [kind]))[kind]
        if found.raw is None:
            raise Problem(404, protocol.NOT_FOUND, f"There is no {kind} file.")
        return Response(200, found.raw)

    async def _whole(self, work: Awaitable[Response]) -> Response:
        """Run `work` to its end, even when the server cancels the request because its client went away."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Future[Response]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain when nobody waits any more


def _path(scope: Scope) -> str:
    """The path below the place this app is mounted at; servers differ in whether `path` repeats it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _check_options(paths: dict[str, Path], folder: Path, prefix: str) -> None:
    if os.path.realpath(paths["webhooks"]) == os.path.realpath(paths["connections"]):
        raise ValueError("webhooks_path and connections_path: must be two files")
    for place in (*(path.absolute().parent for path in paths.values()), folder):
        if not place.is_dir():
            raise ValueError(f"there is no folder {str(place)!r}")
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError("prefix: must start with a slash and not end with one")


def _hidden(tokens: str | Sequence[str], paths: dict[str, Path], folder: Path) -> list[str]:
    """Strings no answer may carry: the tokens, and where things are on this machine."""
    secrets = [tokens] if isinstance(tokens, str) else list(tokens)
    places = [
        folder,
        folder.absolute(),
        *paths.values(),
        *(path.absolute().parent for path in paths.values()),
    ]
    return [
        *(secret.strip() for secret in secrets),
        *(form for place in places for form in (str(place), os.path.realpath(place)) if os.sep in form),
    ]
