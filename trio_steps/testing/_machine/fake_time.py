"""Virtual time for code that asks Python, and not Trio, for the time.

The functions of the `time` module that tell the time, ``datetime.datetime.now`` and ``datetime.date.today`` are
replaced during a run, in its thread. Code that imported one of them before (``from time import monotonic``) keeps the
old one.

A loop that polls the time would never end on a clock that stands still meanwhile. So if the time is read again and
again and none passes, each reading adds a little, and later more. Trio's own time does not change. What was added
stays, so that a sleep is never measured as shorter than it should be.
"""

from __future__ import annotations

import copyreg
import datetime as dt
import pickle
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final

from trio_steps.testing._patches import patched

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

EPOCH: Final = 946_684_800.0
"""The value of `time.time` at virtual time 0: the first moment of the year 2000."""

_TICK: Final = 1e-6  # seconds that pass from one reading to the next
_PATIENCE: Final = 100  # readings before more time passes


_REAL: Final = dt.datetime
_REAL_DATE: Final = dt.date
_CLOCKS: Final = {"CLOCK_REALTIME": EPOCH, "CLOCK_MONOTONIC": 0.0, "CLOCK_MONOTONIC_RAW": 0.0, "CLOCK_BOOTTIME": 0.0}

NAMES: Final = tuple(f"{name}{unit}" for name in ("monotonic", "perf_counter", "time") for unit in ("", "_ns"))


@contextmanager
def overhearing(tell: Callable[[str], None]) -> Generator[None]:
    """Call `tell` with the name of each function of the `time` module that is called. It returns the real time."""

    def told(name: str) -> Callable[[], float]:
        real: Callable[[], float] = getattr(time, name)

        def read() -> float:
            tell(name)
            return real()

        return read

    with patched([(time, name, told(name)) for name in NAMES]):
        yield


class _Like(type):
    """A metaclass: instances and subclasses of a class's base count as those of the class."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])


@final
class FakeTime:
    """Returns `now`, and a little more if it is read again and again."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last = -1.0
        self._added = 0.0
        self._readings = 0
        self._thread = threading.get_ident()

    def read(self) -> float:
        """Return the time, never earlier than before."""
        now = self._now()
        if now > self._last:
            self._readings = 0
            self._last = now
        else:
            self._readings += 1
            self._added += _TICK * 2 ** (self._readings // _PATIENCE)
        return now + self._added

    @contextmanager
    def telling(self) -> Generator[None]:
        """Replace the functions of Python that tell the time."""
        classes: list[tuple[Any, str, Any]] = [(dt, "datetime", self._datetime()), (dt, "date", self._date())]
        with patched([*self._functions(), *self._calendar(), *classes]), _pickled():
            yield

    def _functions(self) -> list[tuple[Any, str, Any]]:
        def seconds(name: str, start: float) -> Callable[[], float]:
            real: Callable[[], float] = getattr(time, name)
            return lambda: self.read() + start if self._is_here() else real()

        def nanoseconds(name: str, start: float) -> Callable[[], int]:
            real: Callable[[], int] = getattr(time, name)
            return lambda: round((self.read() + start) * 1e9) if self._is_here() else real()

        starts = {"monotonic": 0.0, "perf_counter": 0.0, "time": EPOCH}
        return [(time, name, seconds(name, start)) for name, start in starts.items()] + [
            (time, f"{name}_ns", nanoseconds(f"{name}_ns", start)) for name, start in starts.items()
        ]

    def _calendar(self) -> list[tuple[Any, str, Any]]:
        """Return replacements for functions whose time defaults to the current one, and for those that take a clock."""

        def or_now(name: str) -> Callable[..., Any]:
            real: Callable[..., Any] = getattr(time, name)

            def told(seconds: float | None = None, /) -> Any:
                return real(self.read() + EPOCH if seconds is None and self._is_here() else seconds)

            return told

        def or_today(name: str, without: int) -> Callable[..., Any]:
            real: Callable[..., Any] = getattr(time, name)
            return lambda *arguments: real(*arguments, *([time.localtime()] if len(arguments) == without else []))

        def of(clock: int) -> float:
            start = starts.get(clock)
            return real_of(clock) if start is None or not self._is_here() else self.read() + start

        def of_ns(clock: int) -> int:
            return round(of(clock) * 1e9)

        real_of: Callable[[int], float] = getattr(time, "clock_gettime", float)
        starts = {getattr(time, name, None): start for name, start in _CLOCKS.items()}
        found = [(time, name, or_now(name)) for name in ("localtime", "gmtime", "ctime")]
        found += [(time, "asctime", or_today("asctime", 0)), (time, "strftime", or_today("strftime", 1))]
        clocks = {"clock_gettime": of, "clock_gettime_ns": of_ns}
        return found + [(time, name, told) for name, told in clocks.items() if hasattr(time, name)]

    def _is_here(self) -> bool:
        return threading.get_ident() == self._thread

    def _datetime(self) -> type[dt.datetime]:
        real = _REAL
        read, is_here = self.read, self._is_here

        class FakeDatetime(real, metaclass=_Like):  # type: ignore[misc,valid-type]
            """A `datetime.datetime` with a virtual now. Its instances are of the real class."""

            def __new__(cls, *arguments: Any, **named: Any) -> Any:
                return real(*arguments, **named)

            @classmethod
            def now(cls, tz: dt.tzinfo | None = None) -> Any:
                if not is_here():
                    return real.now(tz)
                return real.fromtimestamp(read() + EPOCH, tz)

            @classmethod
            def today(cls) -> Any:
                return cls.now()

            @classmethod
            def utcnow(cls) -> Any:
                return cls.now(dt.UTC).replace(tzinfo=None)

        FakeDatetime.__name__ = FakeDatetime.__qualname__ = "datetime"
        return FakeDatetime

    def _date(self) -> type[dt.date]:
        real = _REAL_DATE
        read, is_here = self.read, self._is_here

        class FakeDate(real, metaclass=_Like):  # type: ignore[misc,valid-type]
            """A `datetime.date` with a virtual today. Its instances are of the real class."""

            def __new__(cls, *arguments: Any, **named: Any) -> Any:
                return real(*arguments, **named)

            @classmethod
            def today(cls) -> Any:  # since Python 3.15, the real one does not ask the `time` module
                return real.fromtimestamp(read() + EPOCH) if is_here() else real.today()

        FakeDate.__name__ = FakeDate.__qualname__ = "date"
        return FakeDate


@contextmanager
def _pickled() -> Generator[None]:
    """Let dates be pickled, although their classes can't be found under their names meanwhile."""
    copyreg.dispatch_table[_REAL] = _reduced
    copyreg.dispatch_table[_REAL_DATE] = _reduced_date
    try:
        yield
    finally:
        del copyreg.dispatch_table[_REAL], copyreg.dispatch_table[_REAL_DATE]


def _reduced(value: dt.datetime) -> tuple[Any, ...]:
    return made, value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)[1]


def _reduced_date(value: dt.date) -> tuple[Any, ...]:
    return made_date, value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)[1]


def made(*arguments: Any) -> dt.datetime:
    """Return what was pickled."""
    return _REAL(*arguments)


def made_date(*arguments: Any) -> dt.date:
    """Return what was pickled."""
    return _REAL_DATE(*arguments)
