"""An LLM in each path: a race of models, a debate that is merged, and a search that survives a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import openai
import trio
from llm_stand_in import serving

from trio_steps import Recorder, SettleResult, fork, step

client = openai.AsyncOpenAI(base_url="http://127.0.0.1", api_key="none", max_retries=0)


def llm(model: str, system: str = "Answer in one line.") -> Callable[[str], Awaitable[str]]:
    """Make a step that asks a model."""

    async def ask(prompt: str) -> str:
        answer = await client.chat.completions.create(
            model=model, messages=[{"role": "system", "content": system}, {"role": "user", "content": prompt}]
        )
        return f"{answer.choices[0].message.content} ({model})"

    return step(ask, id=model, timeout=5)


def good_ones(results: list[SettleResult[str]]) -> str:
    return "; ".join(result.value for result in results if result.status == "fulfilled")


fastest = fork("fastest response", mode="race", paths=[llm("gpt-slow"), llm("gpt-fast")])
debate = fork(
    "debate",
    mode="all",
    paths=[step(llm("gpt-fast", "Argue for it."), id="for"), step(llm("gpt-slow", "Argue against it."), id="against")],
    merge=" / ".join,
    concurrency=3,
)
resilient = fork("resilient search", mode="settle", paths=[llm("gpt-busy"), llm("gpt-fast")], merge=good_ones)


async def main() -> None:
    async with serving() as url:
        client.base_url = f"{url}/v1"
        print("race:  ", await fastest("What do owls eat?"))
        print("all:   ", await debate("Owls are wise."))
        recorder = Recorder()
        print("settle:", await resilient.run("What do owls eat?", observers=[recorder]))
        for event in recorder.events:
            if type(event).__name__ == "StepFailed":
                print("failed:", event.name)


if __name__ == "__main__":
    trio.run(main)
