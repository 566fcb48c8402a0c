"""`on_executor` keeps the types of its function. Checked by mypy and pyright, never run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import assert_type

from trio_steps import gather, step
from trio_steps.executors import on_executor

pool = ThreadPoolExecutor()


def resize(image: bytes, *, width: int = 100) -> bytes:
    return image[:width]


def count() -> int:
    return 1


async def calls() -> None:
    assert_type(await on_executor(pool, resize)(b"", width=10), bytes)
    await on_executor(pool, resize)("")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def steps() -> None:
    assert_type(await step(on_executor(pool, resize))(b"", width=10), bytes)
    assert_type(await step(on_executor(pool, count))(), int)


async def paths() -> None:
    assert_type(await gather(on_executor(pool, count), on_executor(pool, count)), tuple[int, int])
