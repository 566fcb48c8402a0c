"""Which steps are known to be independent: two tasks do one action each, and the orders that were run are counted."""

from __future__ import annotations

import array
import collections
import contextlib
import contextvars
import dataclasses
import functools
import gc
import io
import itertools
import math
import operator
import os
import random
import re
import sys
import time
import types
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

from trio_steps.testing import Probe, enumerate_schedules
from trio_steps.testing._footprints import reach
from trio_steps.testing._footprints.footprints import Footprints
from trio_steps.testing._footprints.kinds import Kind, is_of_python, is_quiet, kind_of
from trio_steps.testing._machine.fake_time import FakeTime

if TYPE_CHECKING:
    from collections.abc import Iterator

THINGS: dict[str, Any] = {}
TABLE = types.MappingProxyType({"a": (1, 2)})
number = 0
module = types.ModuleType("module")


def note(things: Any, what: object) -> None:
    things.append(what)


class Thing:
    made = 0

    def __init__(self) -> None:
        self.value = 0

    def __len__(self) -> int:
        return self.value

    def grow(self) -> None:
        self.value += 1


class Slotted:
    __slots__ = ("__hidden", "value")

    def __init__(self) -> None:
        self.__hidden = self.value = 0

    def hide(self) -> None:
        self.__hidden += 1


@attrs.define
class Record:
    value: int = 0


class Names(dict[str, int]):
    """A subclass of dict."""


class Ordered(OrderedDict[str, int]):
    """A subclass of OrderedDict."""


class Text(str):  # noqa: SLOT000 - it is to have attributes
    """A string with attributes."""


class Meta(type):
    count = 0


class Made(metaclass=Meta):
    """An object whose class has a metaclass."""


class WithProperty:
    def __init__(self) -> None:
        self._count = 0

    @property
    def next(self) -> int:
        self._count += 1
        return self._count


@dataclasses.dataclass
class Data:
    value: int = 0


class Leaver:
    def __init__(self, log: list[int]) -> None:
        self.log = log

    def __del__(self) -> None:
        self.log.append(1)


variable: contextvars.ContextVar[list[int]] = contextvars.ContextVar("variable")


def default(log: list[int] = []) -> None:  # noqa: B006 - that is what it is about
    log.append(1)


@functools.lru_cache
def cached(argument: int) -> int:
    return argument


def kinds_of_orders(program: Any, **options: Any) -> tuple[int, str]:
    report = enumerate_schedules(program, reduce=True, **options)
    assert report.exhausted
    return report.runs, " ".join(report.notes)


def twice(make: Any) -> Any:
    """Return a program of two tasks, each of which calls a function that `make` returns inside the program."""

    async def task(do: Any) -> None:
        done = do()
        if hasattr(done, "__await__"):
            await done

    async def program(probe: Probe) -> None:
        one, other = make()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(task, one)
            nursery.start_soon(task, other)

    return program


def same(do: Any) -> tuple[Any, Any]:
    return do, do


def on(thing: Any, do: Any) -> tuple[Any, Any]:
    return same(functools.partial(do, thing))


def each(make: Any, do: Any) -> tuple[Any, Any]:
    return functools.partial(do, make()), functools.partial(do, make())


def bump(thing: Any) -> None:
    thing.value += 1


def bump_name() -> None:
    global number
    number += 1


def reads_name() -> int:
    return number


def bump_module() -> None:
    module.count = getattr(module, "count", 0) + 1


def count_in_class(_: Any) -> None:
    Thing.made += 1


def of_variable() -> None:
    variable.get().append(1)


def with_variable() -> tuple[Any, Any]:
    variable.set([])
    return same(of_variable)


def prints() -> None:
    print(end="")  # noqa: T201 - that is what it is about


def told(error: type[BaseException]) -> Any:
    async def fails() -> None:
        raise error

    return fails


def around() -> tuple[Any, Any]:
    count = 0

    def add() -> None:
        nonlocal count
        count += 1

    return same(add)


def weakly() -> tuple[Any, Any]:
    thing = Thing()
    reference = weakref.ref(thing)
    held = [thing]
    del thing
    return held.clear, lambda: reference() is None


