"""A DNS server for the tests of discovery, over UDP and TCP."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

LARGEST = 1232  # bytes of an answer over UDP


@dataclass
class Zone:
    """`records`: (name, type) → records as text. `mode`: how it behaves otherwise."""

    server: str
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    mode: str = ""  # "silent", "garbage", "broken"

    def answer(self, wire: bytes, *, tcp: bool) -> bytes | None:
        if self.mode in {"silent", "garbage"}:
            return b"\xff\x00garbage" if self.mode == "garbage" else None
        query = dns.message.from_wire(wire)
        reply = dns.message.make_response(query)
        (question,) = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        found = self.records.get((name, kind), [])
        if self.mode == "broken":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif found:
            reply.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, found))
        elif not any(known == name for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        content = reply.to_wire(max_size=65535)
        if not tcp and len(content) > LARGEST:
            reply.answer, reply.flags = [], reply.flags | dns.flags.TC
            content = reply.to_wire()
        return content


def _bound(
    over_udp: type[socketserver.BaseRequestHandler], over_tcp: type[socketserver.BaseRequestHandler]
) -> tuple[socketserver.UDPServer, socketserver.TCPServer]:
    """Both at one port: one that is free for UDP may be taken for TCP."""
    while True:
        udp = socketserver.UDPServer(("127.0.0.1", 0), over_udp)
        try:
            return udp, socketserver.TCPServer(udp.server_address, over_tcp)
        except OSError:
            udp.server_close()


@contextmanager
def serving() -> Iterator[Zone]:
    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire, socket = self.request
            content = zone.answer(wire, tcp=False)
            if content is not None:
                socket.sendto(content, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (size,) = struct.unpack("!H", self.rfile.read(2))
            content = zone.answer(self.rfile.read(size), tcp=True)
            if content is not None:
                self.wfile.write(struct.pack("!H", len(content)) + content)

    udp, tcp = _bound(Udp, Tcp)
    address: Any = udp.server_address
    zone = Zone(f"127.0.0.1:{address[1]}")
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in (udp, tcp)]
    for thread in threads:
        thread.start()
    try:
        yield zone
    finally:
        for server in (udp, tcp):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()
