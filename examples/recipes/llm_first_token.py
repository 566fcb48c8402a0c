"""The model with the fastest first token goes on streaming; the others are hung up, and their usage is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anthropic
import attrs
import openai
import trio
from llm_stand_in import hung_up, serving

from trio_steps import Retry, fork, step


@attrs.define
class Usage:
    """What a model has cost: the tokens that arrived before it was hung up, and whether that was the whole answer."""

    model: str
    tokens: int = 0
    complete: bool = False


@attrs.define
class Answer:
    """An answer whose first token has arrived."""

    first: str
    rest: AsyncIterator[str]
    close: Callable[[], Awaitable[None]]


@attrs.define
class Models:
    """Models of two providers, each a path that ends with its first token."""

    openai: openai.AsyncOpenAI
    anthropic: anthropic.AsyncAnthropic
    usage: dict[str, Usage] = attrs.field(factory=dict)

    async def gpt(self, model: str, prompt: str) -> Answer:
        used = self.usage.setdefault(model, Usage(model))
        stream = await self.openai.chat.completions.create(
            model=model,
            stream=True,
            stream_options={"include_usage": True},
            messages=[{"role": "user", "content": prompt}],
        )

        async def tokens() -> AsyncIterator[str]:
            async for chunk in stream:
                if chunk.usage is not None:
                    used.tokens, used.complete = chunk.usage.completion_tokens, True
                elif chunk.choices and (text := chunk.choices[0].delta.content):
                    used.tokens += 1
                    yield text

        return await self._begun(tokens(), stream.close)

    async def claude(self, model: str, prompt: str) -> Answer:
        used = self.usage.setdefault(model, Usage(model))
        stream = await self.anthropic.messages.create(
            model=model, stream=True, max_tokens=100, messages=[{"role": "user", "content": prompt}]
        )

        async def tokens() -> AsyncIterator[str]:
            async for event in stream:
                if event.type == "message_delta":
                    used.tokens, used.complete = event.usage.output_tokens, True
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    used.tokens += 1
                    yield event.delta.text

        return await self._begun(tokens(), stream.close)

    @staticmethod
    async def _begun(tokens: AsyncIterator[str], close: Callable[[], Awaitable[None]]) -> Answer:
        try:
            return Answer(await anext(tokens), tokens, close)
        except BaseException:
            with trio.move_on_after(1, shield=True):
                await close()
            raise


@asynccontextmanager
async def first_token(models: Models, prompt: str) -> AsyncIterator[AsyncIterator[str]]:
    """Ask all models, and yield the tokens of the fastest one."""
    again = Retry(2, delay=0.05, on=(openai.APIStatusError, anthropic.APIStatusError))

    def path(model: str, ask: Callable[[str, str], Awaitable[Answer]]) -> Callable[[str], Awaitable[Answer]]:
        return step(partial(ask, model), id=model, timeout=5, retry=again)

    async def hang_up(late: Answer) -> None:  # it arrived at the same moment as the winner
        await late.close()

    fastest = fork(
        "first token",
        mode="race",
        paths=[
            path("gpt-slow", models.gpt),
            path("gpt-busy", models.gpt),
            path("claude-fast", models.claude),
            path("gpt-dead", models.gpt),
        ],
        dispose=hang_up,
    )
    answer = await fastest(prompt)

    async def tokens() -> AsyncIterator[str]:
        yield answer.first
        async for token in answer.rest:
            yield token

    try:
        yield tokens()
    finally:
        with trio.move_on_after(1, shield=True):
            await answer.close()


async def main() -> None:
    async with serving() as url:
        models = Models(
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0),
            anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0),
        )
        async with first_token(models, "Tell me about owls.") as tokens:
            print("".join([token async for token in tokens]))
        for used in sorted(models.usage.values(), key=lambda used: used.model):
            print(f"{used.model:11}  {used.tokens} tokens{'' if used.complete else ', hung up'}")
        await trio.sleep(0.3)
        print("the server has seen these leave:", ", ".join(sorted(hung_up)))


if __name__ == "__main__":
    trio.run(main)
