"""FakeStep and RecordingObserver."""

from __future__ import annotations

import pytest
import trio

from trio_steps import PathsCounted, StepCancelled, StepStarted, StepSucceeded, race
from trio_steps.testing import FakeStep, RecordingObserver


async def test_fake_steps_do_what_their_rows_say_and_count() -> None:
    first, second, never = FakeStep.rows((2, "a"), (1, "b"), (0, FakeStep.NEVER))
    assert await race(first, second, never) == "b"
    assert trio.current_time() == 1
    counts = [(fake.started, fake.cancelled, fake.finished) for fake in (first, second, never)]
    assert counts == [(1, 1, 0), (1, 0, 1), (1, 1, 0)]


async def test_fake_step_raises_an_exception_and_keeps_its_inputs() -> None:
    fake = FakeStep(1, OSError("x"), id="down")
    with pytest.raises(OSError, match="x"):
        await fake("input")
    assert fake.inputs == [("input",)]
    assert (fake.started, fake.finished) == (1, 1)
    assert repr(fake) == "<fake step 'down': OSError('x') after 1 s>"


async def test_recording_observer_keeps_events_by_kind() -> None:
    observer = RecordingObserver()
    await race(*FakeStep.rows((1, "a"), (2, "b")), observers=[observer])
    assert observer.names(StepStarted) == ["race", "race/fake-0", "race/fake-1"]
    assert [event.name for event in observer.of(StepSucceeded)] == ["race/fake-0", "race"]
    assert observer.names(StepCancelled) == ["race/fake-1"]
    assert [event.total for event in observer.of(PathsCounted)] == [2]
    assert len(observer.events) == 7
