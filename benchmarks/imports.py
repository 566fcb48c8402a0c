"""P9, the time to import: each in a new interpreter, without the interpreter's own start."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from .fanout import is_present
from .measure import PEERS, Contender, DifferentResultError, Row, Settings, Target, judge, take_turns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

KEYS = ("P9",)

_PROGRAM = """
import sys, time
there_before = {names!r} & sys.modules.keys()
start = time.process_time()
import {module}
seconds = time.process_time() - start
print(seconds, not there_before and {names!r} <= sys.modules.keys())
"""


def seconds_to_import(module: str, names: Collection[str], _settings: Settings | None = None) -> float:
    """Import `module` in a new interpreter. Afterwards all `names` must be imported that were not before."""
    program = _PROGRAM.format(module=module, names=set(names))
    # compiled, as pip leaves it; otherwise a checkout would be compiled each time, and its peers would not
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)  # noqa: S603
    seconds, fine = done.stdout.split()
    if fine != "True":
        raise DifferentResultError(f"import {module} did not bring all of {sorted(names)}")
    return float(seconds)


def contenders() -> list[Contender]:
    modules = {"trio_steps": "trio_steps", **PEERS}
    needs = {"trio_steps": {"trio", "trio_steps"}}
    return [
        Contender(
            name=name,
            how=f"import {module}",
            sample=functools.partial(seconds_to_import, module, needs.get(name, {module})),
            check=lambda: None,  # each sample does
        )
        for name, module in modules.items()
        if is_present(name)
    ]


def measure(keys: Collection[str], settings: Settings) -> Iterator[Row]:
    """Measure those of `keys` that are measured here."""
    if "P9" in keys:
        target = Target(
            key="P9", what="import trio_steps", of="trio_steps", against="bare Trio", limit=1.25, unit="run"
        )
        all_of_them = contenders()
        yield from judge([target], all_of_them, take_turns(all_of_them, settings), {})
