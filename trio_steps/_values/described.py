"""Values in messages: a short repr, and the type."""

from __future__ import annotations

import reprlib


def described(value: object) -> str:
    """Return a short repr of `value` and its type, for a message. An error in its ``__repr__`` does no harm."""
    kind = type(value).__qualname__
    try:
        return f"{reprlib.repr(value)} (of type {kind})"
    except Exception:  # noqa: BLE001 - the message that it is for matters more
        return f"something of type {kind}"
