"""`check_store` finds each promise that a store breaks: here, a MemoryStore with one method that is wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from trio_steps import Pipeline
from trio_steps.store import AnswerConflictError, AnswerError, RunCancelledError, RunClaimedError
from trio_steps.testing import MemoryStore, check_store
from trio_steps.testing import _stores as stores

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trio_steps.store import RunChange


async def lose(store: Any, run_id: str) -> None:
    store.lose(run_id)


def forgiving(method: str, *errors: type[Exception], gives: object = None, says: str = "") -> Any:
    """Return a method of MemoryStore that returns something instead of such an error, which `says` so."""
    real = getattr(MemoryStore, method)

    async def forgiving(self: MemoryStore, *args: Any, **options: Any) -> object:
        try:
            return await real(self, *args, **options)
        except errors as error:
            if says not in str(error):
                raise
            return gives

    return forgiving


async def delete_anyway(self: Any, run_id: str) -> None:
    self._there(run_id)
    del self._runs[run_id]


async def overwrite_answers(self: Any, run_id: str, answers: Any) -> None:
    stored = self._there(run_id)
    self._runs[run_id] = attrs.evolve(stored, answers={**stored.answers, **answers})


async def refuse_answers_meanwhile(self: Any, run_id: str, answers: Any) -> None:
    await overwrite_answers(self, run_id, answers)
    if run_id in self._claims:
        raise AnswerError("it is running", run_id)


def keep_for_anyone(self: Any, claim: Any, change: RunChange) -> None:
    self._runs[claim.run_id] = change.applied_to(self._runs.get(claim.run_id), claim.run_id, self.now())


def keep_if_no_one_has_it(self: Any, claim: Any, change: RunChange) -> None:
    if self._claims.get(claim.run_id, claim) is not claim:
        raise RunClaimedError(claim.run_id)
    keep_for_anyone(self, claim, change)


def keep_other_answers(self: Any, claim: Any, change: RunChange) -> None:
    stored = self._runs.get(claim.run_id)
    if change.answers and stored is not None:
        self._runs[claim.run_id] = attrs.evolve(stored, answers={})
    keep_if_no_one_has_it(self, claim, change)


async def run_without_failures(self: Any, *args: Any, **options: Any) -> Any:
    with contextlib.suppress(OSError):
        return await RUN(self, *args, **options)


async def never_lost(self: Any) -> None:
    await self.wake.wait()


RUN: Any = Pipeline.run
BREACHES: dict[str, tuple[str, Any]] = {
    "deleting a run that does not exist has to raise KeyError": ("delete", forgiving("delete", KeyError)),
    "deleting a run that is running has to raise RunClaimedError": ("delete", delete_anyway),
    "cancelling a run that does not exist has to raise KeyError": (
        "cancel",
        forgiving("cancel", KeyError, gives=False),
    ),
    "submitting a run that is claimed has to raise RunClaimedError": (
        "submit",
        forgiving("submit", RunClaimedError, gives=True),
    ),
    "pruning without a rule has to raise ConfigError": ("prune", forgiving("prune", Exception, gives=())),
    "a page after a run that does not exist has to raise KeyError": ("runs", forgiving("runs", KeyError, gives=())),
    "an answer to a run that does not exist has to raise KeyError": ("answer", forgiving("answer", KeyError)),
    "an answer to a run that was just deleted has to raise KeyError": (
        "write_answers",
        forgiving("write_answers", KeyError),
    ),
    "an answer to a question that is not asked has to raise AnswerError": ("answer", forgiving("answer", AnswerError)),
    "an answer of another type has to raise AnswerError": ("answer", forgiving("answer", AnswerError, says="not for")),
    "another answer than before has to raise AnswerConflictError": (
        "answer",
        forgiving("answer", AnswerConflictError),
    ),
    "another answer together with a change has to raise AnswerConflictError": ("keep", keep_other_answers),
    "a write of a lost claim has to raise RunClaimedError": ("keep", keep_for_anyone),
    "a write of a lost claim, when the run is not claimed has to raise RunClaimedError": (
        "keep",
        keep_if_no_one_has_it,
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
async def test_store_that_breaks_a_promise_is_found_out(monkeypatch: pytest.MonkeyPatch, breach: str) -> None:
    name, method = BREACHES[breach]
    monkeypatch.setattr(MemoryStore, name, method, raising=False)
    with pytest.raises(AssertionError) as caught:
        await check_store(MemoryStore, lose=lose)
    assert str(caught.value) == breach


async def test_store_whose_claims_end_quietly_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores._Claim, "wait_cancelled", never_lost)
    with pytest.raises(AssertionError, match="the loss of a claim has to raise RunClaimedError"):
        await check_store(MemoryStore, lose=lose)


async def test_store_in_which_failures_are_lost_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "run", run_without_failures)
    with pytest.raises(AssertionError) as caught:
        await check_store(MemoryStore)
    assert str(caught.value) == "a failure of a step has to raise OSError"


async def test_store_that_takes_no_answers_while_the_run_is_running_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(MemoryStore, "write_answers", refuse_answers_meanwhile)
    with pytest.raises(AnswerError, match="it is running") as caught:
        await check_store(MemoryStore)
    assert caught.value.__notes__ == ["in check_store, the check 'answers'"]


# Promises that are not about an error


KEEP, ENDED, DELETE, IS_READY = MemoryStore.keep, MemoryStore._ended, MemoryStore.delete, MemoryStore._is_ready
ANSWER = MemoryStore.write_answers


async def breach_of(*, without: tuple[str, ...] = ()) -> tuple[BaseException, str]:
    """Check `MemoryStore`, which is broken now; return the error, and which check raised it."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the test looks at it
        await check_store(MemoryStore, lose=lose, without=without)
    [note] = caught.value.__notes__
    return caught.value, note.removeprefix("in check_store, the check ")


