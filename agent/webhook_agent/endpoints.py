"""The admin endpoints: who may call, what arrives, what is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field

from webhook_agent import guards, protocol, tokens
from webhook_agent.agent import Documents
from webhook_agent.drain import Drain
from webhook_agent.errors import Problem
from webhook_agent.files import is_read_only
from webhook_agent.guards import Networks, Signatures
from webhook_agent.http import Disconnected, Receive, Request, Response, Scope, Send, refusal
from webhook_agent.limits import Buckets, client_key
from webhook_agent.protocol import KINDS
from webhook_agent.readiness import Readiness
from webhook_agent.siblings import Siblings
from webhook_agent.state import now
from webhook_agent.tokens import TokenFile
from webhook_agent.turn import Turns
from webhook_agent.update import Update, read_update
from webhook_agent.version import __version__
from webhook_agent.workers import Worker

log = logging.getLogger("webhook_agent")

_ADDRESSED = "config-update/{identity}"  # an agent that knows nothing of it has no such endpoint, and writes nothing
_RETRY_AFTER = 2.0  # seconds a sender waits for workers that are behind


@dataclass(frozen=True)
class Identity:
    instance_id: str
    hostname: str
    version: str
    identity: str | None = None  # of the place; see webhook_agent.identity


class OneByOne:
    """A lock that is made when it is first needed: Python 3.9 ties one to the loop that runs when it is made."""

    def __init__(self) -> None:
        self._lock: asyncio.Lock | None = None

    def __call__(self) -> asyncio.Lock:
        if self._lock is None:
            self._lock = asyncio.Lock()
        return self._lock


@dataclass(frozen=True)
class Guards:
    """What a request has to pass before anything of it is read."""

    tokens: TokenFile
    networks: Networks
    signatures: Signatures
    requests: Buckets
    in_all: Buckets
    failures: Buckets
    one_by_one: OneByOne = field(default_factory=OneByOne)

    async def admit(self, request: Request) -> None:
        """Raises Problem: FORBIDDEN, UNAUTHORISED, RATE_LIMITED; INTERNAL when nobody can tell."""
        if not self.networks.allow(request.client):
            raise Problem(403, protocol.FORBIDDEN, "This address may not call the agent.")
        client = client_key(request.client)
        if not self.failures.wait(client):
            # One after the other: else all guesses that come at once would be looked at before one of them counts.
            async with self.one_by_one():
                if not self.failures.wait(client) and not await self._is_known(request):
                    self.failures.take(client)
                    raise Problem(401, protocol.UNAUTHORISED, "This needs `Authorization: Bearer <token>`.")
        self._slow_down(self.failures.wait(client) or self.requests.take(client) or self.in_all.take(""))

    async def _is_known(self, request: Request) -> bool:
        return await asyncio.to_thread(self.tokens.allow, request.header(b"authorization"))

    def admit_anybody(self, request: Request) -> None:
        """For the one endpoint without a token."""
        self._slow_down(self.requests.take(client_key(request.client)) or self.in_all.take(""))

    def check_signature(self, request: Request, endpoint: str, body: bytes) -> None:
        reason = self.signatures.refuse(request.header(guards.HEADER), endpoint, body)
        if reason:
            raise Problem(401, protocol.BAD_SIGNATURE, reason)

    def _slow_down(self, wait: float) -> None:
        if wait:
            raise Problem(429, protocol.RATE_LIMITED, "Too many requests.", retry_after=wait)


class Endpoints:
    def __init__(
        self,
        *,
        documents: Documents,
        turns: Turns,
        siblings: Siblings,
        drain: Drain | None,
        readiness: Readiness | None,
        identity: Identity,
        guards: Guards,
        max_body: int,
        allow_read: bool,
        allow_empty: bool,
        allow_rotation: bool,
    ) -> None:
        self._documents = documents
        self._turns = turns
        self._siblings = siblings
        self._drain = drain
        self._readiness = readiness
        self._identity = identity
        self._guards = guards
        self._max_body = max_body
        self._allow_read = allow_read
        self._allow_empty = allow_empty
        self._allow_rotation = allow_rotation
        self._under_way: set[asyncio.Future[Response]] = set()
        self._routes: dict[str, tuple[str, Callable[[Request], Awaitable[Response]]]] = {
            "config-update": ("POST", self._config_update),
            _ADDRESSED: ("POST", self._config_update),
            "reload-config": ("POST", self._reload_config),
            "config-version": ("GET", self._config_version),
            "instance-info": ("GET", self._instance_info),
            "config": ("GET", self._config),
        }
        if drain is not None:
            self._routes["drain"] = ("POST", self._turn_drain)
            self._routes["undrain"] = ("POST", self._turn_drain)
            self._routes["health"] = ("GET", self._health)
        if allow_rotation:
            self._routes["tokens"] = ("POST", self._rotate)

    def has(self, endpoint: str) -> bool:
        return _route(endpoint) in self._routes

    async def answer(self, endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, endpoint=endpoint)
        try:
            response = await self._respond(request)
        except Problem as problem:
            log.warning("%s from %s: %s", endpoint[:40], request.client or "a local socket", problem.code)
            response = refusal(problem)
        except Disconnected:
            return
        except Exception:
            log.exception("The agent broke while answering %s.", endpoint[:40])
            response = refusal(Problem(500, protocol.INTERNAL, "The agent broke; its log says more."))
        await response.send(send)

    async def _respond(self, request: Request) -> Response:
        if request.endpoint == "health" and self._drain is not None:
            self._guards.admit_anybody(request)
        else:
            await self._guards.admit(request)
        if not self.has(request.endpoint):
            raise Problem(404, protocol.NOT_FOUND, "There is no such endpoint.")
        method, handler = self._routes[_route(request.endpoint)]
        if request.method != method:
            raise Problem(405, protocol.METHOD_NOT_ALLOWED, f"This endpoint answers {method} only.", allow=method)
        return await handler(request)

    async def _body(self, request: Request) -> bytes:
        body = await request.body(self._max_body)
        self._guards.check_signature(request, request.endpoint, body)
        return body

    async def _config_update(self, request: Request) -> Response:
        body = await self._body(request)
        _, _, meant = request.endpoint.partition("/")
        if meant and meant != self._identity.identity:
            text = "This is another instance than the one that the update was meant for."
            raise Problem(409, protocol.OTHER_INSTANCE, text, more={"identity": self._identity.identity})
        update = await asyncio.to_thread(read_update, body, allow_empty=self._allow_empty)
        return await self._whole(self._updated(update))

    async def _updated(self, update: Update) -> Response:
        status, error, code, retry_after = 200, None, None, None
        try:
            async with self._turns.take():
                fields = await self._documents.apply(update)
                others = await self._siblings.others()
                if fields["outcome"] == protocol.UNCHANGED and self._siblings.disagreed(others):
                    await self._documents.announce(update.documents)  # they may have failed before
            if fields["outcome"] in (protocol.APPLIED, protocol.UNCHANGED):
                behind = await self._siblings.loaded_everywhere()
                if behind:
                    status, code, retry_after = 503, protocol.WORKERS_BEHIND, _RETRY_AFTER
                    error = _behind(behind)
                fields["workers"] = self._siblings.report(await self._siblings.others())
        except Problem as problem:
            self._siblings.tell()
            if problem.retry_after is not None:
                problem.more["request_id"] = update.request_id
                raise
            status, error, code, fields = problem.status, problem.message, problem.code, problem.more
        if update.dry_run and self._readiness is not None:  # outside of the turn: the host may have to ask Vault
            fields = {**fields, "readiness": await self._readiness.of(update.documents)}
        if code:
            log.warning("config-update %s: %s", update.request_id or "without an id", code)
        answer = {
            "status": "error" if error else "success",
            "outcome": None,
            "error": error,
            "code": code,
            "details": {},
            "timestamp": now(),
            "instance_id": self._identity.instance_id,
            "identity": self._identity.identity,
            "version": update.version,
            "request_id": update.request_id,
            **self._documents.state.versions(),
            **fields,
        }
        return Response(status, answer, retry_after=retry_after)

    async def _reload_config(self, request: Request) -> Response:
        body = await self._body(request)
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
        try:
            async with self._turns.take():
                loaded = await self._documents.reload(kinds)
        finally:
            self._siblings.tell()
        behind = await self._siblings.loaded_everywhere()
        if behind:
            raise Problem(503, protocol.WORKERS_BEHIND, _behind(behind), retry_after=_RETRY_AFTER)
        answer = {
            "status": "success",
            "reloaded": {kind: kind in loaded for kind in KINDS},
            "timestamp": now(),
            "instance_id": self._identity.instance_id,
            **self._documents.state.versions(),
        }
        return Response(200, answer)

    async def _config_version(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._documents.read)
        sequence = await asyncio.to_thread(self._documents.sequence)
        others = await self._siblings.others()
        report = self._documents.state.version_report(found, sequence, unsettled=self._siblings.disagreed(others))
        return Response(200, {**report, "identity": self._identity.identity, "workers": self._siblings.report(others)})

    async def _instance_info(self, request: Request) -> Response:
        found = await asyncio.to_thread(self._documents.read)
        others = await self._siblings.others()
        behind = [worker for worker in others if worker.failed]
        report = self._documents.state.instance_report(found, [_behind(behind)] if behind else [])
        answer = {
            **asdict(self._identity),
            **report,
            "workers": self._siblings.report(others),
            "draining": self._drain is not None and self._drain.is_on(),
            "agent_version": __version__,
            "protocol": protocol.PROTOCOL,
            "capabilities": await asyncio.to_thread(self._capabilities),
        }
        return Response(200, answer)

    def _capabilities(self) -> list[str]:
        """`read_only` stands for a lack: reports and reloads work, updates are refused."""
        found = ["batch", "digest", "sequence", "dry_run"]
        optional = {
            "read": self._allow_read,
            "drain": self._drain is not None,
            "readiness": self._readiness is not None,
            "rotate_token": self._allow_rotation,
            "identity": self._identity.identity is not None,
            "read_only": not self._documents.is_writable(),
        }
        return found + [name for name, there in optional.items() if there]

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

    async def _turn_drain(self, request: Request) -> Response:
        await self._body(request)
        on = request.endpoint == "drain"
        try:
            if self._drain is not None:
                await asyncio.to_thread(self._drain.turn, on=on)
        except OSError as error:
            if not is_read_only(error):
                raise
            raise Problem(409, protocol.READ_ONLY, "Nothing can be written beside the documents.") from None
        answer = {"status": "success", "draining": on, "instance_id": self._identity.instance_id, "timestamp": now()}
        return Response(200, answer)

    async def _rotate(self, request: Request) -> Response:
        token = tokens.wanted(await self._body(request))
        return await self._whole(self._rotated(token, request.header(b"authorization")))

    async def _rotated(self, token: str, header: bytes) -> Response:
        known = self._guards.tokens
        try:
            async with self._turns.take():
                if token:
                    number = await asyncio.to_thread(known.add, token, header=header)
                else:
                    number = await asyncio.to_thread(known.drop_others, header=header)
        except OSError as error:
            if is_read_only(error):
                raise Problem(409, protocol.READ_ONLY, "The tokens of this instance cannot be kept here.") from None
            reason = error.strerror or type(error).__name__
            raise Problem(500, protocol.WRITE_FAILED, f"The disk refused ({reason}).") from None
        answer = {"status": "success", "tokens": number, "instance_id": self._identity.instance_id, "timestamp": now()}
        return Response(200, answer)

    async def _health(self, request: Request) -> Response:
        """For load balancers, which have no token: one word, nothing else."""
        draining = self._drain is not None and self._drain.is_on()
        return Response(503 if draining else 200, {"status": "draining" if draining else "ok"})

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


def _route(endpoint: str) -> str:
    """The name under which `endpoint` stands in the table of routes."""
    name, slash, meant = endpoint.partition("/")
    return _ADDRESSED if name == "config-update" and slash and meant else endpoint


def _behind(workers: Sequence[Worker]) -> str:
    number = len(workers)
    reasons = dict.fromkeys(worker.failed for worker in workers if worker.failed)
    said = f" {' '.join(reasons)}" if reasons else ""
    which = ", ".join(str(worker.pid) for worker in workers)
    noun = "worker process has" if number == 1 else "worker processes have"
    return f"{number} {noun} not loaded it (process {which}).{said}"
