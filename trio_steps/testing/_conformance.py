"""`check_store`: a test of what every store of durable runs has to do."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from trio_steps._core.errors import ConfigError
from trio_steps._durable.protocol import (
    AnswerConflictError,
    AnswerError,
    Question,
    RunCancelledError,
    RunChange,
    RunClaimedError,
    RunFailedError,
)
from trio_steps._pipeline.pipeline import Pipeline
from trio_steps._pipeline.run.queue import QueueStore
from trio_steps._pipeline.run.work import work

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection

    from trio_steps._durable.protocol import RunClaim, RunStatus
    from trio_steps._pipeline.run.stored import RunStore

Check: TypeAlias = "Callable[[RunStore], Awaitable[None]]"
Lose: TypeAlias = "Callable[[RunStore, str], Awaitable[object]]"

_SECONDS: Final = 60  # within which a store has to notice something
_DAY: Final = timedelta(days=1)
_UNTIL: Final = datetime.fromisoformat("2100-01-01T00:00:00+00:00")
_ASKS: Final = (
    Question(name="ask", provides="agreed", of=("builtins:bool",)),
    Question(name="each/*/ask", provides="size", of=("builtins:str",)),
)


def _change(status: Any = "running", **rest: Any) -> RunChange:
    return RunChange(pipeline="p", status=status, **rest)


async def check_store(
    make_store: Callable[[], RunStore], *, lose: Lose | None = None, without: Collection[str] = ()
) -> None:
    """Check that a store keeps the contract of `trio_steps.store.RunStore`, with a new, empty store for each check.

    Args:
      make_store: makes an empty store.
      lose: async function of a store and the id of a run. It takes the run away from its owner, as if the owner had
        died. With it, `check_store` checks that the owner can no longer write, and that deaths are counted.
      without: the names of checks to leave out, for features that the store lacks: ``"claims"``, ``"submits"`` and so
        on. The error for an unknown name lists them. A `trio_steps.store.QueueStore` is checked with runs that are
        submitted and taken.

    Raises:
      AssertionError: the store breaks the contract; a note names the check.
      ConfigError: `without` holds the name of no check.
    """
    names = {check.__name__.strip("_") for check in _CHECKS}
    if unknown := set(without) - names:
        raise ConfigError(f"check_store(without={sorted(unknown)}): the checks are {', '.join(sorted(names))}")
    for check in _CHECKS:
        name = check.__name__.strip("_")
        if name not in without:
            await _run_check(name, check, make_store())
    if lose is not None:
        await _run_check("fencing", lambda store: _fencing(store, lose), make_store())
        await _run_check("deaths", lambda store: _deaths(store, lose), make_store())


async def _run_check(name: str, check: Check, store: RunStore) -> None:
    try:
        await check(store)
    except BaseException as error:
        error.add_note(f"in check_store, the check {name!r}")
        raise


@asynccontextmanager
async def _held(store: RunStore, run_id: str) -> AsyncGenerator[RunClaim]:
    """Claim a run, whether the store can claim runs by id or not."""
    if not isinstance(store, QueueStore):
        async with store.claim(run_id) as claim:
            yield claim
        return
    if await store.read(run_id) is None:
        await store.submit(run_id, _change("submitted"))
    await store.resume(run_id)
    async with store.take({"p": (None, "7")}) as taken:
        assert taken is not None, "a run that can continue can be taken"
        assert taken.run_id == run_id, "it is the only one"
        yield taken


async def _refuses(kinds: type[Exception], call: Callable[[], Awaitable[object]], what: str) -> None:
    try:
        await call()
    except kinds:
        return
    raise AssertionError(f"{what} has to raise {kinds.__name__}")


async def _statuses(store: RunStore) -> dict[str, str]:
    return {record.run_id: record.status for record in await store.runs()}


async def _written(store: RunStore, run_id: str, status: Any, **rest: Any) -> None:
    async with _held(store, run_id) as claim:
        await claim.write(_change(status, **rest))


async def _writes(store: RunStore) -> None:
    assert await store.read("r") is None, "a run that was never written is not there"
    async with _held(store, "r") as claim:
        assert claim.run_id == "r", "a claim knows which run it is"
        claim.check()
        assert abs(claim.now() - claim.now()) < timedelta(minutes=1), "the clock does not jump"
        await claim.write(_change(parts={0: "head", 1: "ä€😀\n\x00", 2: "two"}, questions=_ASKS, version="7"))
        stored = await claim.read()
        assert stored is not None, "what was written is there at once"
        assert stored.parts == {0: "head", 1: "ä€😀\n\x00", 2: "two"}, "texts come back as they were"
        assert (stored.record.status, stored.record.version) == ("running", "7"), "the record is that of the change"
        await claim.write(_change(step="a/b", parts={3: "x" * 100_000, 1: "one"}, dropped=[2]))
        await claim.write(_change("failed", error="OSError: no\nin step 'c'"))
    [record] = await store.runs()
    assert (record.status, record.error) == ("failed", "OSError: no\nin step 'c'"), "why a run has failed is kept"
    async with _held(store, "r") as claim:
        await claim.write(_change("waiting", waiting={"ask": None, "each/3/ask": _UNTIL}))
        stored = await claim.read()
    assert stored is not None, "what was written is there"
    assert await store.read("r") == stored, "the same is read with a claim and without"
    assert stored.parts == {0: "head", 1: "one", 3: "x" * 100_000}, "parts are added, replaced and dropped"
    assert stored.questions == _ASKS, "questions stay as they are unless others are written"
    assert stored.answers == {}, "no one has answered"
    record = stored.record
    assert (record.run_id, record.pipeline, record.status) == ("r", "p", "waiting"), "the record belongs to the run"
    assert record.step == "a/b", "the last step stays as it is unless another is written"
    assert record.error is None, "a later write without an error clears the error"
    assert record.waiting == {"ask": None, "each/3/ask": _UNTIL}, "what the run waits for"
    assert record.started <= record.updated, "times do not go back"
    assert record.started.tzinfo is not None, "times have a time zone"
    assert (await store.runs()) == (record,), "the same record is listed"


async def _texts(store: RunStore) -> None:
    for run_id in ("order-42", "ä €😀", "a/b", "..", "x" * 300, " "):
        await _written(store, run_id, "finished", parts={0: run_id})
        stored = await store.read(run_id)
        assert stored is not None, f"a run can be called {run_id!r}"
        assert stored.parts == {0: run_id}, f"texts of the run {run_id!r} come back as they were"


async def _claims(store: RunStore) -> None:
    async with store.claim("r") as claim:
        assert await claim.read() is None, "a run that is claimed for the first time has no record yet"
        await claim.write(_change())

        async def again() -> None:
            async with store.claim("r"):
                pass

        await _refuses(RunClaimedError, again, "a second claim")
        assert await _statuses(store) == {"r": "running"}, "a run that is claimed is running"
        async with store.claim("other"):
            pass
    new = _change("submitted")
    async with store.claim("claimed"):
        await _refuses(RunClaimedError, lambda: store.submit("claimed", new), "submitting a run that is claimed")
    assert await _statuses(store) == {"r": "interrupted"}, "a run that was only claimed leaves no record"


async def _holds(store: RunStore) -> None:
    async with _held(store, "r") as claim:
        await claim.write(_change())
        assert await _statuses(store) == {"r": "running"}, "a run that someone has is running"
        assert await _taken(store, {"p": (None,)}) is None, "no one else can have it"
    assert await _statuses(store) == {"r": "interrupted"}, "a run whose claim ended before the run is interrupted"
    with trio.CancelScope() as scope:
        async with _held(store, "r"):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    async with _held(store, "r") as claim:  # it is free after a cancellation too
        await claim.write(_change("finished"))
    assert await _statuses(store) == {"r": "finished"}, "a finished run stays finished"


async def _cancelled_writes(store: RunStore) -> None:
    async with _held(store, "r") as claim:
        await claim.write(_change(parts={0: "before"}))
        returned = False
        with trio.CancelScope() as scope:
            scope.cancel()
            await claim.write(_change(parts={0: "after"}))
            returned = True
        stored = await claim.read()
        assert stored is not None
        assert stored.parts == {0: "after" if returned else "before"}, "a write returns if, and only if, it was made"


async def _fencing(store: RunStore, lose: Lose) -> None:
    async with _held(store, "r") as old:
        await old.write(_change(parts={0: "old"}))
        await lose(store, "r")
        async with _held(store, "r") as new:
            await new.write(_change(parts={0: "new"}))
            await _refuses(RunClaimedError, lambda: old.write(_change(parts={0: "old"})), "a write of a lost claim")
            with trio.fail_after(_SECONDS):
                await _refuses(RunClaimedError, old.wait_cancelled, "the loss of a claim")
            stored = await new.read()
            assert stored is not None
            assert stored.parts == {0: "new"}, "what a lost claim wrote is not stored"
        await _refuses(
            RunClaimedError, lambda: old.write(_change()), "a write of a lost claim, when the run is not claimed"
        )


async def _deaths(store: RunStore, lose: Lose) -> None:
    async with AsyncExitStack() as stack:
        for number in range(3):
            claim = await stack.enter_async_context(_held(store, "r"))
            await claim.write(_change())
            stored = await claim.read()
            assert stored is not None
            assert stored.record.deaths == number, "owners that died are counted"
            await lose(store, "r")
        [record] = await store.runs()
        assert (record.status, record.deaths) == ("interrupted", 3), "the last one too, before the run is claimed again"
        assert await _taken(store, {"p": (None,)}, max_deaths=3) is None, "a run with too many deaths is not taken"
        [record] = await store.runs()
        assert (record.status, record.deaths) == ("failed", 3), "it has failed"
        assert record.error, "its error says why"
    async with AsyncExitStack() as stack:
        claim = await stack.enter_async_context(_held(store, "cancelled"))
        await claim.write(_change())
        await lose(store, "cancelled")
        assert await store.cancel("cancelled"), "a run whose owner died can be cancelled"
        [record, _] = await store.runs()
        assert (record.status, record.deaths) == ("cancelled", 1), "the death is still counted then"
        assert not await store.cancel("cancelled"), "it can't be cancelled twice, either"
        assert await _taken(store, {"p": (None,)}) is None, "nor taken"


async def _lists(store: RunStore) -> None:
    failed: tuple[RunStatus, ...] = ("failed",)
    for number in range(5):
        await _written(store, str(number), "failed" if number % 2 else "finished")
    everything = await store.runs()
    assert [record.run_id for record in everything] == ["4", "3", "2", "1", "0"], "the last run comes first"
    assert [record.run_id for record in await store.runs(status=failed)] == ["3", "1"], "only runs with this status"
    assert await store.runs(pipeline="q") == (), "only runs of this pipeline"
    assert await store.runs(pipeline="p") == everything, "all runs of this pipeline"
    pages = [await store.runs(limit=2), await store.runs(limit=2, after="3"), await store.runs(limit=2, after="1")]
    assert [[record.run_id for record in page] for page in pages] == [["4", "3"], ["2", "1"], ["0"]], "page by page"
    await _refuses(KeyError, lambda: store.runs(after="gone"), "a page after a run that does not exist")
    times = [record.updated for record in everything]
    first, last = min(times), max(times) + _DAY
    assert await store.runs(since=first, before=last) == everything, "runs within a time"
    assert await store.runs(since=last) == (), "no runs after that time"
    assert await store.runs(before=first - _DAY) == (), "no runs before that time"


async def _deletes(store: RunStore) -> None:
    await _refuses(KeyError, lambda: store.delete("r"), "deleting a run that does not exist")
    async with _held(store, "r") as claim:
        await claim.write(_change(parts=dict(enumerate("ab"))))
        await _refuses(RunClaimedError, lambda: store.delete("r"), "deleting a run that is running")
    await store.delete("r")
    assert await store.read("r") is None, "a deleted run is gone"
    await _written(store, "r", "finished", parts={0: "c"})
    stored = await store.read("r")
    assert stored is not None, "its id is free"
    assert stored.parts == {0: "c"}, "nothing is left of a deleted run"
    await store.delete("r")
    for number in range(3):
        await _written(store, str(number), "finished")
    await _written(store, "failed", "failed")
    await _refuses(ConfigError, store.prune, "pruning without a rule")
    assert await store.prune(older_than=_DAY) == (), "nothing is old yet"
    assert set(await store.prune(keep=1)) == {"0", "1"}, "the runs that were updated last are kept"
    assert set(await _statuses(store)) == {"2", "failed"}, "other runs are left alone"


async def _answers(store: RunStore) -> None:
    await _refuses(KeyError, lambda: store.answer("r", agreed="yes"), "an answer to a run that does not exist")
    late = {"ask": "true"}
    await _refuses(KeyError, lambda: store.write_answers("r", late), "an answer to a run that was just deleted")
    async with _held(store, "r") as claim:
        await claim.write(_change(questions=_ASKS))
        await store.answer("r", agreed=True)  # the run is running, and has not asked yet
    await _refuses(AnswerError, lambda: store.answer("r", agree="yes"), "an answer to a question that is not asked")
    await _refuses(AnswerError, lambda: store.answer("r", {"each/3/ask": None}), "an answer of another type")
    await store.answer("r", {"ask": True})
    two = {"each/1/ask": "S", "ask": False}
    await _refuses(AnswerConflictError, lambda: store.answer("r", two), "another answer than before")
    await store.answer("r", {"each/2/ask": "M"})
    stored = await store.read("r")
    assert stored is not None
    assert stored.answers == {"ask": "true", "each/2/ask": '"M"'}, "answers are kept all or none, unchanged"
    async with _held(store, "r") as claim:
        await claim.write(_change("waiting", answers={"each/5/ask": '"L"'}))
        conflict = _change("running", answers={"each/5/ask": '"M"'})
        await _refuses(AnswerConflictError, lambda: claim.write(conflict), "another answer together with a change")
        stored = await claim.read()
    assert stored is not None
    assert (stored.record.status, stored.answers["each/5/ask"]) == ("waiting", '"L"'), "a refused change writes nothing"


async def _cancels(store: RunStore) -> None:
    await _refuses(KeyError, lambda: store.cancel("r"), "cancelling a run that does not exist")
    statuses: tuple[RunStatus, ...] = ("waiting", "failed", "stopped")
    for status in statuses:
        await _written(store, status, status)
        assert await store.cancel(status), f"a run that is {status} can be cancelled"
    await _written(store, "finished", "finished")
    assert not await store.cancel("finished"), "a finished run can't be cancelled"
    async with _held(store, "just finished") as claim:
        await claim.write(_change("finished"))
        assert not await store.cancel("just finished"), "not even while it is still claimed"
    assert set((await _statuses(store)).values()) == {"cancelled", "finished"}, "it is cancelled at once"
    assert not await store.cancel("failed"), "it can't be cancelled twice"
    async with _held(store, "r") as claim:
        await claim.write(_change())
        assert await store.cancel("r"), "a run that is running can be cancelled"
        with trio.fail_after(_SECONDS):
            await claim.wait_cancelled()
        await claim.write(_change("cancelled"))
    assert (await _statuses(store))["r"] == "cancelled", "it is cancelled once it has cleaned up"
    unnoticed: tuple[RunStatus, ...] = ("running", "waiting")
    for status in unnoticed:
        async with _held(store, f"still {status}") as claim:
            await claim.write(_change())
            await store.cancel(claim.run_id)
            with suppress(RunCancelledError):
                await claim.write(_change(status))
        assert (await _statuses(store))[f"still {status}"] == "cancelled", "even if it ends before it notices"
    assert await _taken(store, {"p": (None,)}) is None, "a run that was cancelled is not taken"


async def _goes_on_after_cancel(store: RunStore) -> None:
    async with _held(store, "r") as claim:
        await claim.write(_change())
        await store.cancel("r")
        with trio.fail_after(_SECONDS):
            await claim.wait_cancelled()
        await claim.write(_change("cancelled"))
    async with _held(store, "r") as claim:
        await claim.write(_change())
        with trio.move_on_after(1) as scope:
            await claim.wait_cancelled()
        assert scope.cancelled_caught, "a run that continues after it was cancelled is not cancelled again"


async def _submits(store: RunStore) -> None:
    assert await store.submit("r", _change("submitted", parts={0: "a"}, questions=_ASKS)), "it is new"
    assert not await store.submit("r", _change("submitted", parts={0: "b"})), "it exists already"
    assert await _taken(store, {"q": (None,)}) is None, "no run of that pipeline exists"
    assert await _taken(store, {"p": ("7",)}) is None, "no run of that version exists"
    async with store.take({"p": (None,)}) as claim:
        assert claim is not None, "a submitted run can be taken"
        stored = await claim.read()
        assert stored is not None
        assert (stored.parts, stored.questions) == ({0: "a"}, _ASKS), "it is the run as first submitted"
        assert await _taken(store, {"p": (None,)}) is None, "a run is taken once"
        await claim.write(_change("failed"))
    assert await _taken(store, {"p": (None,)}) is None, "a run that failed is not taken again"
    assert await store.submit("cancelled", _change("submitted"))
    assert await store.cancel("cancelled"), "a submitted run can be cancelled"
    assert await _taken(store, {"p": (None,)}) is None, "a run that was cancelled is not taken"


async def _taken(store: RunStore, pipelines: Any, **options: Any) -> str | None:
    async with store.take(pipelines, **options) as claim:
        return None if claim is None else claim.run_id


async def _moves(store: RunStore) -> None:
    moved = _change(
        "submitted",
        version="7",
        step="a/b",
        parts={0: "head", 1: "inputs", 5: "five"},
        questions=_ASKS,
        waiting={"ask": _UNTIL, "each/3/ask": None},
        answers={"each/1/ask": '"S"'},
    )
    assert await store.submit("r", moved), "a run that began elsewhere can be submitted"
    async with store.take({"p": ("7",)}) as claim:
        assert claim is not None, "it can be taken"
        stored = await claim.read()
        assert stored is not None
        assert stored.parts == {0: "head", 1: "inputs", 5: "five"}, "its texts keep their numbers"
        assert stored.answers == {"each/1/ask": '"S"'}, "its answers are kept"
        assert (stored.record.step, stored.record.version) == ("a/b", "7"), "its record tells how far it got"
        assert stored.record.waiting == {"ask": _UNTIL, "each/3/ask": None}, "its deadline for waiting stays the same"
        await claim.write(_change("finished", version="7"))
    assert await _statuses(store) == {"r": "finished"}, "it finishes like any other"


async def _waits(store: RunStore) -> None:
    async def write(run_id: str, status: Any, until: datetime | None) -> None:
        async with _held(store, run_id) as claim:
            await claim.write(_change(status, questions=_ASKS, waiting={"ask": until}))

    now = store.now()
    await write("r", "waiting", None)
    assert await _taken(store, {"p": (None,)}) is None, "a run that waits is not taken"
    await store.answer("r", {"each/1/ask": "S"})
    assert await _taken(store, {"p": (None,)}) is None, "an answer to something else does not count"
    await store.answer("r", agreed=True)
    assert await _taken(store, {"p": (None,)}) == "r", "a run that was answered is taken"
    await store.delete("r")
    await write("later", "waiting", now + _DAY)
    assert await _taken(store, {"p": (None,)}) is None, "a run whose time is not over is not taken"
    await write("failed", "failed", now - _DAY)
    stored = await store.read("failed")
    assert stored is not None
    assert stored.record.waiting["ask"], "the deadline of a wait is kept even while the run does not wait"
    await write("over", "waiting", now - _DAY)
    assert await _taken(store, {"p": (None,)}) == "over", "a run whose time is over is taken"
    async with _held(store, "over") as claim:
        await claim.write(_change("waiting", questions=_ASKS, waiting={"ask": None}))
        await store.answer("over", agreed=True)  # the claim on the run is about to end
    assert await _taken(store, {"p": (None,)}) == "over", "a run that was answered meanwhile is taken"


async def _runs_pipelines(store: RunStore) -> None:
    def note(what: str) -> str:
        ran.append(what)
        return what

    def fail() -> None:
        if not mended:
            raise OSError("no")

    mended = False
    ran: list[str] = []
    pipeline = (
        Pipeline("p")
        .step("a", lambda: [note("ä")], provides="a")
        .for_each("each", note, over="names", each="what", into="noted")
        .step("fail", fail)
    )
    kind = RunFailedError if isinstance(store, QueueStore) else OSError
    async with _workers(store, pipeline):
        inputs = {"names": ("b", "c")}
        await _refuses(kind, lambda: pipeline.run(inputs, store=store, run_id="r"), "a failure of a step")
        saved = await store.load("r")
        mended = True
        result = await pipeline.run(store=store, run_id="r")
    assert saved.record.status == "failed", "a run that failed has the status failed"
    assert saved.inputs == inputs, "the inputs come back unchanged"
    assert result == {"names": ("b", "c"), "a": ["ä"], "noted": ["b", "c"]}, "the run continues where it stopped"
    assert sorted(ran) == ["b", "c", "ä"], "finished steps do not run again"
    assert await pipeline.run(store=store, run_id="r") == result, "a finished run returns its result"
    assert (await store.load("r")).result == result, "its result is stored"


def _quietly(_run_id: str, _status: RunStatus, _error: Exception | None) -> None:
    """Ignore the end of a run, which would be logged otherwise."""


@asynccontextmanager
async def _workers(store: RunStore, pipeline: Pipeline[Any, Any]) -> AsyncGenerator[None]:
    """Run a worker in the block, if the store needs one. What is raised in the block comes out as it is."""
    try:
        async with trio.open_nursery() as nursery:
            if isinstance(store, QueueStore):
                nursery.start_soon(partial(work, store, [pipeline], on_end=_quietly))
            yield
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        first, *others = group.exceptions
        raise (group if others else first) from None


_CHECKS: Final[tuple[Check, ...]] = (
    _writes,
    _texts,
    _claims,
    _holds,
    _cancelled_writes,
    _lists,
    _deletes,
    _answers,
    _cancels,
    _goes_on_after_cancel,
    _submits,
    _moves,
    _waits,
    _runs_pipelines,
)
