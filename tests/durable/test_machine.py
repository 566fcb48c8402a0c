"""Two processes do anything with the runs of a store, in any order, and die; a naive model says what must be stored."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import hypothesis.strategies as st
import pytest
import trio
import trio.testing
from crashing_store import DiedError, Process
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from renamed_order import KEYS, MAX_DEATHS, PIPELINES, RUNS, STEPS, FailedError, Model, Order, World, old_name

from trio_steps import ConfigError, current_scope
from trio_steps._pipeline.run.move import move
from trio_steps.store import (
    AnswerConflictError,
    AnswerError,
    RunClaimedError,
    RunStore,
    SqliteStore,
    work,
)
from trio_steps.testing import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Machine(RuleBasedStateMachine):
    """The world: two processes, two stores, the runs, and the model of them."""

    def make_store(self, place: int) -> RunStore:
        raise NotImplementedError

    is_x = True

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.model: dict[str, Model] = {}
        self.broken: set[str] = set()
        self.renamed = False
        self.told: dict[str, set[str]] = {}
        self.ran: list[tuple[str, str]] = []
        self.wrong: list[object] = []
        self.meanwhile: Any = None
        self.written: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.value = 0
        self.time = 0.0

    @initialize()
    def start(self) -> None:
        World.machine = self
        self.stores = [self.make_store(0), self.make_store(1)]
        # two processes with the first store, and one with the second
        self.processes = [self.process(number) for number in range(3)]

    def teardown(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def process(self, number: int) -> Process:
        place = number // 2
        inside = self.stores[place] if isinstance(self.stores[place], MemoryStore) else self.make_store(place)
        return Process(inside, f"number {place}", self.written[place])

    # What the steps do

    async def act(self, full: str) -> int:
        run_id = current_scope().run_id
        assert run_id is not None
        key = current_scope().key
        if key != f"order/{run_id}/{full}":
            self.wrong.append(("key", key))
        if full in self.told.get(run_id, ()):
            self.wrong.append(("done again", run_id, full))
        await trio.lowlevel.checkpoint()
        if self.meanwhile is not None:
            other, self.meanwhile = self.meanwhile, None
            await other(run_id)
        if full in self.broken:
            raise FailedError(full)
        self.value += 1
        self.ran.append((run_id, full))
        self.model.setdefault(run_id, Model(self.place, "running")).values[full] = self.value
        return self.value

    # Running, and continuing after a death

    @property
    def pipeline(self) -> Order:
        return PIPELINES[self.renamed]

    def run(
        self, main: Callable[[Process], Awaitable[Any]], number: int, dies_at: int | None = None, *, after: bool = False
    ) -> Any:
        """Run `main` in a process. If the process dies, replace it by a new one."""
        process = self.processes[number]
        self.place = number // 2
        process.will_die(dies_at, after=after)

        async def guarded() -> Any:
            try:
                return await main(process)
            except BaseException as error:
                return error

        self.time += 10
        clock = trio.testing.MockClock(rate=1 if isinstance(process.inside, SqliteStore) else 0)
        clock.jump(self.time)
        if isinstance(process.inside, MemoryStore):
            clock.autojump_threshold = 0
        result = trio.run(guarded, clock=clock)
        self.meanwhile = None
        if process.is_dead:
            if isinstance(process.inside, MemoryStore):
                process.inside.restart()
            self.processes[number] = self.process(number)
            return DiedError()
        process.will_die(None, after=False)
        if isinstance(result, DiedError):
            self.wrong.append("dead, and not")
        return result

    def stored(self, place: int) -> dict[str, Any]:
        """Return the contents of a store, as a living process reads them."""

        async def main(process: Process) -> Any:
            return {record.run_id: await process.load(record.run_id) for record in await process.runs()}

        found = self.run(main, 2 * place)
        if isinstance(found, BaseException):
            raise found
        return found

    def sync(self, run_id: str) -> None:
        """Copy what is saved as done. It must contain every step that hooks were told of, and none that never ran."""
        model = self.model[run_id]
        saved = self.stored(model.place)[run_id]
        if saved.checkpoint is None:
            return
        entries = saved.checkpoint.entries
        done = {old_name(entry.step) for entry in entries if entry.kind == "done"}
        if "both" in done:
            done |= {"both/m", "both/q/after"}
        taken = [entry.case for entry in entries if entry.kind == "taken"]
        if taken:
            model.taken = old_name(taken[0])
        if "route" in done:
            assert model.taken or model.values.keys() & {"route/x/x", "route/y/y"}
            model.taken = model.taken or ("x" if "way-x" in done else None)
            case = "x" if self.way(saved) == model.values.get("route/x/x") else "y"
            model.taken = case
            done.add(f"route/{case}/{case}")
        done &= set(STEPS)
        assert self.told.get(run_id, set()) & set(STEPS) <= done, (self.told, done)
        assert model.done <= done, (model.done, done)
        assert done <= model.values.keys(), (done, model.values)
        model.done = done

    def way(self, saved: Any) -> Any:
        [way] = [entry.changes["way"] for entry in saved.checkpoint.entries if "way" in entry.changes and entry.step]
        return way

    def comes_to(self, model: Model) -> str:
        """Return the status with which the run would end now."""
        case = model.taken or ("x" if self.is_x else "y")
        row = ["a", f"route/{case}/{case}", "both/m"]
        if model.ok is not None:
            row += ["both/q/after", "last"]
        if any(full in self.broken and full not in model.done for full in row):
            return "failed"
        return "waiting" if model.ok is None else "finished"

    def came_to(self, run_id: str, result: object, *, by_worker: bool = False) -> None:
        """Check the outcome of a run that was not disturbed."""
        model = self.model[run_id]
        model.status = self.comes_to(model)
        self.check(run_id)
        if model.status == "finished":
            case = model.taken or ("x" if self.is_x else "y")
            model.done |= {"a", f"route/{case}/{case}", "both/m", "both/q/after", "last"}
            model.taken = case
            saved = self.stored(model.place)[run_id]
            assert saved.result == model.result(), (saved.result, model.result())
            if not by_worker:
                assert result == model.result()
        elif not by_worker:
            assert isinstance(result, BaseException) == (model.status == "failed"), result

    def died(self, run_id: str) -> None:
        """Update the model of a run whose process has died."""
        for place in (0, 1):
            if run_id not in self.written[place] or (run_id in self.model and self.model[run_id].place != place):
                continue
            model = self.model.setdefault(run_id, Model(place, "submitted"))
            written = self.written[place][run_id]
            if written == "running":
                model.deaths += 1
                model.status = "interrupted"
            else:
                model.status = written
            self.check(run_id)
            return
        self.model.pop(run_id, None)

    def check(self, run_id: str) -> None:
        if self.stored(self.model[run_id].place)[run_id].record.status == "finished":
            return
        self.sync(run_id)

    # Rules

    some_run = st.sampled_from(RUNS)
    death = st.one_of(st.none(), st.none(), st.integers(0, 14))
    process_of_first: ClassVar[Any] = st.integers(0, 1)

    def number(self, run_id: str, number: int) -> int:
        return 2 if run_id in self.model and self.model[run_id].place == 1 else number

    @rule(run_id=some_run, number=process_of_first, dies_at=death, after=st.booleans())
    def submits(self, run_id: str, number: int, dies_at: int | None, after: bool) -> None:
        number = self.number(run_id, number)
        result = self.run(
            lambda process: self.pipeline.submit({"n": 1}, store=process, run_id=run_id), number, dies_at, after=after
        )
        if isinstance(result, DiedError):
            if run_id not in self.model and run_id in self.written[number // 2]:
                self.model[run_id] = Model(number // 2, "submitted")
        elif run_id in self.model:
            assert result is False
        else:
            assert result is True
            self.model[run_id] = Model(number // 2, "submitted")

    @rule(
        run_id=some_run,
        number=process_of_first,
        dies_at=death,
        after=st.booleans(),
        meanwhile=st.sampled_from(["", "", "look", "answer", "cancel"]),
    )
    def runs(self, run_id: str, number: int, dies_at: int | None, after: bool, meanwhile: str) -> None:
        number = self.number(run_id, number)
        fresh = run_id not in self.model
        model = self.model.get(run_id) or Model(number // 2, "submitted")
        if not fresh and model.status == "finished":
            dies_at = None
        self.other(number, meanwhile, model)

        async def main(process: Process) -> Any:
            return await self.pipeline.run(
                {"n": 1}, store=process, run_id=run_id, on_step_complete=lambda event: self.tell(run_id, event.name)
            )

        before = model.status
        if fresh:
            self.model[run_id] = model
        result = self.run(main, number, dies_at, after=after)
        if isinstance(result, DiedError):
            if fresh and run_id not in self.written[number // 2]:
                del self.model[run_id]
                return
            self.died_or_same(run_id, before)
        elif self.cancelled:
            self.was_cancelled(run_id)
        else:
            self.came_to(run_id, result)

    def died_or_same(self, run_id: str, before: str) -> None:
        model = self.model[run_id]
        # in the second store, it is the same process that gives an answer meanwhile, and may die at that
        if model.ok is None and self.run(lambda process: process.read(run_id), 2 * model.place).answers:
            model.ok = True
        found = self.stored(model.place)[run_id].record
        if self.cancelled and found.status == "cancelled":
            model.status, model.deaths = "cancelled", found.deaths
            self.check(run_id)
        elif found.status == before and before != "interrupted" and found.deaths == model.deaths:
            self.check(run_id)  # the process died before it had written anything
        elif before == "interrupted" and found.deaths == model.deaths:
            assert found.status in ("interrupted", self.written[model.place][run_id])
            model.status = found.status
            self.check(run_id)
        else:
            self.died(run_id)

    def was_cancelled(self, run_id: str) -> None:
        model = self.model[run_id]
        found = self.stored(model.place)[run_id]
        assert found.record.status in ("cancelled", "finished", "failed"), found
        model.status = found.record.status
        self.check(run_id)
        if model.status == "finished":
            model.done = {full for full in STEPS if KEYS[full] in found.result and full in model.values}
            model.taken = "x" if found.result["way"] == model.values.get("route/x/x") else "y"
            model.done.discard("route/x/x" if model.taken == "y" else "route/y/y")

    def tell(self, run_id: str, name: str) -> None:
        self.told.setdefault(run_id, set()).add(old_name(name))

    cancelled = False

    def other(self, number: int, what: str, model: Model) -> None:
        """Let another process do something while a step of the run is running."""
        self.cancelled = False
        if not what:
            return
        process = self.processes[number if number == 2 else 1 - number]

        async def look(run_id: str) -> None:
            refuses: list[Any] = [
                lambda: process.delete(run_id),
                lambda: process.mark_done(run_id, "last", {"last": 0}),
                lambda: self.pipeline.run(store=process, run_id=run_id),
            ]
            for refused in refuses:
                try:
                    await refused()
                except RunClaimedError:
                    continue
                self.wrong.append("two had it")
            [record] = [record for record in await process.runs() if record.run_id == run_id]
            if record.status != "running":
                self.wrong.append(record)
            if await process.prune(keep=0, status=("running",)):
                self.wrong.append("pruned")

        async def answer(run_id: str) -> None:
            if model.ok is None:
                await process.answer(run_id, ok=True)
                model.ok = True

        async def cancel(run_id: str) -> None:
            if not await process.cancel(run_id):
                self.wrong.append("not cancelled")
            self.cancelled = True

        self.meanwhile = {"look": look, "answer": answer, "cancel": cancel}[what]

    @rule(number=st.integers(0, 2), dies_at=death, after=st.booleans())
    def works(self, number: int, dies_at: int | None, after: bool) -> None:
        self.cancelled = False
        place = number // 2
        ready = {
            run_id: model
            for run_id, model in self.model.items()
            if model.place == place
            and (model.status in ("submitted", "interrupted") or (model.status == "waiting" and model.ok is not None))
        }
        before = {run_id: (model.status, model.deaths) for run_id, model in ready.items()}
        ended: dict[str, object] = {}

        async def main(process: Process) -> None:
            async with trio.open_nursery() as nursery:
                process.idle = nursery.cancel_scope.cancel
                await work(
                    process,
                    [self.pipeline],
                    on_end=lambda run_id, _, error: ended.__setitem__(run_id, error),
                    max_deaths=MAX_DEATHS,
                )

        result = self.run(main, number, dies_at, after=after)
        died = isinstance(result, BaseException)
        assert ended.keys() <= ready.keys()
        for run_id, model in ready.items():
            if model.deaths >= MAX_DEATHS and model.status == "interrupted":
                found = self.stored(place)[run_id].record
                assert run_id not in ended
                assert found.status == "failed" or died
                model.status = found.status
            elif run_id in ended and not died:
                self.came_to(run_id, ended[run_id], by_worker=True)
            elif died:
                self.settle(run_id, *before[run_id])
            else:
                raise AssertionError(f"{run_id} was not taken")

    def settle(self, run_id: str, before: str, deaths: int) -> None:
        """Update the model of a run that a worker may have held when it died."""
        model = self.model[run_id]
        found = self.stored(model.place)[run_id]
        comes_to = self.comes_to(model)
        assert found.record.status in (before, "interrupted", comes_to), (found, before, comes_to)
        assert found.record.deaths in (deaths, deaths + 1)
        assert found.record.deaths == deaths or found.record.status == "interrupted"
        model.status, model.deaths = found.record.status, found.record.deaths
        if model.status == "finished":
            self.came_to(run_id, None, by_worker=True)
        else:
            self.check(run_id)

    @rule(run_id=some_run, number=process_of_first, ok=st.sampled_from([True, False, 1, "true", None]))
    def answers(self, run_id: str, number: int, ok: Any) -> None:
        model = self.model.get(run_id)
        result = self.run(lambda process: process.answer(run_id, ok=ok), self.number(run_id, number))
        if model is None:
            assert isinstance(result, KeyError)
        elif not isinstance(ok, bool):
            assert isinstance(result, AnswerError)
        elif model.ok is None:
            assert result is None, result
            model.ok = ok
        elif model.ok == ok:
            assert result is None, result
        else:
            assert isinstance(result, AnswerConflictError), result

    @rule(run_id=some_run, number=process_of_first)
    def cancels(self, run_id: str, number: int) -> None:
        model = self.model.get(run_id)
        result = self.run(lambda process: process.cancel(run_id), self.number(run_id, number))
        if model is None:
            assert isinstance(result, KeyError)
        else:
            assert result is (model.status not in ("finished", "cancelled"))
            if result:
                model.status = "cancelled"

    @rule(run_id=some_run, number=process_of_first)
    def deletes(self, run_id: str, number: int) -> None:
        result = self.run(lambda process: process.delete(run_id), self.number(run_id, number))
        assert isinstance(result, KeyError) if run_id not in self.model else result is None
        self.forget(run_id)

    def forget(self, run_id: str) -> None:
        model = self.model.pop(run_id, None)
        self.told.pop(run_id, None)
        if model is not None:
            self.written[model.place].pop(run_id, None)

    @rule(keep=st.integers(0, 2), statuses=st.sets(st.sampled_from(["finished", "failed", "cancelled", "waiting"])))
    def prunes(self, keep: int, statuses: set[Any]) -> None:
        among = {run_id for run_id, model in self.model.items() if model.place == 0 and model.status in statuses}
        pruned = self.run(lambda process: process.prune(keep=keep, status=statuses), 0)
        assert set(pruned) <= among
        assert len(among) - len(pruned) == min(keep, len(among))
        for run_id in pruned:
            self.forget(run_id)

    @precondition(lambda self: not self.renamed)
    @rule()
    def renames(self) -> None:
        self.renamed = True

    @rule(full=st.sampled_from(STEPS))
    def breaks(self, full: str) -> None:
        self.broken.add(full)

    @rule()
    def repairs(self) -> None:
        self.broken.clear()

    @rule()
    def changes_the_answer_of_the_condition(self) -> None:
        self.is_x = not self.is_x

    @rule(run_id=some_run, number=process_of_first, full=st.sampled_from(STEPS))
    def marks(self, run_id: str, number: int, full: str) -> None:
        model = self.model.get(run_id)
        if model is None or model.status == "finished":
            error = KeyError if model is None else ConfigError
            result = self.run(lambda process: process.mark_done(run_id, full), self.number(run_id, number))
            assert isinstance(result, error)
            return
        steps = self.stored(model.place)[run_id].checkpoint.steps
        name = next(name for name in steps if old_name(name) == full)
        ids = name.split("/")
        taken = {ids[0]: ids[1]} if full.startswith("route") else None
        self.value += 1
        result = self.run(
            lambda process: process.mark_done(run_id, name, {KEYS[full]: self.value}, taken=taken),
            self.number(run_id, number),
        )
        other_way = full.startswith("route") and model.taken not in (None, full.split("/")[1])
        if full in model.done or other_way:
            assert isinstance(result, ConfigError), result
            return
        assert result is None, result
        model.done.add(full)
        model.values[full] = self.value
        if full.startswith("route"):
            model.taken = full.split("/")[1]

    @precondition(lambda self: any(model.place == 0 for model in self.model.values()))
    @rule(dies_at=st.one_of(st.none(), st.integers(0, 8)), after=st.booleans(), data=st.data())
    def moves(self, dies_at: int | None, after: bool, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(sorted(key for key, model in self.model.items() if model.place == 0)))
        model = self.model[run_id]
        target = self.processes[2]
        result = self.run(lambda process: move(run_id, process, target), 0, dies_at, after=after)
        if model.status == "finished":
            assert isinstance(result, ConfigError | DiedError)
            return
        if isinstance(result, DiedError):
            result = self.run(lambda process: move(run_id, process, target), 0)
            if isinstance(result, ConfigError):  # no store can tell that it never got there
                assert run_id not in self.stored(1)
                result = self.run(lambda process: move(run_id, process, target, instead=True), 0)
            assert result is None or isinstance(result, KeyError), result  # the move was already complete
        else:
            assert result is None, result
        model.place, model.status, model.deaths = 1, "submitted", 0
        self.written[0].pop(run_id, None)
        self.check(run_id)

    # What always holds

    @invariant()
    def stores_have_what_the_model_has(self) -> None:
        assert self.wrong == [], self.wrong
        for place in (0, 1) if hasattr(self, "stores") else ():
            expected = {run_id: each for run_id, each in self.model.items() if each.place == place}
            found = self.stored(place)
            assert {run_id: saved.record.status for run_id, saved in found.items()} == {
                run_id: each.status for run_id, each in expected.items()
            }
            assert {run_id: saved.record.deaths for run_id, saved in found.items()} == {
                run_id: each.deaths for run_id, each in expected.items()
            }

            async def lists(process: Process, expected: dict[str, Model] = expected) -> None:
                everything = await process.runs()
                for status in ("submitted", "interrupted", "waiting", "failed", "cancelled", "finished"):
                    some = await process.runs(status=(status,))
                    assert some == tuple(record for record in everything if record.status == status)
                pages: list[Any] = []
                while page := await process.runs(limit=1, after=pages[-1].run_id if pages else None):
                    pages += page
                assert tuple(pages) == everything
                names = {record.pipeline for record in everything}
                assert names <= {"order", "new-order"}
                for name in names:
                    some = await process.runs(pipeline=name)
                    assert some == tuple(record for record in everything if record.pipeline == name)
                for run_id, each in expected.items():
                    stored = await process.read(run_id)
                    assert stored is not None
                    assert {*stored.answers.values()} == (set() if each.ok is None else {str(each.ok).lower()})

            wrong = self.run(lists, 2 * place)
            if wrong is not None:
                raise wrong


class InMemory(Machine):
    def make_store(self, place: int) -> RunStore:
        return MemoryStore()


class InFiles(Machine):
    def make_store(self, place: int) -> RunStore:
        return SqliteStore(self.directory / f"{place}.db", synchronous="normal")


@pytest.mark.parametrize(("machine", "examples"), [(InMemory, 10), (InFiles, 2)], ids=["memory", "sqlite"])
def test_stores_agree_with_a_naive_model(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=25))


@pytest.mark.long
@pytest.mark.parametrize(("machine", "examples"), [(InMemory, 100), (InFiles, 20)], ids=["memory", "sqlite"])
def test_stores_agree_with_a_naive_model_for_longer(machine: type[Machine], examples: int) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=50))
