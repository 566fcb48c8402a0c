"""The exceptions that trio_steps raises, and how it treats those of other code.

A user's exception is never wrapped: it keeps its type and traceback, and gets a note with the full name of the step
that raised it. The error of a failed fork is in `results`, with the results that it holds.

An exception is someone else's code: its ``__repr__``, ``__getattr__`` or ``__setattr__`` may raise, its ``__notes__``
may be anything, and it may hold a payload of 20 MB. None of that may fail a run. So only this module reads and writes
notes, and every text about an exception comes from `short_repr`.
"""

from __future__ import annotations

from contextlib import suppress
from reprlib import Repr
from typing import TYPE_CHECKING, Any, Final, Literal, cast, final

import trio

from .public import public

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType


@public
class ConfigError(ValueError):
    """A step, fork or pipeline can't work as it is written. It is raised as early as possible, mostly while building.

    It is a `ValueError`.
    """


@public
class StepTimeoutError(trio.TooSlowError):
    """A step, or a whole fork, ran out of time. Its work has stopped by the time this is raised.

    It is a `trio.TooSlowError`.

    Attributes:
      step: the full name of what was too slow.
      seconds: how long it was allowed to take.
    """

    kind: Literal["timed_out"] = "timed_out"

    def __init__(self, step: str, seconds: float) -> None:
        super().__init__(step, seconds)
        self.step = step
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{short_name(self.step)!r} timed out after {self.seconds:g} s"


@public
class CircuitOpenError(Exception):
    """A step was not tried, because its circuit breaker is open.

    Attributes:
      step: the full name of the step.
      retry_after: seconds until the breaker lets a probe through; 0 while a probe is under way.
      skip: the breaker has ``on_open="skip"``: a step that is called by itself returns None instead.
    """

    def __init__(self, step: str, retry_after: float, skip: bool = False) -> None:
        super().__init__(step, retry_after, skip)
        self.step = step
        self.retry_after = retry_after
        self.skip = skip

    def __str__(self) -> str:
        when = f"next probe in {self.retry_after:g} s" if self.retry_after else "a probe is under way"
        return f"circuit breaker of {short_name(self.step)!r} is open; {when}"


@public
class QueueFullError(Exception):
    """A step was not tried: as many calls as ``max_waiting=`` allows are waiting for its limiter already.

    Attributes:
      step: the full name of the step.
      waiting: how many calls are waiting.
    """

    def __init__(self, step: str, waiting: int) -> None:
        super().__init__(step, waiting)
        self.step = step
        self.waiting = waiting

    def __str__(self) -> str:
        who = (
            "no call may wait"
            if not self.waiting
            else "1 call waits"
            if self.waiting == 1
            else f"{self.waiting} calls wait"
        )
        return f"{short_name(self.step)!r} was not tried: its limiter has no free token, and {who} for one"


@public
class NotAcceptedError(Exception):
    """A step or path returned a value that ``accept=`` refused.

    Attributes:
      step: the full name of the step.
      value: what it returned.
    """

    kind: Literal["not_accepted"] = "not_accepted"

    def __init__(self, step: str, value: object) -> None:
        super().__init__(step, value)
        self.step = step
        self.value = value

    def __str__(self) -> str:
        return f"{short_name(self.step)!r} returned {short_repr(self.value)}, which accept= refused"


@public
class KeyCollisionError(Exception):
    """Two sources gave the same key to a context, and ``merge_policy="error"`` allows only one.

    Attributes:
      key: the key.
      step: the full name of the step whose outputs were merged.
      sources: the source of the first value, and the source of the value that collided with it.
    """

    def __init__(self, key: str, step: str, sources: tuple[str, str]) -> None:
        super().__init__(key, step, sources)
        self.key = key
        self.step = step
        self.sources = sources

    def __str__(self) -> str:
        first, second = self.sources
        return (
            f"{short_name(self.step)!r} can't merge the key {self.key!r}: {first!r} gave it and so did {second!r}; "
            'rename one, or use merge_policy="override", "warn" or "skip"'
        )


