"""A stand-in for the servers of OpenAI and Anthropic, so that the recipes need no key: it streams a few words.

The model's name says how long the first word takes, ``gpt-fast`` or ``claude-slow``. `hung_up` lists the models whose
client left before the end.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

FIRST_WORD = {"fast": 0.05, "slow": 0.5, "dead": 30.0}
WORDS = ("All ", "about ", "owls.")
hung_up: list[str] = []


async def words(model: str) -> AsyncIterator[str]:
    """Yield the words, at the pace of the model."""
    try:
        await trio.sleep(FIRST_WORD[model.rpartition("-")[2]])
        for word in WORDS:
            yield word
            await trio.sleep(0.02)
    except trio.Cancelled:
        hung_up.append(model)
        raise


async def openai(request: Request) -> Response:
    """Answer like https://api.openai.com/v1/chat/completions."""
    asked = await request.json()
    model = asked["model"]
    if model.endswith("busy"):
        return JSONResponse({"error": {"message": "overloaded"}}, 503)
    usage = {"prompt_tokens": 7, "completion_tokens": len(WORDS), "total_tokens": 7 + len(WORDS)}
    common = {"id": "c1", "created": 1, "model": model}
    if not asked.get("stream"):
        text = "".join([word async for word in words(model)])
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return JSONResponse({**common, "object": "chat.completion", "choices": [choice], "usage": usage})

    async def events() -> AsyncIterator[str]:
        chunk = {**common, "object": "chat.completion.chunk"}
        async for word in words(model):
            yield _event({**chunk, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        yield _event({**chunk, "choices": [], "usage": usage})
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


async def anthropic(request: Request) -> Response:
    """Answer like https://api.anthropic.com/v1/messages."""
    asked = await request.json()
    model = asked["model"]
    usage = {"input_tokens": 7, "output_tokens": len(WORDS)}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": model, "stop_sequence": None}
    if not asked.get("stream"):
        text = "".join([word async for word in words(model)])
        content = [{"type": "text", "text": text}]
        return JSONResponse({**message, "content": content, "stop_reason": "end_turn", "usage": usage})

    async def events() -> AsyncIterator[str]:
        begun = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": 7, "output_tokens": 0}}
        yield _event({"type": "message_start", "message": begun})
        yield _event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        async for word in words(model):
            yield _event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
        yield _event({"type": "content_block_stop", "index": 0})
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        yield _event({"type": "message_delta", "delta": end, "usage": {"output_tokens": len(WORDS)}})
        yield _event({"type": "message_stop"})

    return StreamingResponse(events(), media_type="text/event-stream")


def _event(data: dict[str, object]) -> str:
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n"


app = Starlette(
    routes=[
        Route("/v1/chat/completions", openai, methods=["POST"]),
        Route("/v1/messages", anthropic, methods=["POST"]),
    ]
)


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Serve on a free port of the loopback interface, and yield the address."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        (url,) = await nursery.start(partial(serve, cast("Any", app), config, shutdown_trigger=trio.sleep_forever))
        yield url
        nursery.cancel_scope.cancel()
