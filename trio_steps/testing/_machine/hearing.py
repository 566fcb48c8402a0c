"""Python's reports about the objects of one run, and of no other: warnings, and errors that no code can catch.

An async generator that is left to the garbage collector is closed late. That is a fault only if closing it has to do
something: a ``finally``, an ``async with``, an ``except`` that can see a `GeneratorExit`. Python warns about all of
them. So the handlers around the ``yield`` of each generator are examined before it is closed.
"""

from __future__ import annotations

import dis
import gc
import re
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, final

from trio_steps.testing._findings import Finding
from trio_steps.testing._places import Place, place_of_error, scrub

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import CodeType, FrameType

_ORIGIN: Final = re.compile(r'File "(.+)", line (\d+), in (\S+)')
_LOADS: Final = ("LOAD_", "BUILD_TUPLE", "PUSH_EXC_INFO", "NOP", "CACHE", "RESUME")
_PASSES_ON: Final = frozenset({"CALL_INTRINSIC_1", "RERAISE", "COPY", "END_ASYNC_FOR", "CLEANUP_THROW"})
_SEE_ALL: Final = frozenset({"BaseException", "GeneratorExit"})


@final
class Hearing:
    """Collects Python's reports about one run.

    Attributes:
      findings: the reports, as findings.
      interrupted: whether Ctrl-C was pressed, even if the program has swallowed the `KeyboardInterrupt`.
    """

    def __init__(self, passed_on: set[tuple[object, ...]]) -> None:
        self.findings: list[Finding] = []
        self._passed_on = passed_on
        self.interrupted: bool = False
        self._heeds_ctrl_c = False
        self._handler: Callable[[int, FrameType | None], object] | None = None

    @contextmanager
    def listening(self, *, origins: bool) -> Generator[None]:
        """Listen in the block. With `origins`, coroutines remember where they were made."""
        hook, collects, depth = sys.unraisablehook, gc.isenabled(), sys.get_coroutine_origin_tracking_depth()
        sys.unraisablehook = self._unraisable
        sys.set_coroutine_origin_tracking_depth(1 if origins else 0)
        gc.disable()
        in_main = threading.current_thread() is threading.main_thread()
        self._heeds_ctrl_c = in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            sys.unraisablehook = hook
            sys.set_coroutine_origin_tracking_depth(depth)
            if collects:
                gc.enable()
            if self._handler is not None and signal.getsignal(signal.SIGINT) is self._handler:
                signal.signal(signal.SIGINT, signal.default_int_handler)  # as Trio would have done
        for warning in caught:
            self._warned(warning)

    def heed_ctrl_c(self) -> None:
        """Note a Ctrl-C, and leave the rest to Trio. Called inside the run, where Trio has set its handler."""
        if not self._heeds_ctrl_c:
            return
        of_trio: Any = signal.getsignal(signal.SIGINT)

        def handler(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            of_trio(number, frame)

        self._handler = handler
        signal.signal(signal.SIGINT, handler)

    def _unraisable(self, what: Any) -> None:
        place = None if what.exc_value is None else place_of_error(what.exc_value)
        text = scrub(f"{type(what.exc_value).__name__}: {what.exc_value}, ignored in {what.object!r}")
        self.findings.append(Finding(invariant="warning", message=text, place=place))

    def _warned(self, warning: warnings.WarningMessage) -> None:
        text = str(warning.message)
        if text.startswith("Async generator"):
            return  # `watch_generators` has seen it
        if "was never awaited" not in text:
            told = (text, warning.category, warning.filename, warning.lineno)
            if told not in self._passed_on:  # once for all runs
                self._passed_on.add(told)
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
            return
        origin = _ORIGIN.search(text)
        place = None if origin is None else Place(origin[1], int(origin[2]), origin[3])
        text = scrub(text.partition("\n")[0])
        self.findings.append(
            Finding(invariant="warning", message=text, place=place, category=warning.category, what=text)
        )

    def watch_generators(self) -> None:
        """Examine async generators that are left to the collector. Called inside the run; Trio restores its hooks."""
        hooks = sys.get_asyncgen_hooks()
        assert hooks.finalizer is not None
        finalizer = hooks.finalizer

        def look(generator: Any) -> None:
            frame = generator.ag_frame
            if frame is not None and has_clean_up(frame.f_code, frame.f_lasti):
                name = f"{frame.f_globals.get('__name__')}.{generator.__qualname__}"
                message = (
                    f"Async generator {name!r} was garbage collected before it had been exhausted, and had clean-up "
                    "to do: put 'async with aclosing(...):' around its use"
                )
                place = Place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
                self.findings.append(
                    Finding(invariant="warning", message=message, place=place, category=ResourceWarning)
                )
            del frame
            finalizer(generator)

        sys.set_asyncgen_hooks(finalizer=look)


def has_clean_up(code: CodeType, at: int) -> bool:
    """Tell whether anything runs when `GeneratorExit` is raised at instruction `at` of `code`."""
    instructions = {instruction.offset: instruction for instruction in dis.get_instructions(code)}
    entries: list[Any] = vars(dis.Bytecode(code))["exception_entries"]  # missing in the stubs
    seen: set[int] = set()
    while True:
        target = next((entry.target for entry in entries if entry.start <= at < entry.end), None)
        if target is None or target in seen:
            return False
        if _acts(instructions, target):
            return True
        seen.add(target)
        at = target  # it raises the same again, and another handler may be around it


def _acts(instructions: dict[int, dis.Instruction], start: int) -> bool:
    """Tell whether the handler at `start` does something about a `GeneratorExit`."""
    names: set[object] = set()
    handler = iter([instructions[offset] for offset in sorted(instructions) if offset >= start])
    instruction = next(handler)
    while instruction.opname.startswith(_LOADS):
        names.add(instruction.argval)
        instruction = next(handler)
    if instruction.opname == "CHECK_EXC_MATCH":  # except X
        if not _SEE_ALL.isdisjoint(names):
            return True
        jump = next(instruction for instruction in handler if "JUMP" in instruction.opname)
        return _acts(instructions, jump.argval)
    return instruction.opname not in _PASSES_ON  # otherwise it is the body of a finally, or the end of a with