def dropped() -> tuple[Any, Any]:
    log: list[int] = []
    held = [Leaver(log)]
    return held.clear, functools.partial(len, log)


def of_lock() -> tuple[Any, Any]:
    lock = trio.Lock()

    async def keeps() -> None:
        await lock.acquire()

    return keeps, keeps


def by_channel() -> tuple[Any, Any]:
    send, receive = trio.open_memory_channel[int](2)
    return functools.partial(send.send_nowait, 1), functools.partial(receive.statistics)


def scoped() -> tuple[Any, Any]:
    scope = trio.CancelScope()

    async def enters() -> None:
        with scope:
            await trio.lowlevel.checkpoint()

    return enters, lambda: scope.cancelled_caught


async def shows_itself() -> None:
    THINGS["task"] = trio.lowlevel.current_task()


def looks_around() -> None:
    sys._getframe().f_back


def imports() -> None:
    import json  # noqa: F401


async def names_type_of_files() -> object:
    await trio.lowlevel.checkpoint()
    return io.FileIO


def passes_module() -> Any:
    return vars(module)


DEPENDENT = {
    "attribute": lambda: on(Thing(), bump),
    "slot": lambda: on(Slotted(), bump),
    "hidden slot": lambda: on(Slotted(), Slotted.hide),
    "attrs": lambda: on(Record(), bump),
    "class attribute": lambda: each(Thing, count_in_class),
    "list": lambda: on([], lambda log: log.append(1)),
    "dict": lambda: on({}, lambda names: names.update(a=names.get("a", 0) + 1)),
    "subclass of dict": lambda: on(Names(), lambda names: names.update(a=names.get("a", 0) + 1)),
    "order of a dictionary": lambda: on(OrderedDict(a=1, b=2), lambda names: names.move_to_end("a")),
    "order of a subclass": lambda: on(Ordered(a=1, b=2), lambda names: names.move_to_end("a")),
    "attribute of a decorator": lambda: on(staticmethod(len), lambda method: setattr(method, "count", 1)),
    "context": lambda: on(contextvars.copy_context(), lambda context: context.run(variable.set, [])),
    "array": lambda: on(array.array("i"), lambda numbers: numbers.append(1)),
    "view": lambda: on(memoryview(bytearray(1)), lambda view: view.__setitem__(0, 1)),
    "metaclass": lambda: each(Made, lambda made: setattr(type(type(made)), "count", 1)),
    "property": lambda: on(WithProperty(), lambda thing: thing.next),
    "names that are missing": lambda: on(Thing(), lambda thing: setattr(thing, "new", 1)),
    "string with attributes": lambda: on(Text("a"), lambda text: setattr(text, "new", 1)),
    "exception": lambda: on(ValueError("a"), lambda error: error.add_note("b")),
    "dataclass": lambda: on(Data(), bump),
    "process": lambda: same(os.getpid),
    "set": lambda: same(functools.partial(set.add, set[int](), 1)),
    "name of the module": lambda: same(bump_name),
    "name that is read": lambda: (bump_name, reads_name),
    "attribute of a module": lambda: same(bump_module),
    "default argument": lambda: same(default),
    "attribute of a function": lambda: on(default, lambda function: vars(function).setdefault("count", 1)),
    "variable around": around,
    "context variable": with_variable,
    "iterator": lambda: on(iter([1, 2, 3]), next),
    "itertools": lambda: on(itertools.count(), next),
    "generator": lambda: on((item for item in (1, 2, 3)), next),
    "cache": lambda: on(1, cached),
    "random numbers": lambda: on(random.Random(1), random.Random.random),
    "bytes": lambda: on(bytearray(), lambda data: data.append(1)),
    "partial and bound method": lambda: same(functools.partial(Thing().grow)),
    "print": lambda: same(prints),
    "time": lambda: same(time.monotonic),
    "map of what prints": lambda: same(lambda: list(map(print, ()))),
    "error": lambda: same(told(OSError)),
    "weak reference": weakly,
    "object that is dropped": dropped,
    "lock that is kept": of_lock,
    "statistics": by_channel,
    "cancel scope": scoped,
    "task": lambda: same(shows_itself),
    "frame": lambda: same(looks_around),
    "collector": lambda: same(gc.get_count),
    "import": lambda: same(imports),
    "module as a value": lambda: same(passes_module),
    "module in a variable": lambda: on(module, lambda it: it.__name__),
    "events": lambda: on(trio.Event(), trio.Event.set),
    "type that is not known": lambda: on(types.SimpleNamespace(value=1), bump),
    "type that opens files": lambda: same(names_type_of_files),
    "file": lambda: on(sys.stdout, lambda file: file.writable()),
}


