"""The built-in observer: it keeps the story of a run, and draws it as a timeline.

The drawings are modules of their own, imported when they are asked for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast, final

import attrs

from trio_steps._core.errors import ConfigError
from trio_steps._core.public import public

if TYPE_CHECKING:
    from trio_steps._core.events.records import Event
    from trio_steps._core.step import Step
    from trio_steps._drawing.graph import Direction


@public
@final
@attrs.define(eq=False, repr=False)
class Recorder:
    """Keeps every event of the runs it observes, and draws them as a timeline.

    Give it to a run, ``await research.run(topic, observers=[recorder])``, or to several, at the same time or one after
    another, and print it, when they have ended or before. It holds on to the errors and discarded values in the events.
    """

    _events: list[Event] = attrs.field(factory=list["Event"], init=False)

    def __call__(self, event: Event) -> None:
        """Keep `event`, unless it is of a step with ``log=False``."""
        if not event.quiet:
            self._events.append(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events so far, in order."""
        return tuple(self._events)

    def render(
        self, *, width: int = 100, color: bool = False, rows: int | None = None, encoding: str | None = None
    ) -> str:
        """Return the timeline as text: a line for each step says when it ran, and how that ended.

        Runs that overlap share a time axis. The steps of a pipeline get a line each. Of more than a dozen paths, those
        that won, failed, were retried or were slowest do, and the rest get one together: how many ran at each moment,
        and how they ended.

        Args:
          width: how many characters a line may have; less than 40 counts as 40. Where they are few, names stay, and
            figures give way.
          color: whether to use ANSI colours. Nothing is told by colour alone.
          rows: how many lines there may be for what is no step of a pipeline. None: a dozen for each fork.
          encoding: of where the text goes, such as ``sys.stdout.encoding``. What it can't show is told by plain
            characters. None: it can show everything. ``print(recorder)`` uses that of standard output.

        Raises:
          ConfigError: `rows` is no positive number.
        """
        from .text import render  # noqa: PLC0415 - what draws nothing need not wait for it

        return render(self._events, width=width, color=color, rows=_check_rows(rows), encoding=encoding)

    def to_html(self, *, title: str | None = None, rows: int | None = None) -> str:
        """Return the timeline as a page: one HTML file that needs nothing else, and no network.

        Keep it with ``Path("run.html").write_text(recorder.to_html())``; it is ASCII. Rows fold, and on hover or focus
        tell why. The steps of a pipeline have a row each. Of more than 24 paths, fewer on a long page, those that won,
        failed, were retried or were slowest do, and the rest are drawn together: one row, which opens.

        Args:
          title: the heading; by default what ran.
          rows: how many rows there may be for what is no step of a pipeline. None: 24 for each fork.

        Raises:
          ConfigError: `rows` is no positive number.
        """
        from .html import timeline  # noqa: PLC0415 - what draws nothing need not wait for it

        return timeline(self._events, title, _check_rows(rows))

    def to_chrome_trace(self) -> str:
        """Return the runs as JSON in Chrome's trace event format, for https://ui.perfetto.dev or chrome://tracing.

        Every run of a step is there, on a track with those it is inside of; it is ASCII, and times are microseconds.
        """
        from .chrome import chrome_trace  # noqa: PLC0415 - what draws nothing need not wait for it

        return chrome_trace(self._events)

    def to_mermaid(self, step: Step[..., Any], *, direction: Direction = "down") -> str:
        """Return `step` as a Mermaid flowchart in which its last run has left its marks, and its colours.

        What succeeded, won, failed, was cancelled, skipped or never started has a mark and a word for that, and the
        way that the run took is a thick line. Steps with ``log=False`` are left out.

        Args:
          step: the pipeline or fork that ran, or was a step of what ran.
          direction: where it leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: there is no such direction, or `step` is no step.
        """
        from .fates import draw  # noqa: PLC0415 - what draws nothing need not wait for it

        return draw("mermaid", step, direction, self._events)

    def to_dot(self, step: Step[..., Any], *, direction: Direction = "down") -> str:
        """Return `step` in the language of Graphviz, ``dot -Tsvg``: the diagram of `to_mermaid`.

        Args:
          step: the pipeline or fork that ran, or was a step of what ran.
          direction: where it leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: there is no such direction, or `step` is no step.
        """
        from .fates import draw  # noqa: PLC0415 - what draws nothing need not wait for it

        return draw("dot", step, direction, self._events)

    def __str__(self) -> str:
        return self.render(encoding=getattr(sys.stdout, "encoding", None))

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return what a notebook shows: the page of the timeline, in a frame of its own; or the text."""
        from .html import framed  # noqa: PLC0415 - what draws nothing need not wait for it

        return {"text/html": framed(self._events), "text/plain": self.render()}

    def __repr__(self) -> str:
        return f"<Recorder: {len(self._events)} events>"


def _check_rows(rows: int | None) -> int | None:
    if rows is not None and (isinstance(rows, bool) or not isinstance(cast("object", rows), int) or rows < 1):
        raise ConfigError(f"rows={rows!r}: give the number of rows, 1 or more, or None for the usual number")
    return rows