@public
class StepInputError(Exception):
    """A step needs a key that the context doesn't have when it runs. It is never retried.

    Attributes:
      step: the full name of the step.
      key: the key it needs.
      available: the keys that the context does have.
      declared: whether it is a pipeline that declares the key as an input, and `available` are the keys of its input.
    """

    def __init__(self, step: str, key: str, available: Iterable[str], declared: bool = False) -> None:
        available = tuple(available)
        super().__init__(step, key, available, declared)
        self.step = step
        self.key = key
        self.available = available
        self.declared = declared

    def __str__(self) -> str:
        from difflib import get_close_matches  # noqa: PLC0415 - a millisecond of every import, for an error

        close = get_close_matches(self.key, self.available, 1)
        where, its = ("input", "its") if self.declared else ("context", "the")
        return (
            f"{short_name(self.step)!r} needs {self.key!r}, which {its} {where} does not have"
            + (f" (did you mean {close[0]!r}?)" if close else "")
            + (f"; it has {listed(self.available)}. " if self.available else f"; the {where} is empty. ")
            + (
                "Only an optional field may be missing"
                if self.declared
                else f"The whole context goes to a positional-only parameter: lambda {self.key}, /: …"
                if self.key in WHOLE
                else "A parameter with a default may be missing"
            )
        )


@public
class StepOutputError(TypeError):
    """A step returned something that can't be merged into a context.

    Attributes:
      step: the full name of the step.
      problem: what it returned, in words.
    """

    def __init__(self, step: str, problem: str) -> None:
        super().__init__(step, problem)
        self.step = step
        self.problem = problem

    def __str__(self) -> str:
        return f"{short_name(self.step)!r} {self.problem}"


@public
class LoopLimitError(Exception):
    """A `repeat` used up its rounds, and its ``until`` still does not hold.

    Attributes:
      step: the full name of the step.
      at_most: how many rounds it had.
    """

    def __init__(self, step: str, at_most: int) -> None:
        super().__init__(step, at_most)
        self.step = step
        self.at_most = at_most

    def __str__(self) -> str:
        rounds = "1 round" if self.at_most == 1 else f"{self.at_most} rounds"
        return (
            f"{self.step!r} ran {rounds}, which is at_most={self.at_most}, and until=… does not hold yet: allow more, "
            'or give on_limit="continue" to keep what the rounds have changed'
        )


@public
class CheckpointError(ValueError):
    """A checkpoint can't be written, read or resumed from.

    Attributes:
      problem: what is wrong, in words.
      step: the full name of the step concerned, if there is one.
      key: the key of the context concerned, if there is one.
    """

    def __init__(self, problem: str, step: str | None = None, key: str | None = None) -> None:
        super().__init__(problem, step, key)
        self.problem = problem
        self.step = step
        self.key = key

    def __str__(self) -> str:
        where = [f"{what} {name!r}" for what, name in (("step", self.step), ("key", self.key)) if name is not None]
        return f"{', '.join(where)}: {self.problem}" if where else self.problem


def notes_of(error: BaseException) -> list[object] | None:
    """Return the notes (PEP 678) of `error`, or None if its ``__notes__`` is not a list, which must stay as it is."""
    try:
        notes: object = getattr(error, "__notes__", None)
    except Exception:  # noqa: BLE001 - whatever its __getattr__ raises
        return None
    if notes is None:
        return []
    return list(cast("list[object]", notes)) if isinstance(notes, list) else None


def add_note(error: BaseException, note: str) -> None:
    """Add `note` to `error`, unless it is there already or `error` takes no notes."""
    notes = notes_of(error)
    if notes is not None and not any(isinstance(other, str) and other == note for other in notes):
        with suppress(Exception):  # it may be frozen, or have a __setattr__ that raises
            # a new list, because copies of an exception share one
            cast("Any", error).__notes__ = [*notes, note]


def exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """Return `error` for ``exc_info=`` of `logging`, which would log nothing of an error that is false."""
    return type(error), error, cast("Any", BaseException).__traceback__.__get__(error)


def name_step(error: BaseException, name: str) -> None:
    """Note on `error` that the step `name` raised it, unless a step inside that one is noted already.

    Thousands of steps may raise one object. Its notes name the first few.
    """
    named = [
        note for note in notes_of(error) or () if isinstance(note, str) and note.startswith(("in step '", _IN_OTHERS))
    ]
    shown = short_name(name)
    inside = f"in step '{name}/" if shown == name else f"in step '{shown.partition(_CUT)[0]}{_CUT}"
    if not any(note.startswith(inside) for note in named):
        add_note(error, f"in step '{shown}'" if len(named) < _NAMED else _IN_OTHERS)