async def test_check_takes_a_second_of_the_clock_of_the_store() -> None:
    await check_store(MemoryStore, lose=lose)
    assert trio.current_time() == 1


@pytest.mark.parametrize(
    ("check", "without"),
    [
        ("'cancels'", ()),
        ("'goes_on_after_cancel'", ("cancels",)),
        ("'fencing'", ("cancels", "goes_on_after_cancel")),
    ],
)
async def test_store_that_tells_nobody_what_happened_to_a_claim_is_found_out_after_a_minute(
    monkeypatch: pytest.MonkeyPatch, check: str, without: tuple[str, ...]
) -> None:
    async def never(_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(stores._Claim, "wait_cancelled", never)
    error, where = await breach_of(without=without)
    assert (type(error), where, trio.current_time()) == (trio.TooSlowError, check, 60)


async def test_store_whose_claims_are_lost_at_once_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(claim: Any) -> None:
        raise RunClaimedError(claim.run_id)

    monkeypatch.setattr(stores._Claim, "check", check)
    error, where = await breach_of()
    assert (type(error), where) == (RunClaimedError, "'writes'")


async def test_store_that_changes_texts_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(self: Any, claim: Any, change: RunChange) -> None:
        KEEP(self, claim, attrs.evolve(change, parts={n: text.rstrip("\0") for n, text in change.parts.items()}))

    monkeypatch.setattr(MemoryStore, "keep", keep)
    error, where = await breach_of()
    assert (str(error).partition("\n")[0], where) == ("texts come back as they were", "'writes'")


async def test_store_that_keeps_a_run_claimed_after_a_cancellation_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextlib.asynccontextmanager
    async def claim(self: Any, run_id: str) -> AsyncGenerator[Any]:
        await self.come()
        claim = self._claimed(run_id)
        yield claim
        self._release(claim)

    monkeypatch.setattr(MemoryStore, "claim", claim)
    error, where = await breach_of()
    assert (type(error), where) == (RunClaimedError, "'holds'")


async def test_store_that_does_not_count_deaths_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryStore, "_died", ENDED)
    error, where = await breach_of()
    assert (str(error).partition("\n")[0], where) == ("owners that died are counted", "'deaths'")


async def test_store_that_keeps_texts_of_a_deleted_run_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    left: dict[str, Any] = {}

    async def delete(self: Any, run_id: str) -> None:
        parts = self._runs[run_id].parts if run_id in self._runs else {}
        await DELETE(self, run_id)
        left[run_id] = parts

    def keep(self: Any, claim: Any, change: RunChange) -> None:
        parts = {**left.pop(claim.run_id, {}), **change.parts}
        KEEP(self, claim, attrs.evolve(change, parts=parts))

    monkeypatch.setattr(MemoryStore, "delete", delete)
    monkeypatch.setattr(MemoryStore, "keep", keep)
    error, where = await breach_of()
    assert (str(error).partition("\n")[0], where) == ("nothing is left of a deleted run", "'deletes'")


@pytest.mark.parametrize(
    ("check", "without"), [("'cancels'", ("goes_on_after_cancel",)), ("'goes_on_after_cancel'", ("cancels",))]
)
async def test_store_that_refuses_the_last_write_of_a_cancelled_run_is_found_out(
    monkeypatch: pytest.MonkeyPatch, check: str, without: tuple[str, ...]
) -> None:
    def keep(self: Any, claim: Any, change: RunChange) -> None:
        if claim.cancelled is not None:
            raise RunCancelledError(claim.run_id)
        KEEP(self, claim, change)

    monkeypatch.setattr(MemoryStore, "keep", keep)
    error, where = await breach_of(without=without)
    assert (type(error), where) == (RunCancelledError, check)


async def test_store_in_which_a_cancelled_run_can_wait_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(self: Any, claim: Any) -> None:
        if claim.run_id not in self._runs or self._runs[claim.run_id].record.status != "waiting":
            ENDED(self, claim)

    monkeypatch.setattr(MemoryStore, "_ended", ended)
    error, where = await breach_of()
    assert (str(error).partition("\n")[0], where) == ("even if it ends before it notices", "'cancels'")


async def test_store_in_which_a_cancelled_run_never_goes_on_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(self: Any, claim: Any, change: RunChange) -> None:
        if claim.run_id in self._runs and self._runs[claim.run_id].record.status == "cancelled":
            raise RunCancelledError(claim.run_id)
        KEEP(self, claim, change)

    monkeypatch.setattr(MemoryStore, "keep", keep)
    error, where = await breach_of()
    assert (type(error), where) == (RunCancelledError, "'goes_on_after_cancel'")


async def test_store_that_takes_failed_runs_whose_time_is_over_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_ready(self: Any, stored: Any) -> bool:
        times = stored.record.waiting.values()
        is_over = any(until is not None and until <= self.now() for until in times)
        return IS_READY(self, stored) or (stored.record.status == "failed" and is_over)

    monkeypatch.setattr(MemoryStore, "_is_ready", is_ready)
    error, where = await breach_of()
    said = str(error).partition("\n")[0]
    assert (said, where) == ("a run whose time is over is taken", "'waits'")


async def test_store_that_drops_answers_to_a_run_that_someone_has_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def write_answers(self: Any, run_id: str, answers: Any) -> None:
        if run_id not in self._claims:
            await ANSWER(self, run_id, answers)

    monkeypatch.setattr(MemoryStore, "write_answers", write_answers)
    error, where = await breach_of()
    assert (str(error).partition("\n")[0], where) == ("a run that was answered meanwhile is taken", "'waits'")
