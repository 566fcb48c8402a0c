"""Runs in a SqliteStore survive SIGKILL: no step that was reported as done is done again, and the result is right.

The test starts this file as a program, which imports everything once and then forks a child for each attempt at a run.
A child counts the moments that it reaches: before and after each SQLite statement and each step. At one of them, drawn
by a seeded generator, it kills itself. Or it asks its parent to and continues: then the kill hits it a little later,
for example in the middle of a commit.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import traceback
from contextlib import closing
from pathlib import Path

import pytest
import trio
from random_pipelines import World
from trio.testing import MockClock

from trio_steps import Pipeline, otherwise, when
from trio_steps.store import SqliteStore

KILLS = 300
GENERATED_KILLS = 200
RESULT = {"n": 1, "a": 1, "b": [2], "c": (3,), "d": 4, "e": {5}, "items": [1, 2, 3], "f": 6, "out": [1, 4, 9], "end": 4}


@pytest.mark.long
def test_killed_runs_go_on_and_do_nothing_twice(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", __file__, tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, runs, repeated = map(int, done.stdout.split())
    assert kills == KILLS
    # enough kills: several for each run, and some between a step and its save
    assert runs < KILLS / 2
    assert repeated > 0


@pytest.mark.long
def test_killed_runs_of_random_pipelines_come_to_what_their_last_answers_say(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", __file__, tmp_path, "generated"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kills, runs, asked_again = map(int, done.stdout.split())
    assert kills >= GENERATED_KILLS
    assert runs < GENERATED_KILLS
    assert asked_again > 0


class Attempt:
    """What happens in a child, which is killed at moment number `fatal`."""

    def __init__(self, directory: Path, run_id: str, fatal: int, kill: object) -> None:
        self.directory = directory
        self.run_id = run_id
        self.left = fatal
        self.kill = kill
        self.log = os.open(directory / f"{run_id}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def moment(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.kill()

    def write(self, what: str, name: str) -> None:
        self.moment()
        os.write(self.log, f"{what} {name}\n".encode())
        self.moment()

    def store(self) -> SqliteStore:
        """Return a store with a moment before and after every statement."""
        attempt = self

        class Watched(sqlite3.Connection):
            def execute(self, *args):
                attempt.moment()
                result = super().execute(*args)
                attempt.moment()
                return result

        connect = sqlite3.connect
        sqlite3.connect = lambda *args, **options: connect(*args, factory=Watched, **options)
        return SqliteStore(self.directory / "runs.db")

    def run(self) -> None:
        store, pipeline = self.store(), self.pipeline()
        hook = {"on_step_complete": lambda event: self.write("told", event.name)}
        assert trio.run(lambda: pipeline.run({"n": 1}, store=store, run_id=self.run_id, **hook)) == RESULT

    def step(self, name: str, **keys: object):
        async def step():
            await trio.lowlevel.checkpoint()
            self.write("ran", name)
            await trio.lowlevel.checkpoint()
            return keys

        return step

    def pipeline(self):
        def square(item):
            self.write("ran", f"each/{item}")
            return item * item

        inner = Pipeline("in").step("c", self.step("g/in/c", c=(3,))).step("d", self.step("g/in/d", d=4))
        return (
            Pipeline("p")
            .step("a", self.step("a", a=1))
            .step("g", self.step("g/1", b=[2]), inner, self.step("g/3", e={5}))
            .step("items", self.step("items", items=[1, 2, 3]))
            .branch_on(
                "route",
                when(lambda d: d == 5, lambda p: p.step("no", self.step("route/five/no")), name="five"),
                otherwise(lambda p: p.step("f", self.step("route/otherwise/f", f=6))),
            )
            .for_each("each", square, over="items", each="item", into="out", concurrency=2)
            .step("end", lambda d: self.write("ran", "end") or {"end": d})
        )


class GeneratedAttempt(Attempt):
    """An attempt at a run of a random pipeline, whose functions answer differently each time."""

    def __init__(self, directory: Path, run_id: str, fatal: int, kill: object) -> None:
        super().__init__(directory, run_id, fatal, kill)
        attempt = self

        class Log(list):
            def append(self, entry):
                attempt.write(*entry)

        class Last(dict):
            def __setitem__(self, name, value):
                attempt.moment()
                os.write(attempt.log, f"last {name} {json.dumps(value)}\n".encode())
                attempt.moment()
                super().__setitem__(name, value)

        self.world = World(int(run_id.rpartition("-")[2]), waits=False)
        self.world.log, self.world.last = Log(), Last()
        self.world.draw = random.Random(fatal)
        self.world.values = itertools.count(fatal * 1000)

    def run(self) -> None:
        store, told = self.store(), self.world.log.append
        elements = {"elements": [1, 2, 3]}
        hook = {"on_step_complete": lambda event: told(("told", event.name))}

        async def main():
            await self.world.pipeline.run(elements, store=store, run_id=self.run_id, **hook)

        trio.run(main, clock=MockClock(rate=1000))  # not autojump: the store's threads take real time


def fork(directory: Path, run_id: str, fatal: int, by_parent: bool, kind=Attempt) -> int:
    """Make an attempt at a run. Return how it ended, as os.waitpid does."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            asks = lambda: os.write(writer, b"x")  # noqa: E731
            kills = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
            kind(directory, run_id, fatal, asks if by_parent else kills).run()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    if os.read(reader, 1):
        os.kill(pid, signal.SIGKILL)
    os.close(reader)
    return os.waitpid(pid, 0)[1]


def main(directory: Path) -> None:
    generator = random.Random(16)
    kills = runs = repeated = 0
    while kills < KILLS:
        runs += 1
        run_id = f"run-{runs}"
        finished = False
        while not finished and kills < KILLS:
            status = fork(directory, run_id, generator.randrange(1, 120), generator.random() < 0.5)
            finished = status == 0
            if not finished:
                assert os.WTERMSIG(status) == signal.SIGKILL
                kills += 1
            with closing(sqlite3.connect(directory / "runs.db")) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            log = (directory / f"{run_id}.log").read_text().splitlines()
            told: set[str] = set()
            for line in log:
                what, name = line.split()
                assert what != "ran" or name not in told, (run_id, name, log)
                if what == "told":
                    told.add(name)
            repeated += len(log) > len(set(log))
    sys.stdout.write(f"{kills} {runs} {repeated}\n")


def main_generated(directory: Path) -> None:
    generator = random.Random(17)
    kills = runs = asked_again = 0
    while kills < GENERATED_KILLS:
        runs += 1
        run_id = f"run-{runs}"
        status = -1
        while status != 0:
            fatal = generator.randrange(1, 200)
            status = fork(directory, run_id, fatal, generator.random() < 0.5, GeneratedAttempt)
            if status != 0:
                assert os.WTERMSIG(status) == signal.SIGKILL
                kills += 1
        world = World(runs, waits=False)
        lines = [line.split(maxsplit=2) for line in (directory / f"{run_id}.log").read_text().splitlines()]
        world.log = [(what, name) for what, name, *_ in lines if what != "last"]
        world.last = {name: json.loads(value) for what, name, *rest in lines if what == "last" for value in rest}
        world.check_log()
        result = trio.run(SqliteStore(directory / "runs.db").load, run_id).result
        assert result == world.expected(), (runs, result, world.expected(), world.log)
        asked = [name for what, name in world.log if what == "asked"]
        asked_again += len(asked) > len(set(asked))
    sys.stdout.write(f"{kills} {runs} {asked_again}\n")


if __name__ == "__main__":
    (main_generated if sys.argv[2:] else main)(Path(sys.argv[1]))
