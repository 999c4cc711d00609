"""The agent as a host embeds it: around an ASGI app, mounted in one, or around a WSGI app."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

from webhook_agent import identity, protocol
from webhook_agent.agent import Documents
from webhook_agent.drain import Drain
from webhook_agent.endpoints import Endpoints, Guards, Identity
from webhook_agent.guards import Networks, Signatures
from webhook_agent.host import CanResolve, Host, Reload, Started, Validate
from webhook_agent.http import App, Message, Receive, Scope, Send
from webhook_agent.joining import Announce, Announcer
from webhook_agent.limits import Buckets, Tokens
from webhook_agent.protocol import KINDS
from webhook_agent.siblings import Siblings
from webhook_agent.tokens import TokenFile
from webhook_agent.turn import Turns
from webhook_agent.workers import Workers
from webhook_agent.wsgi import Bridge, WsgiApp


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
        started: Started | None = None,
        can_resolve: CanResolve | None = None,
        instance_id: str | None = None,
        lasting: bool | None = None,
        version: str = "",
        prefix: str = "",
        state_folder: str | os.PathLike[str] | None = None,
        max_body: int = protocol.MAX_BODY,
        allow_read: bool = True,
        allow_empty: bool = False,
        allow_drain: bool = True,
        allow_readiness: bool = True,
        allow_rotation: bool = True,
        allow_networks: Sequence[str] = (),
        signing_keys: Sequence[str] = (),
        lock_wait: float = 10.0,
        workers_wait: float = 5.0,
        requests_per_second: float = 50.0,
        requests_per_second_in_all: float = 200.0,
        failures_per_minute: float = 60.0,
        announce: Announce | None = None,
    ) -> None:
        """`reload(kinds)` loads the files anew and raises ReloadFailed(reason) when it keeps what it had;
        `validate(kind, document)` raises Rejected(reason); `started()` is called in each process when the host
        is up, and raises ReloadFailed(reason) when it came up without its files. Each may be sync (runs in a
        thread) or async. So may `can_resolve(names)`, for the readiness that a dry run reports: a mapping of name to
        whether there is a value, for variables and for `vault:path#field`; what it leaves out of the variables, the
        process's environment answers. It never hands out a value.

        `state_folder` holds the journal and the hashes of rotated tokens (default: where the webhooks file lives), and,
        where it is `lasting`, the id by which the console knows this place again. `lasting` says whether the folder
        outlives a redeployment; None: its file system tells. `max_body` is in bytes, `lock_wait` and `workers_wait` are
        in seconds: for another update, and for the host's other worker processes to load this one. Rate limits:
        `requests_per_second` for a client address and
        `requests_per_second_in_all`, four seconds' worth at once; `failures_per_minute` wrong tokens for an
        address, a third of them at once, after which everybody there is asked to wait.

        `announce` tells a console that this instance is there, once the host is up; without it the environment says
        whether (WEBHOOK_CONSOLE_URL and the others).

        Raises ValueError for options that make no sense, no token among them.
        """
        paths = {"webhooks": Path(webhooks_path), "connections": Path(connections_path)}
        folder = Path(state_folder) if state_folder is not None else paths["webhooks"].absolute().parent
        known = Tokens(tokens)
        _check_options(paths, folder, prefix)
        for name, value in (
            ("max_body", max_body),
            ("lock_wait", lock_wait),
            ("workers_wait", workers_wait),
            ("requests_per_second", requests_per_second),
            ("requests_per_second_in_all", requests_per_second_in_all),
            ("failures_per_minute", failures_per_minute),
        ):
            if not value > 0:
                raise ValueError(f"{name}: must be more than zero")
        if not callable(reload) or not all(hook is None or callable(hook) for hook in (validate, started, can_resolve)):
            raise ValueError("reload, validate, started and can_resolve: must be callable")
        hostname = socket.gethostname()
        host = Host(
            reload=reload,
            validate=validate,
            started=started,
            can_resolve=can_resolve,
            hidden=_hidden(tokens, paths, folder),
            paths=paths.values(),
        )
        announce = announce or Announce.from_environment()
        self._announcer = Announcer(announce, name=instance_id or hostname, folder=folder) if announce else None
        self._prefix = prefix
        self._host = host
        self._documents = Documents(paths, folder=folder, host=host, wait=lock_wait)
        place = identity.of(folder, lasting=lasting, wait=lock_wait)
        turns = Turns(folder, wait=lock_wait)
        self._siblings = Siblings(self._documents, turns, Workers(folder), wait=workers_wait)
        self._endpoints = Endpoints(
            documents=self._documents,
            turns=turns,
            siblings=self._siblings,
            drain=Drain(folder) if allow_drain else None,
            readiness=self._documents.readiness() if allow_readiness else None,
            identity=Identity(instance_id or hostname, hostname, version, place),
            guards=Guards(
                tokens=TokenFile(folder, known),
                networks=Networks(allow_networks),
                signatures=Signatures(signing_keys),
                requests=Buckets(per_second=requests_per_second, burst=4 * requests_per_second),
                in_all=Buckets(per_second=requests_per_second_in_all, burst=4 * requests_per_second_in_all),
                failures=Buckets(per_second=failures_per_minute / 60, burst=failures_per_minute / 3),
            ),
            max_body=max_body,
            allow_read=allow_read,
            allow_empty=allow_empty,
            allow_rotation=allow_rotation,
        )
        self._serving_in = 0  # the process id in which the agent has started
        self._starting: asyncio.Future[None] | None = None

    def wrap(self, app: App) -> App:
        """`app` with the admin endpoints in front of it; every other request and scope is `app`'s."""

        admin, process = f"{self._prefix}/admin/", os.getpid

        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            # Every request of the host comes through here, so the common one is told by a single search.
            if scope["type"] == "lifespan":
                await self._lifespan(app, scope, receive, send)
                return
            if self._serving_in != process():
                await self.start()
            if scope["type"] == "http" and admin in scope["path"]:
                endpoint = self._endpoint(scope)
                if endpoint:
                    await self._endpoints.answer(endpoint, scope, receive, send)
                    return
            await app(scope, receive, send)

        return wrapped

    @property
    def asgi(self) -> App:
        """An app of its own, to mount: answers `/admin/<endpoint>` and `/<endpoint>` below that place.

        A mounted app hears nothing of the host's lifespan: call `start` and `stop` there.
        """

        async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            if self._serving_in != os.getpid():
                await self.start()
            endpoint = _path(scope).removeprefix("/").removeprefix("admin/")
            await self._endpoints.answer(endpoint, scope, receive, send)

        return mounted

    def wrap_wsgi(self, app: WsgiApp) -> Bridge:
        """A WSGI `app` (Flask, Django) with the admin endpoints in front of it."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await self._endpoints.answer(self._endpoint(scope), scope, receive, send)

        return Bridge(app, answer=answer, is_ours=lambda path: bool(self._named(path)), start=self.start)

    def not_loaded(self, reason: str, *, kinds: Iterable[str] = KINDS) -> None:
        """For a host that could not load its files at start: it is degraded and reports no version."""
        self._documents.state.never_loaded(kinds, reason)

    async def start(self) -> None:
        """The host of this process is up: from now on it follows its sibling processes. Once; later calls wait."""
        if self._serving_in == os.getpid():
            return
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """The host of this process ends."""
        if self._serving_in == os.getpid():
            self._serving_in, self._starting = 0, None
            if self._announcer is not None:
                self._announcer.stop()
            await self._siblings.stop()

    async def _start(self) -> None:
        reason = await self._host.started()
        if reason:
            self.not_loaded(reason)
            await self._documents.refuse(KINDS)
        await self._siblings.start()
        self._serving_in = os.getpid()
        if self._announcer is not None:
            self._announcer.start()

    async def _lifespan(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        async def hearing() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.stop()
            return message

        async def saying(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self.start()
            await send(message)

        await app(scope, hearing, saying)

    def _endpoint(self, scope: Scope) -> str:
        return self._named(_path(scope))

    def _named(self, path: str) -> str:
        """The endpoint that a path names; empty for every path that is the host's."""
        admin = f"{self._prefix}/admin/"
        endpoint = path[len(admin) :] if path.startswith(admin) else ""
        return endpoint if self._endpoints.has(endpoint) else ""


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
