"""The table, and the same as JSON."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import attrs

from .measure import PEERS, Figure, Row, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def limit_of(row: Row) -> str:
    return f"{row.limit:.2f} {row.figure.unit}"


def verdict_of(row: Row) -> str:
    return "met" if row.met else "MISSED"


def table(rows: Iterable[Row]) -> str:
    """Return the rows as text: target, measured with its quartiles, verdict, and the peers below."""
    lines = [f"{'':<6}{'':<50}{'at most':>10}   {'measured':<25}{'verdict'}"]
    for row in rows:
        lines.append(f"{row.key:<6}{row.what:<50}{limit_of(row):>10}   {row.figure!s:<25}{verdict_of(row)}")
        for peer in row.peers:
            figure = "—" if peer.figure is None else str(peer.figure)
            lines.append(f"{'':<6}  {peer.name + ': ' + peer.how:<58}   {figure}")
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    missed = sorted({row.key for row in rows if not row.met}, key=lambda key: int(key[1:]))
    met = sum(row.met for row in rows)
    return f"{met} of {len(rows)} figures within their targets" + (f"; missed: {', '.join(missed)}" if missed else "")


def surroundings(settings: Settings, seconds: float) -> dict[str, Any]:
    """Return what a reader has to know of the machine and of the run."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()] if sys.platform != "win32" else None,
        "versions": {name: _version(name) for name in ("trio_steps", *PEERS.values()) if name != "asyncio"},
        "rounds": settings.rounds,
        "quick": settings.quick,
        "scale": settings.scale,
        "collector": settings.gc,
        "clock": settings.clock.__name__,
        "seconds": round(seconds, 1),
    }


def headline(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items() if number is not None)
    load = "" if about["load"] is None else f", load {about['load'][0]}"
    return (
        f"{about['implementation']} {about['python']}, {about['platform']}, {about['cores']} cores{load}\n"
        f"{versions}\n"
        f"ratios: medians of {about['rounds']} rounds, in brackets their quartiles; {about['clock']}, "
        f"collector {'on' if about['collector'] else 'off'}"
    )


def as_json(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "what": row.what,
        "limit": row.limit,
        "met": row.met,
        "measured": _figure(row.figure),
        "peers": [
            {"name": peer.name, "how": peer.how, "measured": None if peer.figure is None else _figure(peer.figure)}
            for peer in row.peers
        ],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return attrs.asdict(figure)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
