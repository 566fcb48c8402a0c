"""`check_store` finds each promise that a store breaks: here, a MemoryStore with one method that is wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from trio_steps import Pipeline
from trio_steps.store import AnswerConflictError, AnswerError, RunClaimedError
from trio_steps.testing import MemoryStore, check_store
from trio_steps.testing import _stores as stores

if TYPE_CHECKING:
    from trio_steps.store import RunChange


async def lose(store: Any, run_id: str) -> None:
    store.lose(run_id)


def forgiving(method: str, *errors: type[Exception], gives: object = None) -> Any:
    """Return a method of MemoryStore that returns something instead of such an error."""
    real = getattr(MemoryStore, method)

    async def forgiving(self: MemoryStore, *args: Any, **options: Any) -> object:
        try:
            return await real(self, *args, **options)
        except errors:
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
