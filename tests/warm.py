"""Run each program in its own process, and start Python only once for all of them.

A short program spends its time on starting the interpreter and importing Trio, and the docs have dozens of programs. So
one process does both once, and forks for each program. The program finds what it would find in a new interpreter: its
own ``__main__``, its arguments, and no module of Trio or of ours that it would have to import by name. Where
``os.fork`` does not exist, every program gets its own interpreter.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

SECONDS = 60
"""How many seconds a program may take."""


class Interpreter:
    """A Python that has imported Trio, and runs a program whenever it is told to."""

    def __init__(self, *options: str, **environment: str) -> None:
        self._start = [sys.executable, *options]
        self._environment = {**os.environ, "PYTHONUTF8": "1", **environment}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory()
        if hasattr(os, "fork"):
            self._process = subprocess.Popen(
                [*self._start, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                env=self._environment,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()
        self._folder.cleanup()

    def run(self, script: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run `script` like ``python script arguments``, and return its exit status and everything it wrote."""
        told = [str(argument) for argument in (script, *arguments)]
        cwd = cwd or Path.cwd()
        written = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        if self._process is None:
            with written[0].open("wb") as stdout, written[1].open("wb") as stderr:
                code = subprocess.call(
                    [*self._start, *told], cwd=cwd, env=self._environment, timeout=SECONDS, stdout=stdout, stderr=stderr
                )
        else:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps([str(cwd), *map(str, written), *told]) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(told, code, *(file.read_text(encoding="utf-8") for file in written))


def become(cwd: str, stdout: str, stderr: str, script: str, *arguments: str) -> None:
    """Be the program, from here to the end of this process."""
    signal.alarm(SECONDS)
    os.chdir(cwd)
    for descriptor, file in enumerate((os.devnull, stdout, stderr)):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    import trio_steps

    for name in trio_steps.__all__:
        getattr(trio_steps, name)  # imports its module
    importlib.import_module("pytest")  # trio.testing imports it, and it takes longer than all the rest
    gc.collect()
    gc.freeze()  # what is here already is not looked through again in every program
    for line in sys.stdin:
        if not os.fork():
            become(*json.loads(line))
            break
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.wait()[1])}\n")
        sys.stdout.flush()
