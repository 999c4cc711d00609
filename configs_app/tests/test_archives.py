"""Only the two documents are read from an archive, and no archive can do harm."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from django.conf import settings

from configs_app.archives import MOST_BYTES, documents_in
from console.errors import Refused


def packed(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def read(content: bytes) -> dict[str, bytes]:
    return documents_in(io.BytesIO(content), size=len(content), name="backup.zip")


@pytest.mark.parametrize("folder", ["", "config/", "a/b/c/", "../../etc/", "/", "C:\\config\\"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_documents_are_found_in_whatever_folder_and_the_rest_is_left_alone(folder: str, method: int) -> None:
    archive = packed(
        (f"{folder}webhooks.json", b'{"a": {}}\r\n'),
        (f"{folder}connections.json", "{}ü".encode()),
        ("__MACOSX/._webhooks.json", b"junk"),
        ("__MACOSX/webhooks.json", b"junk"),
        (f"{folder}notes.txt", b"x"),
        ("my-webhooks.json", b"x"),
        ("webhooks.json/", b""),
        method=method,
    )
    assert read(archive) == {"webhooks": b'{"a": {}}\r\n', "connections": "{}ü".encode()}


def test_one_document_is_enough_and_none_is_refused() -> None:
    assert read(packed(("connections.json", b"{}"))) == {"connections": b"{}"}
    with pytest.raises(Refused, match=r"holds neither webhooks\.json nor connections\.json"):
        read(packed(("config/other.json", b"{}")))


def test_two_of_one_name_are_named_and_refused() -> None:
    with pytest.raises(Refused, match=r"more than once: 'a/webhooks.json' and 'b/webhooks.json'"):
        read(packed(("a/webhooks.json", b"{}"), ("b/webhooks.json", b"{}")))


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"not a zip", packed(("webhooks.json", b"{}"))[:40]],
    ids=["empty", "short", "text", "cut"],
)
def test_what_is_no_archive_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(Refused, match="no zip archive, or it is damaged"):
        read(content)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = packed(("webhooks.json", b"0" * (settings.DOCUMENT_MAX_BYTES + 1)))
    assert len(bomb) < 10_000
    with pytest.raises(Refused, match="unpacks to"):
        read(bomb)


def test_a_bomb_that_lies_about_its_size_is_refused() -> None:
    size = settings.DOCUMENT_MAX_BYTES * 4
    bomb = packed(("webhooks.json", b"0" * size))
    lying = bomb.replace(struct.pack("<L", size), struct.pack("<L", 10))
    assert lying != bomb
    with pytest.raises(Refused, match="damaged"):
        read(lying)


def test_a_damaged_member_is_refused() -> None:
    whole = packed(("webhooks.json", b'{"a": {"module": "log"}}'), method=zipfile.ZIP_STORED)
    with pytest.raises(Refused, match="damaged"):
        read(whole.replace(b'"log"', b'"lug"', 1))


def test_an_encrypted_member_and_a_strange_method_are_refused() -> None:
    plain = packed(("webhooks.json", b"{}"))
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        directory = archive.start_dir
    encrypted = bytearray(plain)
    encrypted[6] |= 1  # the flag in the member's own header
    encrypted[directory + 8] |= 1  # and in the directory
    with pytest.raises(Refused, match="encrypted"):
        read(bytes(encrypted))
    with pytest.raises(Refused, match="ordinary zip"):
        read(packed(("webhooks.json", b"{}"), method=zipfile.ZIP_LZMA))


def test_an_archive_of_too_many_files_or_too_many_bytes_is_refused() -> None:
    with pytest.raises(Refused, match="has 10,001 files"):
        read(packed(*((f"{number}", b"") for number in range(10_001))))
    with pytest.raises(Refused, match="an archive may have"):
        documents_in(io.BytesIO(b""), size=MOST_BYTES + 1, name="big.zip")
