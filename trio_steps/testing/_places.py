"""Source lines, what a task waits for, and text without addresses."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import outcome
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import CodeType, FrameType, TracebackType


def _folder(file: str) -> str:
    return str(Path(file).parent) + os.sep  # without it, trio_websocket would count as a part of trio


_CONTEXTLIB: Final = inspect.getfile(contextlib)
_HERE: Final = _folder(__file__)
_OURS: Final = _folder(str(Path(__file__).parent))
_MACHINERY: Final = (
    "<",  # frozen, or made on the fly
    *(_folder(inspect.getfile(package)) for package in (trio, outcome)),
    _CONTEXTLIB,
    _HERE,
)
_INSTALLED: Final = re.compile(r".*[\\/](?:site|dist)-packages[\\/]")
_STANDARD: Final = Path(sysconfig.get_path("stdlib"))
_ADDRESS: Final = re.compile(r"\b0x[0-9a-fA-F]+")
_AT_ADDRESS: Final = re.compile(r"(?: at|,) 0x[0-9a-fA-F]+")
_CALLERS: Final = 3
_kinds: Final[dict[str, int]] = {}  # by file: 0, the user's; 1, trio_steps; 2, machinery


@attrs.frozen
class Place:
    """A line of source: where a task is, or where something was made.

    Attributes:
      file: the path of the file.
      line: the number of the line.
      function: the name of the function around the line.
      caller: the line that called that function, if it is the user's too.
    """

    file: str
    line: int
    function: str
    caller: Place | None = attrs.field(default=None, eq=False, repr=False)

    def __str__(self) -> str:
        return f"{short_file(self.file)}:{self.line}"

    @property
    def outermost(self) -> Place:
        """The user's line from which all the others were called."""
        return self if self.caller is None else self.caller.outermost

    @property
    def story(self) -> str:
        """The line, and the lines that it was called from."""
        told = f"{self} in {self.function}"
        above = self.caller
        for _ in range(_CALLERS):
            if above is None:
                return told
            told += f" ← {above} in {above.function}"
            above = above.caller
        return told


def short_file(file: str) -> str:
    """Return `file` as a person would write it: from the package on in a library, else relative to the current one."""
    installed = _INSTALLED.match(file)
    if installed is not None:
        return file[installed.end() :].replace("\\", "/")
    path = Path(file)
    for folder in (Path.cwd(), _STANDARD):
        with contextlib.suppress(ValueError):
            return path.relative_to(folder).as_posix()
    return path.name


def scrub(text: str) -> str:
    """Remove memory addresses from `text`, because they differ from run to run."""
    return _ADDRESS.sub("0x…", _AT_ADDRESS.sub("", text))


def numberless(text: str) -> str:
    """Return `text` with ``#`` for every number, so that all objects made in a loop count as one."""
    return re.sub(r"\d+", "#", text)


def _kind(code: CodeType) -> int:
    file = code.co_filename
    kind = _kinds.get(file)
    if kind is None:
        kind = _kinds[file] = 2 if file.startswith(_MACHINERY) else 1 if file.startswith(_OURS) else 0
    return kind


def _best(frames: Iterable[tuple[FrameType, int]]) -> Place | None:
    """Return the innermost line of the user, or if there is none, of trio_steps."""
    ours: Place | None = None
    users: Place | None = None
    for frame, line in frames:
        code = frame.f_code
        kind = _kind(code)
        if kind == 0:
            users = Place(code.co_filename, line, code.co_name, users)
        elif kind == 1:
            ours = Place(code.co_filename, line, code.co_name, ours)
    return users or ours


def place_of(task: trio.lowlevel.Task) -> Place | None:
    """Return the line at which `task` waits."""
    return _best(task.iter_await_frames())


def place_of_caller() -> Place | None:
    """Return the user's line that is running."""
    return _best(reversed(list(_running_frames())))


def runs_program() -> bool:
    """Tell whether a step of the program's tasks is running now, and not Trio's work after it."""
    return _is_step(list(_running_frames())[-1][0])


def place_of_entering() -> tuple[Place | None, bool]:
    """Return the line of the ``with`` that is entering a context manager, and whether the manager is trio_steps' own.

    A manager that is made of others enters them in its ``__enter__``, or before the ``yield`` of its generator. That
    line is not the one wanted.
    """
    frames = list(_running_frames())
    while frames:
        code = frames[0][0].f_code
        above = frames[1][0].f_code if len(frames) > 1 else code
        if _kind(code) < 2 and code.co_name not in ("__enter__", "__aenter__") and above.co_filename != _CONTEXTLIB:
            return _best(reversed(frames)), _kind(code) == 1
        del frames[0]
    return None, False


def _is_step(frame: FrameType) -> bool:
    code = frame.f_code  # a player's; Trio has other functions of that name
    return code.co_name == "send" and code.co_filename.startswith(_HERE)


def _running_frames() -> Iterator[tuple[FrameType, int]]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame, frame.f_lineno
        if _is_step(frame):
            return  # below it is the machinery of the run, and its caller
        frame = frame.f_back


def place_of_error(error: BaseException) -> Place | None:
    """Return the line that raised `error`, with the lines it came through as callers; of a group, the first error's."""
    nested: object = getattr(error, "exceptions", None)
    if isinstance(nested, tuple) and nested and isinstance(nested[0], BaseException):
        found = place_of_error(nested[0])
        if found is not None:
            return found
    return _best(_traceback_frames(error.__traceback__))


def _traceback_frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def waits_for(task: trio.lowlevel.Task, name_of: Callable[[object], str | None]) -> str:
    """Return in words what `task` waits for: the function of Trio that it called, and the task that blocks it.

    `name_of` returns the name of an object such as a lock, or None.
    """
    called: FrameType | None = None
    for frame, _ in task.iter_await_frames():
        if _kind(frame.f_code) < 2:
            called = None
        elif called is None and not frame.f_code.co_name.startswith("__"):
            called = frame
    if called is None:
        return "something outside of Trio"
    code = called.f_code
    me = called.f_locals.get("self")
    name = f"{type(me).__name__}.{code.co_name}" if me is not None else code.co_name
    told = name if me is None else f"{name_of(me) or type(me).__name__}.{code.co_name}"
    if name == "Nursery._nested_child_finished":
        return "the tasks of its nursery"
    if isinstance(me, (trio.Lock, trio.StrictFIFOLock)):
        owner = me.statistics().owner
        if owner is not None and owner is not task:
            return f"{told}, held by {getattr(owner.coro, 'label', short_name(owner.name))}"
    return told


def short_name(name: str) -> str:
    """Return the name of a task without its module and the functions around it."""
    name = scrub(name).split("<locals>.")[-1]
    return name if "/" in name else name.rpartition(".")[2]


def functions_awaited(task: trio.lowlevel.Task) -> list[str]:
    """Return the names of all functions that `task` is waiting in, the innermost last."""
    return [frame.f_code.co_name for frame, _ in task.iter_await_frames()]


def waits_for_process(task: trio.lowlevel.Task) -> bool:
    """Tell whether `task` waits for a process to end."""
    return any(isinstance(frame.f_locals.get("self"), trio.Process) for frame, _ in task.iter_await_frames())