def reads_all(things: tuple[Any, ...]) -> None:
    for thing in things:
        repr(thing)
    isinstance(things, Thing)
    sorted(things, key=len)


async def ticks() -> None:
    for _ in range(2):
        await trio.lowlevel.checkpoint()


async def uses_own_lock() -> None:
    lock = trio.Lock()
    async with lock:
        await trio.lowlevel.checkpoint()


async def sleeps() -> None:
    with trio.move_on_after(5), trio.fail_after(6):
        await trio.sleep(1)


async def opens_own_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ticks)


INDEPENDENT = {
    "attribute": lambda: each(Thing, bump),
    "slot": lambda: each(Slotted, bump),
    "attrs": lambda: each(Record, bump),
    "lists": lambda: each(list, lambda log: log.append(1)),
    "dictionaries": lambda: each(dict, lambda names: names.update(a=names.get("a", 0) + 1)),
    "what nobody changes": lambda: on(([1], {2: Thing()}, Thing(), TABLE, "a"), lambda things: reads_all(things)),
    "name that is read": lambda: same(reads_name),
    "checkpoints": lambda: same(ticks),
    "locks": lambda: same(uses_own_lock),
    "sleeps": lambda: same(sleeps),
    "random numbers": lambda: each(random.Random, random.Random.random),
    "events": lambda: each(trio.Event, trio.Event.set),
}


REASONS = {
    "print": "print",
    "type that opens files": "_io.FileIO",
    "time": "time.monotonic",
    "error": "the end of a task by OSError",
    "weak reference": "a weakref.ReferenceType",
    "object that is dropped": "Leaver.__del__()",
    "lock that is kept": "the end of a task that holds a lock",
    "statistics": "MemoryReceiveChannel.statistics() of Trio",
    "task": "current_task() of Trio",
    "frame": ".f_back",
    "import": "an import",
    "module as a value": "the module module",
    "type that is not known": "a types.SimpleNamespace",
}


@pytest.mark.parametrize("name", REASONS)
def test_report_says_why_steps_count_as_dependent(name: str) -> None:
    assert REASONS[name] in kinds_of_orders(twice(DEPENDENT[name]))[1]


@pytest.mark.parametrize("name", DEPENDENT)
def test_steps_that_share_are_tried_both_ways_round(name: str) -> None:
    runs, _ = kinds_of_orders(twice(DEPENDENT[name]))
    assert runs >= 2


@pytest.mark.parametrize("name", INDEPENDENT)
def test_steps_that_share_nothing_that_changes_are_tried_once(name: str) -> None:
    assert kinds_of_orders(twice(INDEPENDENT[name]))[0] == 1


def test_what_python_says_is_looked_at() -> None:
    """The callback of `sys.setprofile`, called by hand, because coverage can't measure it inside a profile."""

    def here() -> types.FrameType:
        return sys._getframe()

    frame = here()
    for event, arg, reason in [
        ("return", None, None),
        ("c_call", len, None),
        ("c_call", print, "print"),
        ("c_call", [].append, None),
    ]:
        footprints = Footprints()
        footprints.sees(frame, event, arg)
        assert footprints.reason == reason
    footprints = Footprints()
    footprints.sees(frame, "call", None)
    assert footprints.reason == "sys._getframe"

    footprints = Footprints()

    @contextlib.contextmanager
    def manages() -> Iterator[None]:
        within = sys._getframe()
        footprints.sees(within, "call", None)  # called by contextlib, on our behalf
        footprints.sees(within.f_back, "c_call", print)
        yield

    with manages():
        assert footprints.reason is not None


