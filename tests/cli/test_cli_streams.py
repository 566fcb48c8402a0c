"""Characters that an encoding lacks are escaped or replaced."""

from __future__ import annotations

import pytest

from trio_steps._cli import streams


@pytest.mark.parametrize(
    ("encoding", "spelled"),
    [
        ("ascii", rb"done 12 us; \xe9 \u03a9 \U0001f600 ..."),
        ("cp1252", b"done 12 \xb5s; \xe9 \\u03a9 \\U0001f600 \x85"),
        ("utf-8", "done 12 µs; é Ω 😀 …".encode()),
    ],
)
def test_what_an_encoding_lacks_is_spelled(encoding: str, spelled: bytes) -> None:
    assert "done 12 µs; é Ω 😀 …".encode(encoding, streams._HANDLER) == spelled


def test_half_a_character_is_an_escape() -> None:
    assert "…\udc80…".encode("utf-8", streams._HANDLER) == b"\xe2\x80\xa6\\udc80\xe2\x80\xa6"
