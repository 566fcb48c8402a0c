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
    from collections.abc import Iterable, Mapping, Sequence


def limit_of(row: Row) -> str:
    return f"{row.limit:.2f} {row.figure.unit}" + (f" {row.against}" if row.against else "")


def verdict_of(row: Row) -> str:
    return "met" if row.met else "MISSED"


def duration(seconds: float | None) -> str:
    """Return the seconds as text; nothing for None."""
    if seconds is None:
        return ""
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def table(rows: Iterable[Row]) -> str:
    """Return the rows as text: target, measured with its quartiles, verdict, and the peers below."""
    lines = [f"{'':<5}{'':<52}{'at most':<24}{'measured':<25}{'median':>9} per  verdict"]
    for row in rows:
        lines.append(
            f"{row.key:<5}{row.what:<52}{limit_of(row):<24}{row.figure!s:<25}"
            f"{duration(row.seconds):>9} {row.unit:<6}{verdict_of(row)}"
        )
        for peer in row.peers:
            name = f"{'':<7}{peer.name}: {peer.how}"
            figure = "—" if peer.figure is None else str(peer.figure)
            lines.append(f"{name:<81}{figure:<25}{duration(peer.seconds):>9}".rstrip())
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    missed = sorted({row.key for row in rows if not row.met}, key=lambda key: int(key[1:]))
    met = sum(row.met for row in rows)
    return f"{met} of {len(rows)} figures within their targets" + (f"; missed: {', '.join(missed)}" if missed else "")


def surroundings(settings: Settings, seconds: float) -> dict[str, Any]:
    """Return what a reader has to know about the machine and the run."""
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
        f"collector {'on' if about['collector'] else 'off'}{', --quick' if about['quick'] else ''}"
    )


def fill(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with each table in the place of its name, between two comments.

    Raises:
      ValueError: a table has no place.
    """
    for name, content in tables.items():
        begin, end = f"<!-- measured: {name} -->\n", "<!-- end -->\n"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page has no {begin.strip()} … {end.strip()} to put the table into")
        page = f"{before}{begin}\n```text\n{content}\n```\n\n{end}{after}"
    return page


def as_json(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "what": row.what,
        "limit": row.limit,
        "against": row.against,
        "met": row.met,
        "measured": _figure(row.figure),
        "seconds": row.seconds,
        "per": row.unit,
        "peers": [
            {
                "name": peer.name,
                "how": peer.how,
                "measured": None if peer.figure is None else _figure(peer.figure),
                "seconds": peer.seconds,
            }
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
