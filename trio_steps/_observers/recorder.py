"""The built-in observer: it keeps the story of a run, and draws it as a timeline.

Each drawing is a module, imported on demand.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast, final

import attrs

from trio_steps._core.checks import check_flag
from trio_steps._core.errors import ConfigError, short_repr
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

    Give it to one run, ``await research.run(topic, observers=[recorder])``, or to several, and print it at any time. It
    keeps the errors and discarded values in the events alive.
    """

    _events: list[Event] = attrs.field(factory=list["Event"], init=False)

    def __call__(self, event: Event) -> None:
        """Keep `event`, unless its step has ``log=False``."""
        if not event.quiet:
            self._events.append(event)

    @property
    def events(self) -> tuple[Event, ...]:
        """The events so far, in order."""
        return tuple(self._events)

    def render(
        self, *, width: int = 100, color: bool = False, rows: int | None = None, encoding: str | None = None
    ) -> str:
        """Return the timeline as text: a line for each step shows when it ran, and how it ended.

        Runs that overlap share a time axis. Every step of a pipeline has a line. If there are more than a dozen paths,
        those that won, failed, were retried or were slowest have a line each. The others share one, which shows how
        many ran at each moment, and how they ended.

        Args:
          width: the most characters in a line; less than 40 counts as 40. In a narrow timeline, names stay, and figures
            give way.
          color: whether to use ANSI colours. Nothing depends on colour alone.
          rows: the most lines for anything but steps of pipelines. None: a dozen for each fork.
          encoding: the encoding of the output, such as ``sys.stdout.encoding``. Plain characters replace those that it
            lacks. None: it lacks none. ``print(recorder)`` uses the encoding of standard output.

        Raises:
          ConfigError: `rows` is not a positive number, or another argument is not valid.
        """
        from .text import render  # noqa: PLC0415 - imported only to draw

        if isinstance(width, bool) or not isinstance(cast("object", width), int):
            raise ConfigError(f"width={short_repr(width)}: give the number of columns, width=100")
        check_flag("color", color, form="True for ANSI colors, or False")
        if encoding is not None and not isinstance(cast("object", encoding), str):
            raise ConfigError(f'encoding={short_repr(encoding)}: give the name of an encoding, "ascii", or None')
        return render(self._events, width=width, color=color, rows=_check_rows(rows), encoding=encoding)

    def to_html(self, *, title: str | None = None, rows: int | None = None) -> str:
        """Return the timeline as a page: one HTML file that needs nothing else, and no network.

        Save it with ``Path("run.html").write_text(recorder.to_html())``; it is ASCII. Rows fold, and explain themselves
        on hover or focus. Every step of a pipeline has a row. If there are more than 24 paths (fewer on a long page),
        those that won, failed, were retried or were slowest have a row each. The others share one, which opens.

        Args:
          title: the heading; by default the names of the runs.
          rows: the most rows for anything but steps of pipelines. None: 24 for each fork.

        Raises:
          ConfigError: `rows` is not a positive number, or another argument is not valid.
        """
        from .html import timeline  # noqa: PLC0415 - imported only to draw

        if title is not None and not isinstance(cast("object", title), str):
            raise ConfigError(f"title={short_repr(title)}: give the text above the timeline, or None")
        return timeline(self._events, title, _check_rows(rows))

    def to_chrome_trace(self) -> str:
        """Return the runs as JSON in Chrome's trace event format, for https://ui.perfetto.dev or chrome://tracing.

        It contains every run of a step, on a track with the runs around it. It is ASCII, and times are microseconds.
        """
        from .chrome import chrome_trace  # noqa: PLC0415 - imported only to draw

        return chrome_trace(self._events)

    def to_mermaid(self, step: Step[..., Any], *, direction: Direction = "down") -> str:
        """Return `step` as a Mermaid flowchart, with marks and colours for what its last run did.

        A mark and a word show what succeeded, won, failed, was cancelled, was skipped or never started. A thick line
        is the way that the run took. Steps with ``log=False`` are left out.

        Args:
          step: the pipeline or fork that ran, by itself or inside another step.
          direction: where the drawing leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: `direction` is neither of these, or `step` is not a step.
        """
        from .fates import draw  # noqa: PLC0415 - imported only to draw

        return draw("mermaid", step, direction, self._events)

    def to_dot(self, step: Step[..., Any], *, direction: Direction = "down") -> str:
        """Return the diagram of `to_mermaid` in the DOT language of Graphviz, for ``dot -Tsvg``.

        Args:
          step: the pipeline or fork that ran, by itself or inside another step.
          direction: where the drawing leads: ``"down"`` or ``"right"``.

        Raises:
          ConfigError: `direction` is neither of these, or `step` is not a step.
        """
        from .fates import draw  # noqa: PLC0415 - imported only to draw

        return draw("dot", step, direction, self._events)

    def __str__(self) -> str:
        return self.render(encoding=getattr(sys.stdout, "encoding", None))

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """Return the page of the timeline in a frame for a notebook, and text for one that can't show it."""
        from .html import framed  # noqa: PLC0415 - imported only to draw

        return {"text/html": framed(self._events), "text/plain": self.render()}

    def __repr__(self) -> str:
        return f"<Recorder: {len(self._events)} events>"


def _check_rows(rows: int | None) -> int | None:
    if rows is not None and (isinstance(rows, bool) or not isinstance(cast("object", rows), int) or rows < 1):
        raise ConfigError(f"rows={short_repr(rows)}: give the number of rows, 1 or more, or None for the usual number")
    return rows if rows is None else min(rows, sys.maxsize)
