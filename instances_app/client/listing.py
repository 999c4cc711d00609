"""Asking other services than instances for a list of them: one request, within a fixed time whatever they do.

No redirects, no proxies, no environment. The name is looked up here, every address of it is judged before anything is
sent, and the connection goes to the one that was judged: a name cannot lead elsewhere between the look and the use.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from console import __version__
from instances_app.addresses import is_forbidden
from instances_app.client.tls import Trust

LIMIT = 8 * 1024 * 1024  # bytes of an answer
CONNECT_SECONDS = 3.0
SECONDS = 20.0  # for everything: the name, the connection, the whole answer


class ListingError(Exception):
    """No answer that can be used: what is wrong, and what to do. Never holds a header or a query."""

    def __init__(self, text: str) -> None:
        super().__init__(text[:1].upper() + text[1:])


@dataclass(frozen=True, slots=True)
class Listing:
    headers: httpx.Headers
    content: bytes


def fetch(
    url: str,
    *,
    headers: Mapping[str, str],
    authority: str = "",
    client: tuple[str, str] = ("", ""),
    what: str,
    seconds: float = SECONDS,
) -> Listing:
    """GET this address; a 200 with its content. `authority`: certificates in PEM to trust instead of the machine's;
    `client`: a certificate and its key.

    Raises ListingError.
    """
    try:
        return asyncio.run(_fetch(httpx.URL(url), headers, _trust(authority, client), what=what, seconds=seconds))
    except (TimeoutError, httpx.TimeoutException):
        text = f"{what} did not answer within {seconds:.0f} seconds. Is its address right, and is it up?"
        raise ListingError(text) from None
    except httpx.InvalidURL:
        raise ListingError(f"The address of {what} cannot be used. Correct it.") from None
    except httpx.ConnectError as error:
        raise ListingError(_not_connected(error, what)) from None
    except httpx.TransportError:
        raise ListingError(f"The connection broke before {what} had answered. It is tried again.") from None


async def _fetch(
    url: httpx.URL, headers: Mapping[str, str], trust: ssl.SSLContext, *, what: str, seconds: float
) -> Listing:
    async with asyncio.timeout(seconds):
        address = await _judged(url, what)
        async with httpx.AsyncClient(
            verify=trust,
            timeout=httpx.Timeout(seconds, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
        ) as client:
            own = {
                "Host": url.netloc.decode("ascii"),
                "User-Agent": f"webhook-console/{__version__}",
                "Accept-Encoding": "identity",
            }
            request = client.build_request("GET", url.copy_with(host=address), headers={**own, **headers})
            request.extensions["sni_hostname"] = url.host
            response = await client.send(request, stream=True)
            try:
                return await _read(response, what)
            finally:
                await response.aclose()


async def _read(response: httpx.Response, what: str) -> Listing:
    status = response.status_code
    if status in {401, 403}:
        raise ListingError(f"{what} refused our token (HTTP {status}). Store one that may read this, then look again.")
    if 300 <= status < 400:
        raise ListingError(f"{what} redirects (HTTP {status}). Type the address that it leads to.")
    if status != 200:
        raise ListingError(f"{what} answered with HTTP {status}. Is the address right, and is it well?")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > LIMIT:
            raise ListingError(
                f"The answer of {what} is larger than {LIMIT >> 20} MB. Narrow down what it is asked for."
            )
    return Listing(response.headers, bytes(content))


async def _judged(url: httpx.URL, what: str) -> str:
    """The address that its name stands for, if none of them is forbidden."""
    if url.scheme not in {"http", "https"} or not url.host:
        raise ListingError(f"The address of {what} must start with http:// or https:// and name a host.")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ListingError(f"The host name {url.host} is not known. Is it spelled right?") from None
    addresses = [str(entry[4][0]) for entry in found]
    if any(map(is_forbidden, [url.host, *addresses])):
        raise ListingError(f"{url.host} is a link-local, multicast or cloud metadata address; it is not asked.")
    return addresses[0]


def _trust(authority: str, client: tuple[str, str]) -> ssl.SSLContext:
    try:
        return Trust(authorities=authority, certificate=client[0], key=client[1]).context
    except (ssl.SSLError, ValueError):
        raise ListingError(
            "The CA certificate cannot be read. Paste it as PEM, with its BEGIN and END lines."
        ) from None


def _not_connected(error: httpx.ConnectError, what: str) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS to {what} failed: its certificate is not trusted, expired or for another name."
        cause = cause.__cause__ or cause.__context__
    return f"Connection refused: {what} does not listen at that address and port."
