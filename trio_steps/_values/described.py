"""What a message says of a value: a short repr, and its type."""

from __future__ import annotations

import reprlib


def described(value: object) -> str:
    """Return a short repr of `value` and its type, for a message; whatever its own ``__repr__`` does."""
    kind = type(value).__qualname__
    try:
        return f"{reprlib.repr(value)} (of type {kind})"
    except Exception:  # noqa: BLE001 - the message that it is for matters more
        return f"something of type {kind}"
