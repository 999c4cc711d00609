"""The fan-out's own HTTP: what never left is told from what may have arrived, however the other side behaves."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from instances_app.client import Fleet, Look, Looked, Outcome, Push, Pushed, Target, Trust, Way, wire

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{"webhooks_version":"%b"}' % (b"a" * 8)
PLAIN = Way(plain_http=True)
WANTED = {"webhooks": "b" * 64}

Talk = Callable[[socket.socket, int], None]  # one connection and its number, from 1


@contextmanager
def listening(talk: Talk, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The base URL of a server on loopback."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for number in range(1, 100):
            try:
                connection, _ = server.accept()
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
            except OSError:
                if server.fileno() < 0:
                    return
                continue
            threading.Thread(target=converse, args=(connection, number), daemon=True).start()

    def converse(connection: socket.socket, number: int) -> None:
        with connection:
            talk(connection, number)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()


def head(connection: socket.socket) -> bytes:
    """The head of the next request; empty when the other side has closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            return b""
        received += data
    return received


def pushed(url: str, *, token: str = "t", body: bytes = b"{}", read_timeout: float = 0.5, way: Way = PLAIN) -> Pushed:  # noqa: S107
    with Fleet(connect_timeout=2, read_timeout=read_timeout) as fleet:
        fleet.submit(Push(1, Target(url, token, way=way), (body,), look_first=False, wanted=WANTED))
        (result,) = fleet.results(timeout=30)
    assert isinstance(result, Pushed)
    return result


def looked(url: str, way: Way = PLAIN) -> Looked:
    with Fleet(connect_timeout=2, read_timeout=2) as fleet:
        fleet.submit(Look(1, Target(url, "t", way=way)))
        (result,) = fleet.results(timeout=30)
    assert isinstance(result, Looked)
    return result


def test_a_push_and_its_read_back_share_one_connection() -> None:
    heads: list[bytes] = []

    def talk(connection: socket.socket, number: int) -> None:
        while request := head(connection):
            heads.append(request)
            connection.sendall(OK)

    with listening(talk) as url:
        result = pushed(f"{url}/behind/a proxy/")
    assert result.read_back is not None
    assert result.read_back.outcome == Outcome.OK
    assert [request.split(b" HTTP")[0] for request in heads] == [
        b"POST /behind/a%20proxy/admin/config-update",
        b"GET /behind/a%20proxy/admin/config-version",
    ]
    assert b"Connection: close" in heads[1]


def test_a_connection_closed_after_the_answer_is_made_anew_for_the_read_back_only() -> None:
    asked: list[tuple[int, bytes]] = []

    def talk(connection: socket.socket, number: int) -> None:
        asked.append((number, head(connection)[:4]))
        connection.sendall(OK)
        if number == 1:  # wait for the read-back, and close instead of answering
            asked.append((number, head(connection)[:4]))

    with listening(talk) as url:
        result = pushed(url)
    assert result.read_back is not None
    assert result.read_back.outcome == Outcome.OK
    assert asked == [(1, b"POST"), (1, b"GET "), (2, b"GET ")]


def test_a_push_is_never_repeated_by_itself() -> None:
    asked: list[bytes] = []

    def talk(connection: socket.socket, number: int) -> None:
        asked.append(head(connection)[:4])

    with listening(talk) as url:
        result = pushed(url)
    assert [(reply.outcome, reply.code) for reply in result.sent] == [(Outcome.UNKNOWN, "disconnected")]
    assert asked == [b"POST"]


def test_an_answer_that_drips_for_ever_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_LOOKS", 3)
    done = threading.Event()

    def talk(connection: socket.socket, number: int) -> None:
        head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not done.wait(0.02):
                connection.sendall(b" ")
        except OSError:
            return

    with listening(talk) as url, ExitStack() as stack:
        stack.callback(done.set)
        result = pushed(url, read_timeout=0.2)
    assert [(reply.outcome, reply.code) for reply in result.sent] == [(Outcome.UNKNOWN, "read_timeout")]


def test_a_body_that_nobody_reads_is_unknown() -> None:
    done = threading.Event()

    def talk(connection: socket.socket, number: int) -> None:
        done.wait(30)

    with listening(talk) as url, ExitStack() as stack:
        stack.callback(done.set)
        result = pushed(url, body=b"x" * 30_000_000, read_timeout=0.2)
    assert [(reply.outcome, reply.code) for reply in result.sent] == [(Outcome.UNKNOWN, "read_timeout")]


def test_a_head_without_end_is_cut_off() -> None:
    def talk(connection: socket.socket, number: int) -> None:
        head(connection)
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: 0123456789\r\n" * 100_000)
        except OSError:
            return

    with listening(talk) as url:
        result = pushed(url)
    assert [(reply.outcome, reply.code) for reply in result.sent] == [(Outcome.WRONG_PROTOCOL, "too_large")]


def test_what_follows_an_answer_is_not_taken_for_the_next_one() -> None:
    def talk(connection: socket.socket, number: int) -> None:
        head(connection)
        connection.sendall(OK + OK.replace(b"a" * 8, b"b" * 8) if number == 1 else OK)

    with listening(talk) as url:
        result = pushed(url)
    assert result.read_back is not None
    assert result.read_back.body == {"webhooks_version": "a" * 8}


def test_a_token_that_cannot_stand_in_a_header_is_not_sent() -> None:
    asked: list[bytes] = []
    with listening(lambda connection, number: asked.append(head(connection))) as url:
        result = pushed(url, token="one\r\nX-Admin: yes")
    assert [(reply.outcome, reply.code) for reply in result.sent] == [(Outcome.UNREACHABLE, "token")]
    assert asked == []


@pytest.mark.parametrize("url", ["http://", "ftp://host", "http://host:port", "http://[::1", "http://" + "x" * 300])
def test_an_address_that_cannot_be_used_says_so(url: str) -> None:
    assert [(reply.outcome, reply.code) for reply in pushed(url).sent] == [(Outcome.UNREACHABLE, "address")]


def test_tls_is_verified_by_name_and_authority(tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusting = Way(trust=Trust(authorities=_certificate(tmp_path, "localhost").read_text()))
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def talk(connection: socket.socket, number: int) -> None:
        while head(connection):
            connection.sendall(OK)

    with listening(talk, tls=server) as url:
        named = url.replace("127.0.0.1", "localhost")
        unknown, known, misnamed = pushed(named, way=Way()), pushed(named, way=trusting), pushed(url, way=trusting)
    assert [(reply.outcome, reply.code) for reply in unknown.sent] == [(Outcome.UNREACHABLE, "tls")]
    assert [(reply.outcome, reply.code) for reply in misnamed.sent] == [(Outcome.UNREACHABLE, "tls")]
    assert "not trusted by the machine" in unknown.sent[0].error
    assert "for another name" in misnamed.sent[0].error
    assert known.read_back is not None
    assert known.read_back.outcome == Outcome.OK


def test_a_look_notes_when_the_certificate_ends(tmp_path: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusting = Way(plain_http=True, trust=Trust(authorities=_certificate(tmp_path, "localhost").read_text()))
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def talk(connection: socket.socket, number: int) -> None:
        while head(connection):
            connection.sendall(OK)

    with listening(talk, tls=server) as url, listening(talk) as plain:
        shown, none = looked(url.replace("127.0.0.1", "localhost"), trusting), looked(plain, trusting)
    assert (shown.info.outcome, none.info.outcome) == (Outcome.OK, Outcome.OK)
    end = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes()).not_valid_after_utc
    assert shown.certificate_until == end
    assert none.certificate_until is None


def _certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for one name, as cert.pem and key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem"
