"""Characters that an encoding lacks are escaped or replaced."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from trio_steps._cli import main, streams
from trio_steps._cli.common import words


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


def test_command_whose_reader_has_enough_ends_without_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "trio_steps", "graph", "shop:checkout"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (128 + 13, b"")


def test_reader_that_has_enough_is_no_failure(monkeypatch, capsys) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["graph", "shop:checkout"]) == 128 + 13
    assert capsys.readouterr().err == ""


def test_words_of_an_error_do_not_affect_the_terminal() -> None:
    assert words(ValueError("red \x1b[31m\nand \0 nothing")) == "ValueError: red [31m\nand nothing"
    assert words("a\x07\nb") == "a\nb"