def not_there() -> None:
    nothing_of_that_name()  # noqa: F821 - that is what it is about


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (trio.lowlevel.current_task, "current_task() of Trio"),
        (trio.lowlevel.checkpoint, None),
        (Leaver.__del__, "Leaver.__del__()"),
        (imports, "an import"),
        (looks_around, ".f_back"),
        (FakeTime.read, "the time"),
        (Probe.invariant, None),
        (reads_name, None),
        (not_there, None),
    ],
)
def test_function_that_runs_may_touch_what_can_not_be_seen(function: Any, reason: str | None) -> None:
    footprints = Footprints()
    footprints.runs(function.__code__, globals())
    footprints.runs(function.__code__, globals())
    assert footprints.reason == reason


def test_tasks_that_hold_a_task_depend_on_all() -> None:
    async def program(probe: Probe) -> None:
        held = [trio.lowlevel.current_task()]
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(waits, held)

    async def waits(held: list[object]) -> None:
        await trio.lowlevel.checkpoint()

    runs, notes = kinds_of_orders(program)
    assert runs > 1
    assert "a task of Trio" in notes


def test_step_that_can_get_at_too_much_depends_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "_MOST", 2)
    runs, notes = kinds_of_orders(twice(INDEPENDENT["what nobody changes"]))
    assert runs > 1
    assert "more than 2 objects that it can reach" in notes


async def test_call_that_starts_a_task_touches_the_nursery() -> None:
    frames: list[types.FrameType] = []
    async with trio.open_nursery() as nursery:
        sys.setprofile(lambda frame, event, _: frames.append(frame) if event == "call" else None)
        nursery.start_soon(trio.lowlevel.checkpoint)
        sys.setprofile(None)
        footprints = Footprints()
        footprints.resumes(frames[0], None)
        assert footprints.reason is None
        assert len(footprints.touched) == 2


def test_types_are_told_apart_by_what_c_has_made_in_them() -> None:
    assert is_of_python(Thing)
    assert is_of_python(Slotted)
    assert not is_of_python(int)
    assert not is_of_python(functools.partial)
    assert not is_of_python(type(io.BytesIO().getbuffer().obj))  # it has nothing of its own that shows
    assert kind_of(Names) is Kind.INSTANCE
    assert kind_of(random.Random) is Kind.STATEFUL
    assert kind_of(type(sys.stdout)) is Kind.UNKNOWN
    assert kind_of(type) is Kind.CLASS
    assert kind_of(KeyError) is Kind.INSTANCE


def test_functions_of_c_are_quiet_if_they_touch_only_what_they_are_given() -> None:
    assert all(map(is_quiet, (len, [].append, {}.get, "".join, dict.fromkeys, sys.exc_info)))
    assert all(map(is_quiet, (functools.reduce, math.sqrt, operator.add, contextvars.copy_context)))
    assert not any(map(is_quiet, (print, open, time.time, gc.collect, sys.stdout.write)))


KINDS = {
    Kind.LEAF: (None, True, 0, 0.0, 0j, "", b"", ..., NotImplemented, range(0), re.compile(""), re.match("", "")),
    Kind.FIXED: ((), frozenset[int](), slice(0), property(), {}.keys(), {}.values(), {}.items(), "".__str__),
    Kind.OPEN: ([], set[int](), functools.partial(len), collections.deque[int](), object(), classmethod(len)),
    Kind.DICT: ({}, OrderedDict[int, int](), collections.defaultdict[int, int]()),
    Kind.STATEFUL: (
        *(bytearray(), memoryview(b""), array.array("i"), io.StringIO(), io.BytesIO(), random.Random(0)),
        *(reversed(()), reversed([]), enumerate(()), zip(), map(len, ()), filter(None, ()), itertools.count()),
        *map(iter, ([], (), {}, {}.values(), {}.items(), set[int](), range(0), "", collections.deque[int]())),
        *(iter(int, None), functools.lru_cache(len), (item for item in ())),
    ),
}


@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind in KINDS for number in range(len(KINDS[kind]))])
def test_types_of_python_are_known(kind: Kind, number: int) -> None:
    assert kind_of(type(KINDS[kind][number])) is kind
