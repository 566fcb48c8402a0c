"""The timeline of a run as a page: one HTML file with inline SVG that fetches nothing and runs nothing.

The page is built as a tree of elements, so the names of steps and the messages of errors are always text, never markup.
It is ASCII, so it can be written to a file in any encoding. Rows are nested ``<details>``, which fold without a script.
Their bars are SVG with positions in per cent, which stretch with the page. Every status has its own pattern and mark.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from trio_steps._drawing.looks import MARKS, WORDS

from .charts import Chart, pick, round_times
from .css import LEGEND, SHAPES, STYLE
from .rows import Phase, Row, clock, counts, describe, plain, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from trio_steps._core.events.records import Event

_MOST_ROWS: Final = 400
_MOST_SIBLINGS: Final = (24, 12, 6, 3, 2)  # the first that keeps to that number of rows
_DEEPEST: Final = 24  # browsers don't nest without end
_COLUMNS: Final = 240  # of a crowd
_MOST_RETRIES: Final = 50  # of one row: the last
_LONGEST: Final = 1000  # characters of a name, or of what is said about a row
_MOST_OPENED: Final = 20_000  # rows that a reader can open on a page
_TOGETHER: Final = 100  # of them behind one line

_MIDDLE, _HIGH, _LOW = 14, 12, 5  # pixels: of a row, of the bar of a step, and of one with others inside


def timeline(events: Sequence[Event], title: str | None, rows: int | None = None) -> str:
    """Return the page."""
    html: bytes = ET.tostring(page(events, title, rows), encoding="us-ascii", method="html")
    return "<!DOCTYPE html>\n" + html.decode("ascii")


def framed(events: Sequence[Event]) -> str:
    """Return the page as a frame in another page, shielded from that page's styles. It fits a few dozen rows."""
    charts, _ = pick(events, siblings=_MOST_SIBLINGS, usual=_MOST_ROWS) if events else ([], [])
    rows = sum(len(chart.rows) + 3 for chart in charts)
    frame = ET.Element(
        "iframe",
        srcdoc=timeline(events, None),
        sandbox="",
        style=f"width: 100%; height: {min(150 + 28 * rows, 600)}px; border: 0; color-scheme: light dark",
    )
    html: bytes = ET.tostring(frame, encoding="us-ascii", method="html")
    return html.decode("ascii")


