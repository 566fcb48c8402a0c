"""An agent that thinks and acts in rounds, and continues in the very round in which its process died.

    python examples/agent_loop.py agent.db --die-in 3
    python examples/agent_loop.py agent.db

The run is kept in a store. The first command dies in the third round, when the agent has thought but not yet acted. The
second command continues: rounds one and two are not run again, and neither is the thought of the third.

It prints each action of the agent on a line, and then the answer.
"""

from __future__ import annotations

import argparse
import os
from typing import TypedDict

import trio

from trio_steps import Pipeline
from trio_steps.store import SqliteStore

PLAN = ("read the question", "search", "compare what was found", "write the answer")


class Question(TypedDict):
    """What the agent is asked."""

    question: str


class Thought(TypedDict):
    """What is to be done next."""

    thought: str


class History(TypedDict):
    """What has been done."""

    history: tuple[str, ...]


class Answer(TypedDict):
    """The agent's answer."""

    answer: str


def agent_that(die_in: int | None) -> Pipeline[Question, Answer]:
    """Return the agent; `die_in` is the round in which its process dies, if it does."""

    async def think(question: str, history: tuple[str, ...] = ()) -> Thought:
        await trio.sleep(0.01)  # a real agent asks a model here
        thought = PLAN[len(history)]
        print(f"round {len(history) + 1}, think about {question!r}: {thought}", flush=True)
        return {"thought": thought}

    async def act(thought: str, history: tuple[str, ...] = ()) -> History:
        if len(history) + 1 == die_in:
            os._exit(9)  # as kill -9 would
        await trio.sleep(0.01)
        print(f"round {len(history) + 1}, act: {thought}", flush=True)
        return {"history": (*history, thought)}

    def is_done(history: tuple[str, ...]) -> bool:
        return history[-1] == PLAN[-1]

    def answer(history: tuple[str, ...]) -> Answer:
        return {"answer": f"done in {len(history)} rounds"}

    one_round = Pipeline("round").step(think).step(act)
    return (
        Pipeline("agent", inputs=Question)
        .repeat("rounds", one_round, until=is_done, at_most=10)
        .step(answer)
        .outputs(Answer)
    )


async def main() -> None:
    """Run the agent, or continue its run."""
    parser = argparse.ArgumentParser(description="An agent that goes on where its process died.")
    parser.add_argument("store", help="the file of the store")
    parser.add_argument("--die-in", type=int, metavar="ROUND", help="the round in which the process dies")
    options = parser.parse_args()
    agent = agent_that(options.die_in)
    result = await agent.run({"question": "Why is the sky blue?"}, store=SqliteStore(options.store), run_id="sky")
    print(result["answer"])


if __name__ == "__main__":
    trio.run(main)
