"""Timelines as lists of lines, and events that are made by hand."""

from __future__ import annotations

import inspect

import trio

from trio_steps import (
    Recorder,
    StepStarted,
    StepSucceeded,
)
from trio_steps._core.scope import scope_of


def chart(text):
    return inspect.cleandoc(text)


def replayed(*events):
    """Return a recorder that has seen `events`."""
    recorder = Recorder()
    for event in events:
        recorder(event)
    return recorder


def scope(id, parent=None):
    return scope_of(id, parent, None, None, None)


def ran(name, start, end, parent=None):
    run = scope(name.rpartition("/")[2], parent)
    return (
        StepStarted(name=name, scope=run, time=start),
        StepSucceeded(name=name, scope=run, time=end, duration=end - start),
    )


def fails(times, delay=0.1, error=None):
    """Return a function that fails `times` times, each after `delay` seconds."""
    left = times

    async def flaky():
        nonlocal left
        left -= 1
        await trio.sleep(delay)
        if left >= 0:
            raise error or OSError("busy")

    return flaky


async def nothing():
    pass