def page(events: Sequence[Event], title: str | None, most: int | None = None) -> ET.Element:
    """Return the page as a tree."""
    charts, earlier = pick(events, siblings=_MOST_SIBLINGS, usual=_MOST_ROWS, rows=most) if events else ([], [])
    rows = [row for chart in charts for row in chart.rows]
    if title is None:
        tops = list(dict.fromkeys(row.label for row in rows if not row.depth))
        title = ", ".join(tops[:3]) + (", …" if len(tops) > 3 else "") if tops else "timeline"
    title = _brief(title)
    html = ET.Element("html", lang="en")
    head = _add(html, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    _add(head, "meta", http_equiv="Content-Security-Policy", content=policy)
    _add(head, "link", rel="icon", href="data:,")
    _add(head, "title", title)
    _add(head, "style", STYLE)
    longest = max((len(plain(row.label)) + 2 * min(row.depth, _DEEPEST) for row in rows), default=0)
    body = _add(html, "body", style=f"--label: {min(max(longest + 6, 14), 40)}ch")
    _draw_marks(body)
    _add(body, "h1", title)
    if not charts:
        _add(body, "p", "Nothing has run yet.")
    if earlier:
        _add(body, "p", f"Before what is shown here, {len(earlier)} runs: {counts(earlier)}.")
    if charts:
        _draw_legend(body, rows)
    for chart in charts:
        if len(charts) > 1:
            after = chart.origin - events[0].time
            _add(body, "h2", f"after {clock(after)}" if after else "at first")
        _draw_chart(body, chart)
    return html


def _draw_chart(body: ET.Element, chart: Chart) -> None:
    tops = [top for row in chart.rows if not row.depth for top in row.crowd or (row,)]
    _add(body, "p", f"{clock(chart.span)}: {counts(row for row in walk(tops) if not row.children)}")
    section = _add(body, "section", class_="chart")
    rules = _add(section, "div", class_="row rules", aria_hidden="true")
    _add(rules, "span")
    lines = _add(rules, "svg", class_="track")
    head = _add(section, "div", class_="row head", aria_hidden="true")
    _add(head, "span", "step")
    ticks = _add(head, "svg", class_="track")
    for name in ("start", "took"):
        _add(head, "span", name, class_="number")
    for time in round_times(chart.span, (chart.span or 1.0) / 7):
        at = chart.fraction(chart.origin + time)
        _add(lines, "line", x1=_percent(at), x2=_percent(at), y1="26", y2="100%")
        anchor = "start" if not time else "end" if at > 0.97 else "middle"
        _add(ticks, "text", clock(time), x=_percent(at), y="18", text_anchor=anchor)

    room = [_MOST_OPENED]
    lists = [_add(section, "ul")]
    for row, following in zip(chart.rows, (*chart.rows[1:], None), strict=True):
        level = min(row.depth, _DEEPEST)
        del lists[level + 1 :]
        item = _add(lists[level], "li")
        folds = following is not None and following.parent is row and level < _DEEPEST
        if row.crowd:
            _draw_rest(item, chart, row, room)
            continue
        if folds:
            item = _add(item, "details", open="open")
        line = _add(item, "summary", class_="row") if folds else _add(item, "div", class_="row", tabindex="0")
        _draw_row(line, chart, row, folds)
        if folds:
            lists.append(_add(item, "ul"))


def _draw_rest(item: ET.Element, chart: Chart, crowd: Row, room: list[int]) -> None:
    """Draw a crowd, which opens to its rows and those inside them. They are simple, because there may be thousands.

    Args:
      item: the element to draw it in.
      chart: the chart with the time axis.
      crowd: the row of the crowd.
      room: how many more rows may be on the page.
    """
    rest = _add(item, "details", class_="rest")
    _draw_row(_add(rest, "summary", class_="row"), chart, crowd, folds=True)
    told = list(islice(walk(crowd.crowd), room[0]))
    room[0] -= len(told)
    for start in range(0, len(told), _TOGETHER):
        rows = told[start : start + _TOGETHER]
        into = rest
        if len(told) > 2 * _TOGETHER:
            into = _add(rest, "details", class_="rest")
            line = _add(into, "summary", class_="row lite")
            name = _name(line, crowd.depth + 1, folds=True)
            name.set("class", "name wide")
            _add(name, "b", f"{_brief(rows[0].label)} … {_brief(rows[-1].label)}")
            for _ in range(2):
                _add(line, "span")
            _add(line, "span", counts(rows), class_="said")
        list_ = _add(into, "ul")
        for row in rows:
            _draw_lite(_add(_add(list_, "li"), "div", class_="row lite", tabindex="0"), chart, row)
    if len(told) < sum(1 for _ in walk(crowd.crowd)):
        _add(rest, "p", f"There are more than {_MOST_OPENED} rows. The rest are only counted.")


def _draw_lite(line: ET.Element, chart: Chart, row: Row) -> None:
    """Draw a row with text and boxes only."""
    name = _name(line, row.depth, folds=False)
    _add(name, "span", MARKS[row.look], class_=f"icon {row.look}")
    _add(name, "b", _brief(row.label))
    track = _add(line, "span", class_="track")
    for phase in row.phases(chart.now) if row.ran else ():
        if phase.kind != "wait":
            start, end = chart.fraction(phase.start), chart.fraction(phase.end)
            style = f"left:{_percent(start)};width:{_percent(end - start)}"
            _add(track, "i", class_=row.look if phase.kind == "last" else "failed", style=style)
    _draw_figures(line, chart, row)
    _draw_words(line, row, _brief(row.said()))


def _name(line: ET.Element, depth: int, *, folds: bool) -> ET.Element:
    name = _add(line, "span", class_="name", style=f"--depth: {min(depth, _DEEPEST)}")
    if folds:
        fold = _add(name, "svg", class_="fold", viewBox="0 0 8 8", aria_hidden="true")
        _add(fold, "path", d="M2 0 6 4 2 8")
    return name


def _draw_figures(line: ET.Element, chart: Chart, row: Row) -> None:
    took = row.end_by(chart.now) - row.start
    _add(line, "span", chart.moment(row.start) if row.ran else "", class_="number")
    _add(line, "span", clock(took) if row.ran else "", class_="number")


def _draw_words(line: ET.Element, row: Row, said: str) -> None:
    words = _add(line, "span", class_="said")
    look = row.look
    _add(words, "b" if said or look != "succeeded" else "span", WORDS[look], class_=look).tail = f" {said}"


def _draw_row(line: ET.Element, chart: Chart, row: Row, folds: bool) -> None:
    name = _name(line, row.depth, folds=folds)
    if not row.crowd:
        _icon(name, row.look)
    _add(name, "b", _brief(row.label), title=_brief(row.name))

    track = _add(line, "svg", class_="track", role="img")
    title = _add(track, "title")
    said = _brief(row.said())
    if not row.crowd:
        _draw_bar(track, chart, row, row.look)
    elif row.ran:
        said += f"; up to {_draw_crowd(track, chart, row.crowd)} at once"
    title.text = "\n".join(_story(chart, row, said))

    _draw_figures(line, chart, row)
    if row.crowd:
        _add(line, "span", said, class_="said")
    else:
        _draw_words(line, row, said)


def _draw_bar(track: ET.Element, chart: Chart, row: Row, kind: str) -> None:
    """Draw the waits of `row`, its attempts, its end, and its discarded values and errors."""
    end, height = row.end_by(chart.now), _LOW if row.children else _HIGH
    if row.waited:
        _line(track, "wait", chart.fraction(row.start - row.waited), chart.fraction(row.start))
    phases = list(row.phases(chart.now)) if row.ran else []
    failed = [phase for phase in phases if phase.kind == "failed"][-_MOST_RETRIES:]
    if len(failed) == _MOST_RETRIES:  # one bar for all attempts before these
        phases = [Phase("failed", row.start, failed[0].end), *phases[phases.index(failed[0]) + 1 :]]
    for phase in phases:
        at, until = chart.fraction(phase.start), chart.fraction(phase.end)
        if phase.kind == "wait":
            _line(track, "pause", at, until)
        else:
            _bar(track, kind if phase.kind == "last" else "failed", at, until, height)
    for phase in failed:
        _mark(track, "retried", chart.fraction(phase.end), 9)
    right = 9  # pixels: marks for what happened at the end stand in a row behind it
    if kind != "succeeded":
        _mark(track, kind, chart.fraction(end), right)
        right += 15
    for discard in row.discards[:1]:
        _mark(track, "discarded", chart.fraction(discard.time), right)


def _draw_crowd(track: ET.Element, chart: Chart, rows: Iterable[Row]) -> int:
    """Draw how many of `rows` ran at each moment, and return the greatest number."""
    busy = chart.busy(rows, _COLUMNS)
    most = max(busy)
    steps = "".join(f"V{round(1000 - 1000 * running / most)}H{x}" for x, running in enumerate(busy, 1))
    area = _add(track, "svg", viewBox=f"0 0 {_COLUMNS} 1000", preserveAspectRatio="none", y="4", height="20")
    _add(area, "path", d=f"M0 1000{steps}V1000z", class_="crowd")
    return most


def _draw_legend(body: ET.Element, rows: Iterable[Row]) -> None:
    """Explain what is on the page."""
    kinds: set[str] = set()
    for row in rows:
        kinds.add("crowd" if row.crowd else row.look)
        there = {"waiting": row.waited, "retried": row.retries, "discarded": row.discards}
        kinds.update(kind for kind, is_there in there.items() if is_there)
    legend = _add(body, "ul", class_="legend")
    for kind, words in LEGEND.items():
        if kind in kinds:
            item = _add(legend, "li")
            _draw_sample(item, kind)
            _add(item, "span", words)


def _draw_sample(item: ET.Element, kind: str) -> None:
    if kind in ("skipped", "queued", "discarded"):
        _icon(item, kind)
        return
    track = _add(item, "svg", class_="track", aria_hidden="true")
    if kind == "crowd":
        _add(track, "path", d="M0 20V14H12V8H30V12H40V20z", class_="crowd")
    elif kind == "waiting":
        _line(track, "wait", 0.0, 1.0)
    elif kind == "retried":
        _bar(track, "failed", 0.0, 0.4, _HIGH)
        _line(track, "pause", 0.4, 1.0)
        _mark(track, kind, 0.4, 9)
    else:
        _bar(track, kind, 0.0, 0.8, _HIGH)
        if kind != "succeeded":
            _mark(track, kind, 0.8, 9)


def _draw_marks(body: ET.Element) -> None:
    """Define the marks and patterns that the drawings refer to."""
    defs = _add(_add(body, "svg", class_="defs", aria_hidden="true"), "defs")
    for id, size, d in (("cross", 6, "M0 0 6 6M6 0 0 6"), ("stripes", 6, "M-1 1 1-1M0 6 6 0M5 7 7 5")):
        kind = "failed" if id == "cross" else "cancelled"
        pattern = _add(defs, "pattern", id=id, width=size, height=size, patternUnits="userSpaceOnUse")
        _add(pattern, "path", d=d, class_=f"hatch {kind}")
    for kind, d in SHAPES.items():
        _add(defs, "path", id=kind, d=d, class_=f"mark {kind}")


def _bar(track: ET.Element, kind: str, start: float, end: float, height: int) -> None:
    width = _percent(max(end - start, 0.001))
    y = _MIDDLE - height / 2
    _add(track, "rect", class_=f"bar {kind}", x=_percent(start), y=f"{y:g}", width=width, height=height, rx="2.5")


def _line(track: ET.Element, kind: str, start: float, end: float) -> None:
    _add(track, "line", class_=kind, x1=_percent(start), x2=_percent(end), y1=_MIDDLE, y2=_MIDDLE)


def _mark(track: ET.Element, kind: str, at: float, right: int) -> None:
    """Draw a mark `right` pixels behind a moment."""
    _add(track, "use", href=f"#{kind}", x=_percent(at), y=_MIDDLE, transform=f"translate({right})")


def _icon(parent: ET.Element, kind: str) -> None:
    _add(_add(parent, "svg", class_="icon", viewBox="-9 -9 18 18", aria_hidden="true"), "use", href=f"#{kind}")


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: object) -> ET.Element:
    """Append an element; ``class_`` is `class`, and ``aria_hidden`` `aria-hidden`."""
    named = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
    element = ET.SubElement(parent, tag, named)
    element.text = text
    return element


def _percent(fraction: float) -> str:
    return f"{round(100 * fraction, 3):g}%"


def _brief(text: str) -> str:
    """Return `text` on one line, cut if it is very long, because it may come from any error."""
    text = plain(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _story(chart: Chart, row: Row, said: str) -> Iterator[str]:
    """Yield the lines that are shown on hover, and that screen readers read."""
    yield _brief(row.name)
    if row.crowd:
        yield said
    else:
        word = WORDS[row.look]
        yield f"{word}: {said}" if said else word
    start, end = chart.moment(row.start), row.end_by(chart.now)
    if row.ran:
        until = "now" if row.end is None else chart.moment(end)
        yield f"from {start} to {until}, which took {clock(end - row.start)}"
    if row.waited:
        yield f"waited for its turn for {clock(row.waited)}"
    for retry in row.retries[-_MOST_RETRIES:]:
        yield _brief(f"attempt {retry.attempt} failed at {chart.moment(retry.time)}: {describe(retry.error)}")
