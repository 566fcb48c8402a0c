"""The durable agent example: its process dies in the third round, and the next process continues there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from places import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path

    from warm import Interpreter


def test_agent_goes_on_in_the_round_in_which_its_process_died(python: Interpreter, tmp_path: Path) -> None:
    def run(*arguments: object) -> tuple[int, list[str]]:
        done = python.run(EXAMPLES / "agent_loop.py", *arguments)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    code, lines = run(tmp_path / "agent.db", "--die-in", "3")
    assert code == 9
    assert lines == [
        "round 1, think about 'Why is the sky blue?': read the question",
        "round 1, act: read the question",
        "round 2, think about 'Why is the sky blue?': search",
        "round 2, act: search",
        "round 3, think about 'Why is the sky blue?': compare what was found",
    ]
    code, lines = run(tmp_path / "agent.db")
    assert code == 0
    assert lines == [
        "round 3, act: compare what was found",
        "round 4, think about 'Why is the sky blue?': write the answer",
        "round 4, act: write the answer",
        "done in 4 rounds",
    ]
    assert run(tmp_path / "agent.db") == (0, ["done in 4 rounds"])
