"""The standard streams, which may be closed, or have an encoding that lacks some characters.

Missing characters are replaced: our own by ASCII, as a person would type them, all others by escapes. JSON and diagrams
are read by programs, and have their own escapes.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_SPELLED: Final = {"…": "...", "µ": "u"}
_HANDLER: Final = "trio_steps.spelled"


def open_streams() -> None:
    """Make the standard streams accept any text, and read UTF-8.

    A stream that was closed when the process began accepts, or returns, nothing. Input is JSON, which is always UTF-8.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open, like the others
    for stream, encoding, errors in (
        (sys.stdin, "utf-8", "strict"),
        (sys.stdout, None, _HANDLER),
        (sys.stderr, None, _HANDLER),
    ):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors=errors)


def drop_output() -> None:
    """Write what is left of the output to nowhere, so that Python does not complain about it when it exits."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _spelled(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    lacking = error.object[error.start : error.end]
    return "".join(_SPELLED.get(char) or _escaped(char) for char in lacking), error.end


def _escaped(char: str) -> str:
    return char.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(_HANDLER, _spelled)


def lacks(text: str) -> bool:
    """Tell whether standard output can't encode `text`."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return True
    return False


def with_entities(text: str, prefix: str) -> str:
    """Return a diagram that standard output can encode. If need be, non-ASCII characters become entities.

    Args:
      text: the diagram.
      prefix: how an entity begins in its language: ``&#`` in HTML.
    """
    return re.sub(r"[^\x00-\x7f]", lambda match: f"{prefix}{ord(match[0])};", text) if lacks(text) else text