_NAMED: Final = 8
_IN_OTHERS: Final = "in other steps, too"


def stop_in_coroutine() -> RuntimeError:
    """Return what Python makes of a StopIteration that leaves a coroutine.

    A sync function can raise one. If it is raised as this error at once, hooks, observers and the journal get the error
    that the caller will see.
    """
    return RuntimeError("coroutine raised StopIteration")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in `error` that are not groups; just `error` if it is not a group.

    A group that occurs twice is visited once.
    """
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    seen: set[int] = set()
    left: list[BaseException] = [error]
    while left:
        one = left.pop()
        group = cast("BaseExceptionGroup[BaseException]", one)
        if not isinstance(one, BaseExceptionGroup):
            yield one
        elif id(group) not in seen:
            seen.add(id(group))
            left.extend(reversed(group.exceptions))


_CUT: Final = "…"


def short_name(name: str) -> str:
    """Return the full name of a step for a message; of a very long name, only the beginning and the end."""
    return name if len(name) <= SHORT else f"{name[: SHORT // 2]}{_CUT}{name[-SHORT // 2 :]}"


SHORT: Final = 300
"""The most characters that a message spends on one exception or value."""


def short_repr(value: object) -> str:
    """Return ``repr(value)``, cut to `SHORT` characters, for a message or a reason.

    It reads no more of a large value than it shows, and never raises.
    """
    try:
        text = _short.repr(value)
    except Exception:  # noqa: BLE001 - whatever the value's methods raise
        text = _without_repr(value)
    return cut(text)


def cut(text: str, most: int = SHORT) -> str:
    """Return `text`, or if it is longer than that, its first `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}{_CUT}"


def _without_repr(value: object) -> str:
    return f"<{type(value).__name__} whose repr fails>"


@final
class _ShortRepr(Repr):
    """`reprlib.Repr`, extended to exceptions and bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 5
        self.maxstring = self.maxother = SHORT
        self.maxlong = 60
        self.maxtuple = self.maxlist = self.maxset = self.maxfrozenset = self.maxdeque = self.maxarray = 10
        self.maxdict = 10
        self.fillvalue = "…"

    def repr_instance(self, x: object, level: int) -> str:
        kind = type(x)
        if isinstance(x, BaseException) and kind.__repr__ in _REPRS_OF_ERRORS:
            return self._repr_error(x, level)
        if isinstance(x, (str, bytes, bytearray)) and kind.__repr__ in _REPRS_OF_TEXTS:
            return repr(x[:SHORT] if len(x) > SHORT else x)
        try:
            return repr(x)
        except Exception:  # noqa: BLE001 - whatever its __repr__ raises
            return _without_repr(x)

    def _repr_error(self, error: BaseException, level: int) -> str:
        name = type(error).__name__
        if level <= 0:
            return f"{name}(…)"
        args: tuple[object, ...] = cast("Any", BaseException).args.__get__(error)
        shown = [self.repr1(arg, level - 1) for arg in args[: self.maxtuple]]
        if len(args) > self.maxtuple:
            shown.append(self.fillvalue)
        return f"{name}({', '.join(shown)})"


_REPRS_OF_ERRORS: Final = (BaseException.__repr__, BaseExceptionGroup.__repr__)
_REPRS_OF_TEXTS: Final = (str.__repr__, bytes.__repr__, bytearray.__repr__)
_short: Final = _ShortRepr()


WHOLE = ("ctx", "context")
"""Names that people give to a parameter when they expect the whole context in it."""

_LISTED = 20


def listed(names: Iterable[str]) -> str:
    """Return `names` for a message, but only as many as a person would read."""
    names = list(names)
    shown = ", ".join(map(repr, names[:_LISTED])) or "nothing"
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def hide_frames_of_ours(error: BaseException) -> None:
    """Remove the frames of this library from the start of the traceback of `error`.

    Python adds a frame for each function that an exception leaves. A call passes through half a dozen functions of ours
    before it reaches the user's, and so does each level of nested forks. Their frames tell the reader nothing.
    """
    first: TracebackType | None = cast("Any", BaseException).__traceback__.__get__(error)
    while first is not None and first.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        first = first.tb_next
    BaseException.with_traceback(error, first)  # the error's class may have its own `with_traceback`


_OURS: Final = tuple(f"trio_steps.{package}." for package in ("_core", "_fork", "_pipeline"))
