"""Runs in a terminal: a live tree of what is running, and a summary at the end. It needs ``trio_steps[rich]``.

Problem: show what is running, with times that advance while nothing happens; cost next to nothing, even with a million
paths; and leave the terminal as it was, whatever happens.

Naive answer: draw at each event, and let `rich.live.Live` refresh in between. There can be very many events, and Live
refreshes in a thread, which would read the tree while the run changes it.

What is done instead. An event only changes the tree (`_observers.live`). A Trio task draws the tree several times a
second. That task is in a nursery around the user's block. No error and no `KeyboardInterrupt` can leave the task, so
the nursery has nothing to wrap or to cancel. The task is shielded, so that a cancelled run can be watched while it
cleans up. Code that blocks the event loop also stops the drawing.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from math import inf
from typing import TYPE_CHECKING, Final, TextIO, cast, final

import attrs
import trio
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ._core.checks import check_flag, is_number
from ._core.errors import ConfigError, short_repr
from ._core.events.observers import logger
from ._drawing.looks import MARKS, TERMINAL, WORDS, encodable
from ._observers.live import Tree
from ._observers.rows import clock, plain

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from rich.console import ConsoleOptions, JustifyMethod, RenderResult

    from ._core.events.records import Event
    from ._drawing.looks import Look
    from ._observers.live import LiveRow

__all__ = ["LiveTree"]

_MOST_LINES: Final = 60  # of a summary
_BAR: Final = 20  # characters
_LEAST_NOTE: Final = 16  # characters
_ROOMY: Final = 80  # columns; with fewer, no message is wrapped


@final
class LiveTree:
    """An observer that shows runs in a terminal: a tree while they run, and a table of all steps at the end.

    It draws while its block is open. It can observe any number of runs in the block, together or one after another::

        async with LiveTree() as tree:
            papers = await research.run("quantum error correction", observers=[tree])

    The tree has a line for each step and path, running or over, with its time. A fork of more than a dozen paths has a
    progress bar as soon as their number is known. It shows the paths that are running, failed or won, as far as there
    is room. Output of the program goes above the tree.

    At the end, a table replaces the tree, also after a failure or a cancellation. It shows how each step ended, how
    long it took, its share of the whole time, and its attempts; and which steps were slowest and fastest. Exceptions
    leave the block unchanged. If the terminal can't be written to, that is logged, and the runs continue.

    If the console is not a terminal, nothing is shown, and nothing runs in the background; a notebook gets the table.
    Steps with ``log=False`` are left out. The tree keeps each step that is running, and about a thousand that are over.

    Attributes:
      console: the console it draws on. Use it to print other output there.
    """

    def __init__(self, *, console: Console | None = None, summary: bool | None = None, interval: float = 0.1) -> None:
        """Make an empty tree.

        Args:
          console: where to draw. None: standard error, which leaves standard output to the program.
          summary: whether to print the table at the end of the block. None: if the console is a terminal or a
            notebook.
          interval: seconds between two drawings.

        Raises:
          ConfigError: `interval` is not a positive number, or another argument is not valid.
        """
        if console is not None and not isinstance(cast("object", console), Console):
            raise ConfigError(f"console={short_repr(console)}: give a rich.console.Console, or None for standard error")
        if summary is not None:
            check_flag("summary", summary, form="True or False, or None for a summary if the console is a terminal")
        if not is_number(interval) or not 0 < interval < inf:
            raise ConfigError(f"interval={short_repr(interval)}: give the seconds between two drawings, such as 0.1")
        if console is None:  # not interactive just because of FORCE_COLOR, which is meant for CI logs
            console = Console(stderr=True, force_interactive=None if _is_terminal(sys.stderr) else False)
        self.console: Console = console
        self._is_live = console.is_interactive
        self._prints_summary = self._is_live or console.is_jupyter if summary is None else summary
        self._interval = interval
        self._tree = Tree()
        self._block: AsyncExitStack | None = None

    @trio.lowlevel.enable_ki_protection  # Ctrl-C must not leave an event half entered
    def __call__(self, event: Event) -> None:
        """Enter `event` in the tree, which is drawn later."""
        if not event.quiet:
            self._tree(event)

    # The block

    @trio.lowlevel.enable_ki_protection
    async def __aenter__(self) -> LiveTree:
        if self._block is not None:
            raise RuntimeError("this LiveTree is already shown; make a new LiveTree() for another block")
        block = AsyncExitStack()
        if self._prints_summary:
            block.callback(_try, self._print_summary)
        if self._is_live:
            live = Live(
                console=self.console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=_is_terminal(sys.stdout),  # output to a file must not go to the terminal
                redirect_stderr=_is_terminal(sys.stderr),
                vertical_overflow="crop",
            )
            block.callback(_try, live.stop)
            if _try(live.start):
                nursery = await block.enter_async_context(trio.open_nursery())
                scope = trio.CancelScope(shield=True)
                block.callback(scope.cancel)
                nursery.start_soon(self._draw, live, scope, name="trio_steps.LiveTree")
        self._block = block
        return self

    @trio.lowlevel.enable_ki_protection
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._block is not None
        block, self._block = self._block, None
        try:
            await block.aclose()
        except BaseExceptionGroup as group:  # a KeyboardInterrupt came just now
            raise group.exceptions[0] from None

    @trio.lowlevel.enable_ki_protection
    async def _draw(self, live: Live, scope: trio.CancelScope) -> None:
        drawn = True
        with scope:
            while drawn:
                await trio.sleep(self._interval)
                drawn = _try(self._refresh, live)

    def _refresh(self, live: Live) -> None:
        live.update(self._picture(trio.current_time()), refresh=True)

    def _print_summary(self) -> None:
        if self._tree.count:
            self.console.print(self.summary())

    # Pictures

    def summary(self) -> Group:
        """Return the table of everything so far. Print it with ``tree.console.print(tree.summary())``."""
        tree = self._tree
        lines = tree.lines(_MOST_LINES, is_live=False)
        names = [_more(depth, rest) if rest is not None else _label(depth, row) for depth, row, rest in lines]
        figures = [["", "", "", ""] if rest is not None else _figures(row, tree) for _, row, rest in lines]
        notes = [_counts(rest) if rest is not None else _note(row) for _, row, rest in lines]
        columns = _Columns.fitting(
            self.console.width, max((name.cell_len for name in names), default=0), list(zip(*figures, strict=True))
        )
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("step", no_wrap=True, overflow="ellipsis", width=columns.name)
        for column, width in columns.figures.items():
            justify: JustifyMethod = "right" if column else "left"
            table.add_column(_FIGURES[column], justify=justify, no_wrap=True, width=width)
        is_narrow = self.console.width < _ROOMY
        table.add_column(no_wrap=is_narrow, overflow="ellipsis", max_width=columns.note)
        for (_, row, rest), name, told, note in zip(lines, names, figures, notes, strict=True):
            style = "" if rest is not None else TERMINAL[row.look]
            texts = (Text(told[column], "" if column else style) for column in columns.figures)
            table.add_row(name, *texts, Text(note))
        if tree.slowest == tree.fastest:  # there is only one
            return Group(_Trimmed(table))
        ends = {"slowest": tree.slowest, "fastest": tree.fastest}
        said = (f"{word}: {plain(end[1])}, {clock(end[0])}" for word, end in ends.items() if end is not None)
        return Group(_Trimmed(table), "", _Trimmed(Text("; ".join(said), "dim")))

    def _picture(self, now: float) -> _Trimmed:
        """Return the tree as it is now."""
        lines = self._tree.lines(max(self.console.height - 1, 1), is_live=True)
        names = [_more(depth, rest) if rest is not None else _label(depth, row) for depth, row, rest in lines]
        picture = Table.grid(padding=(0, 2))
        longest = max((name.cell_len for name in names), default=0)
        picture.add_column(width=min(longest, self._most_of_a_line))
        picture.add_column(justify="right", no_wrap=True, min_width=5)
        picture.add_column()
        for (_, row, rest), name in zip(lines, names, strict=True):
            if rest is not None:
                picture.add_row(name, "", _cut(_counts(rest)))
            elif row.status == "running":
                picture.add_row(name, f"{now - row.start:.1f} s", _cut(*_progress(row), _note(row)))
            else:
                why = "" if row.status in ("succeeded", "failed") else f"{WORDS[row.status]}: "
                picture.add_row(name, clock(row.took) if row.attempts else "", _cut(why, _note(row)))
        return _Trimmed(picture)

    @property
    def _most_of_a_line(self) -> int:
        return self.console.width * 6 // 10


@final
@attrs.frozen
class _Trimmed:
    """A table or text without trailing blanks, and with plain characters for those that can't be shown.

    Blanks would wrap when the terminal becomes narrower.
    """

    inside: Table | Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self.inside, options, pad=False):
            text = Text.assemble(
                *((encodable(part.text, options.encoding), part.style or "") for part in line), no_wrap=True
            )
            text.rstrip()
            yield text


_FIGURES: Final = ("status", "took", "share", "attempts")
_LEAST_IMPORTANT: Final = (2, 3, 0, 1)  # in the order in which they give way to names; a mark shows the status too


@final
@attrs.frozen
class _Columns:
    """The widths of the columns of a summary, in characters; the figures by their numbers."""

    name: int
    figures: dict[int, int]
    note: int

    @classmethod
    def fitting(cls, width: int, longest: int, figures: Sequence[Sequence[str]]) -> _Columns:
        """Return the columns for `width`, and for names of up to `longest` characters. Figures give way to names."""
        name = max(min(longest, width * 6 // 10), 12)
        wide = {
            number: max(map(len, (head, *column)))
            for number, (head, column) in enumerate(zip(_FIGURES, figures, strict=True))
        }
        rest = width - name
        for column in _LEAST_IMPORTANT:
            rest = width - name - 2 - sum(other + 2 for other in wide.values())
            if rest >= _LEAST_NOTE:
                break
            del wide[column]
        return cls(name, wide, max(rest, _LEAST_NOTE))


def _figures(row: LiveRow, tree: Tree) -> list[str]:
    """Return the figures of `row`, by column."""
    whole = tree.last - tree.first
    if not row.attempts:
        return [WORDS[row.look], "", "", ""]
    took = row.took_by(tree.last)
    return [WORDS[row.look], clock(took), f"{took / whole:.0%}" if whole else "", str(row.attempts)]


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()  # None: it was closed when Python started


def _try(show: Callable[..., object], *args: object) -> bool:
    """Call `show`, and return whether it succeeded. A failure is logged."""
    try:
        show(*args)
    except (Exception, SystemExit):  # noqa: BLE001 - logged; rich raises SystemExit for a closed pipe
        logger.exception("the live tree can't be shown")
        return False
    return True


def _label(depth: int, row: LiveRow) -> Text:
    return _cut(" " * 2 * depth, (MARKS[row.look], TERMINAL[row.look]), f" {plain(row.label)}")


def _more(depth: int, rest: Counter[Look]) -> Text:
    return Text(f"{'':{2 * depth}}… {rest.total():,} more", "dim")


def _counts(ends: Mapping[Look, int]) -> str:
    return ", ".join(f"{ends[look]:,} {word}" for look, word in WORDS.items() if ends.get(look))


def _note(row: LiveRow) -> str:
    """Return the note about `row` and its paths."""
    text = row.text
    if text and row.status in ("running", "succeeded"):
        text = f"attempt {row.attempts}, after {text}"
    if row.is_wide and row.status != "running":
        inside = _counts(row.ended)
        if row.shortest <= row.longest:  # at least one has run
            inside += f", in {clock(row.shortest)} to {clock(row.longest)}"
        text = f"{text}; {inside}" if text else inside
    return plain("; ".join(filter(None, (text, row.note))))


def _progress(row: LiveRow) -> Iterator[Text | str]:
    """Yield the progress of `row` if it has many paths: a bar and numbers."""
    if not row.is_wide:
        return
    done = sum(row.ended.values())
    if row.paths:
        halves = round(min(done / row.paths, 1.0) * 2 * _BAR)
        bar = "━" * (halves // 2) + "╸" * (halves % 2)
        yield Text.assemble((bar, "green"), ("─" * (_BAR - len(bar)), "dim"), " ")
    yield f"{done:,} of {row.paths:,}" if row.paths else f"{done:,} done"
    if "failed" in row.ended:
        yield f", {row.ended['failed']:,} failed"
    if row.text or row.note:
        yield "; "


def _cut(*parts: Text | str | tuple[str, str]) -> Text:
    """Return `parts` as one line, cut off if there is no room."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
