"""The timeline page: what is on it and where. tests/browser tests how a browser shows it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
import trio
from paths import never, raises, returns, shielded
from places import DOCS

from trio_steps import (
    CircuitBreaker,
    ConfigError,
    Pipeline,
    Recorder,
    Retry,
    StepStarted,
    fork,
    gather,
    race,
    settle,
    step,
)
from trio_steps._core.scope import scope_of
from trio_steps._observers.html import page as tree_of


class Builder(HTMLParser):
    """Parses a page into a tree, and requires that every element is closed."""

    def __init__(self, page):
        super().__init__()
        self._builder = ET.TreeBuilder()
        self._open = []
        self.feed(page)
        self.close()
        assert self._open == []
        self.root = self._builder.close()

    def handle_starttag(self, tag, attrs):
        self._builder.start(tag, dict(attrs))
        if tag in ("meta", "link"):
            self._builder.end(tag)
        else:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        self._builder.end(tag)

    def handle_data(self, data):
        if self._open:
            self._builder.data(data)


def parsed(recorder, **options):
    return Builder(recorder.to_html(**options)).root


def classes(element):
    return element.get("class", "").split()


def of_class(element, name):
    return [found for found in element.iter() if name in classes(found)]


def rows(page):
    """The rows by their full names."""
    return {
        row.find("span/b").get("title"): row
        for row in of_class(page, "row")
        if "rules" not in classes(row) and "head" not in classes(row)
    }


def track(row):
    return row.find("svg[@class='track']")


def bars(row):
    """Kind, start and width of each bar, in per cent."""
    found = track(row).iter("rect")
    return [(classes(rect)[1], *(float(rect.get(key).rstrip("%")) for key in ("x", "width"))) for rect in found]


def lines(row):
    return [
        (line.get("class"), *(float(line.get(key).rstrip("%")) for key in ("x1", "x2")))
        for line in track(row).iter("line")
    ]


def marks(row):
    return [(use.get("href"), float(use.get("x").rstrip("%"))) for use in track(row).iter("use")]


def said(row):
    return " ".join("".join(of_class(row, "said")[0].itertext()).split())


def hover(row):
    return track(row).find("title").text.splitlines()


def times(row):
    return [number.text or "" for number in of_class(row, "number")]


def fails(times, delay=0.1, error=None):
    left = times

    async def flaky():
        nonlocal left
        left -= 1
        await trio.sleep(delay)
        if left >= 0:
            raise error or OSError("busy")

    return flaky


async def nothing():
    pass


# Bars, marks, words


async def test_bars_are_where_their_times_are():
    recorder = Recorder()
    await trio.sleep(5)
    await gather(returns(1, "a"), returns(3, "b"), returns(2, "c"), concurrency=2, observers=[recorder])
    page = rows(parsed(recorder))
    assert bars(page["gather"]) == [("succeeded", 0, 100)]
    assert bars(page["gather/a"]) == [("succeeded", 0, 33.333)]
    assert bars(page["gather/b"]) == [("succeeded", 0, 100)]
    assert bars(page["gather/c"]) == [("succeeded", 33.333, 66.667)]
    assert times(page["gather/c"]) == ["1 s", "2 s"]


async def test_race_shows_who_won_who_was_stopped_who_failed_and_who_never_started():
    recorder = Recorder()
    error = OSError("no route to host")
    await race(raises(1, error), never, returns(2, "a"), never, stagger=2, concurrency=2, observers=[recorder])
    page = rows(parsed(recorder))
    assert [(bars(row), marks(row), said(row)) for row in page.values()] == [
        ([("succeeded", 0, 100)], [], "succeeded"),
        ([("failed", 0, 20)], [("#failed", 20)], "failed OSError: no route to host"),
        ([("cancelled", 20, 80)], [("#cancelled", 100)], "cancelled path 'a' won"),
        ([("won", 60, 40)], [("#won", 100)], "won"),
        ([], [("#queued", 100)], "never started path 'a' won"),
    ]


async def test_wait_for_a_turn_is_a_dotted_line():
    recorder = Recorder()
    await race(returns(1, "a"), never, returns(1, "c"), concurrency=1, observers=[recorder])
    page = rows(parsed(recorder))
    assert lines(page["race/a"]) == []
    assert lines(page["race/never"]) == [("wait", 0, 100)]
    await gather(returns(1, "a"), returns(3, "b"), concurrency=1, observers=[recorder])
    page = rows(parsed(recorder))
    assert lines(page["gather/b"]) == [("wait", 0, 25)]
    assert hover(page["gather/b"]) == [
        "gather/b",
        "succeeded",
        "from 1 s to 4 s, which took 3 s",
        "waited for its turn for 1 s",
    ]


async def test_attempts_are_bars_with_a_pause_between_them():
    recorder = Recorder()
    await step(fails(2), retry=Retry(3, delay=0.35)).run(observers=[recorder])
    row = rows(parsed(recorder))["flaky"]
    assert bars(row) == [("failed", 0, 10), ("failed", 45, 10), ("succeeded", 90, 10)]
    assert lines(row) == [("pause", 10, 45), ("pause", 55, 90)]
    assert marks(row) == [("#retried", 10), ("#retried", 55)]
    assert hover(row) == [
        "flaky",
        "succeeded: 2 retries after OSError: busy",
        "from 0 ms to 1 s, which took 1 s",
        "attempt 1 failed at 100 ms: OSError: busy",
        "attempt 2 failed at 550 ms: OSError: busy",
    ]


async def test_pause_that_is_cancelled_is_followed_by_no_attempt():
    recorder = Recorder()
    with trio.move_on_after(0.2):
        await step(fails(1), retry=Retry(2, delay=9)).run(observers=[recorder])
    row = rows(parsed(recorder))["flaky"]
    assert bars(row) == [("failed", 0, 50)]
    assert lines(row) == [("pause", 50, 100)]
    assert marks(row) == [("#retried", 50), ("#cancelled", 100)]


async def test_last_of_very_many_attempts_are_drawn():
    recorder = Recorder()
    await step(fails(99, 0.01), retry=Retry(100)).run(observers=[recorder])
    row = rows(parsed(recorder))["flaky"]
    assert [mark for mark, _ in marks(row)] == ["#retried"] * 50
    assert bars(row)[:2] == [("failed", 0, 50), ("failed", 50, 1)]
    assert said(row) == "succeeded 99 retries after OSError: busy"


async def test_what_was_discarded_has_a_mark():
    recorder = Recorder()
    await race(returns(1, "a"), shielded(2, "b"), shielded(1.5, OSError("late")), observers=[recorder])
    page = rows(parsed(recorder))
    assert marks(page["race/b"]) == [("#discarded", 100)]
    assert said(page["race/b"]) == "succeeded value discarded"
    assert marks(page["race/late"]) == [("#failed", 75), ("#discarded", 100)]


async def test_step_that_was_skipped_has_a_mark():
    recorder = Recorder()
    breaker = CircuitBreaker(1, 9, on_open="skip")
    guarded = step(fails(1), id="guarded", circuit_breaker=breaker)
    await settle(guarded)
    recorder = Recorder()
    await Pipeline("p").step("a", guarded).step("b", lambda: None, condition=False).run({}, observers=[recorder])
    page = rows(parsed(recorder))
    assert marks(page["b"]) == [("#skipped", 0)]
    assert said(page["b"]) == "skipped its condition does not hold"
    assert times(page["b"]) == ["", ""]


async def test_run_that_goes_on_is_drawn_up_to_the_last_event():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gather(returns(0.25, "a"), returns(1, "b"), observers=[recorder]))
        await trio.sleep(0.5)
        row = rows(parsed(recorder))["gather/b"]
        assert (bars(row), marks(row), said(row)) == ([("running", 0, 100)], [("#running", 100)], "still running")
        assert hover(row)[-1] == "from 0 ms to now, which took 250 ms"


async def test_run_that_takes_no_time_has_a_bar_that_can_be_seen():
    recorder = Recorder()
    await gather(nothing, observers=[recorder])
    assert bars(rows(parsed(recorder))["gather/nothing"]) == [("succeeded", 0, 0.1)]


async def test_reason_is_in_the_row_and_on_hover():
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    row = rows(parsed(recorder))["race/never"]
    assert said(row) == "cancelled path 'a' won"
    assert hover(row) == ["race/never", "cancelled: path 'a' won", "from 0 ms to 1 s, which took 1 s"]
    assert track(row).get("role") == "img"


async def test_every_row_can_have_the_focus():
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    page = rows(parsed(recorder))
    assert {name: (row.tag, row.get("tabindex")) for name, row in page.items()} == {
        "race": ("summary", None),
        "race/a": ("div", "0"),
        "race/never": ("div", "0"),
    }


async def test_axis_names_round_times_at_their_places():
    recorder = Recorder()
    await gather(returns(5, "a"), observers=[recorder])
    page = parsed(recorder)
    head = of_class(page, "head")[0]
    assert [(text.text, text.get("x")) for text in head.iter("text")] == [
        (f"{time} s" if time else "0 ms", f"{20 * time}%") for time in range(6)
    ]
    assert [line.get("x1") for line in of_class(page, "rules")[0].iter("line")] == [f"{20 * at}%" for at in range(6)]


# Nesting, crowds, several runs


async def test_rows_fold_with_what_is_inside_them():
    recorder = Recorder()
    inner = fork("inner", mode="all", paths=[returns(1, "x"), returns(1, "y")])
    await fork("outer", mode="all", paths=[returns(1, "a"), inner]).run(observers=[recorder])
    top = parsed(recorder).find("body/section/ul/li/details")
    assert top.find("summary/span/b").text == "outer"
    a, nested = top.findall("ul/li")
    assert a.find("div/span/b").text == "a"
    assert nested.find("details/summary/span/b").text == "inner"
    assert sorted(b.text for b in nested.findall("details/ul/li/div/span/b")) == ["x", "y"]


def test_rows_do_not_nest_deeper_than_browsers_do():
    recorder = Recorder()
    inner = None
    for number in range(1000):
        inner = scope_of(f"{number}", inner, None, None, None)
        recorder(StepStarted(name=inner.name, scope=inner, time=number))
    page = parsed(recorder)
    assert len(of_class(page, "number")) == 2 + 2 * 1000
    depth = {page: 0}
    for element in page.iter():
        depth.update(dict.fromkeys(element, depth[element] + 1))
    assert max(depth.values()) < 100


@pytest.mark.long
async def test_ten_thousand_paths_are_a_page_of_the_most_telling_ones_and_a_crowd():
    recorder = Recorder()
    paths = [returns(1, f"path-{number}") for number in range(10_000)]
    paths[7000] = raises(1, OSError("down"), id="path-7000")
    await settle(paths, concurrency=5000, observers=[recorder])
    html = recorder.to_html()
    assert len(html) < 4_000_000
    page = rows(Builder(html).root)
    assert list(page)[:25] == [
        "settle",
        *(f"settle/path-{number}" for number in range(22)),
        "settle/path-7000",
        "… 9977 more",
    ]
    crowd = page["… 9977 more"]
    assert said(crowd) == "9977 succeeded; up to 4999 at once"
    assert hover(crowd) == ["… 9977 more", said(crowd), "from 0 ms to 2 s, which took 2 s"]
    (area,) = of_class(crowd, "crowd")
    assert area.get("d").startswith("M0 1000V")


async def test_crowd_opens_and_has_everything_in_it():
    recorder = Recorder()
    paths = [returns(1 + number / 100, f"path-{number}") for number in range(30)]
    paths[3] = step(fails(1, 0.5), id="flaky", retry=Retry(2, delay=0.1))
    inside = fork("inside", mode="settle", paths=[returns(0.1, "deep")])
    await settle(*paths, inside, observers=[recorder])
    (rest,) = of_class(parsed(recorder), "rest")
    assert rest.get("open") is None
    names = [b.text for b in rest.iter("b") if b.get("class") is None]
    assert names == ["… 8 more", *(f"path-{number}" for number in (0, 1, 2, 4, 5, 6, 7)), "inside", "deep"]


async def test_rows_of_a_crowd_show_their_attempts():
    recorder = Recorder()
    flaky = [step(fails(1, 0.5), id=f"flaky-{number}", retry=Retry(2, delay=0.5)) for number in range(30)]
    await settle(*flaky, observers=[recorder])
    (rest,) = of_class(parsed(recorder), "rest")
    (row, *_) = of_class(rest, "lite")
    assert [(bar.get("class"), bar.get("style")) for bar in row.iter("i")] == [
        ("failed", "left:0%;width:33.333%"),
        ("succeeded", "left:66.667%;width:33.333%"),
    ]


async def test_large_crowd_opens_by_the_hundred():
    recorder = Recorder()
    await settle(*(returns(1, f"{number}") for number in range(323)), observers=[recorder])
    (_, *parts) = of_class(parsed(recorder), "rest")
    told = [[b.text for b in part.iter("b") if b.get("class") is None] for part in parts]
    assert [names[0] for names in told] == ["23 … 122", "123 … 222", "223 … 322"]
    assert [name for names in told for name in names[1:]] == [f"{number}" for number in range(23, 323)]
    assert [said(part) for part in parts] == ["100 succeeded"] * 3


async def test_page_says_so_if_there_are_too_many_to_open(monkeypatch):
    monkeypatch.setattr("trio_steps._observers.html._MOST_OPENED", 50)
    recorder = Recorder()
    await settle(*(returns(1, f"{number}") for number in range(99)), observers=[recorder])
    page = parsed(recorder)
    assert len(of_class(page, "lite")) == 50
    assert [p.text for p in page.iter("p")][1:] == ["There are more than 50 rows. The rest are only counted."]


async def test_rows_say_how_many_are_drawn_by_themselves():
    recorder = Recorder()
    await settle(*(returns(1, f"{number}") for number in range(99)), observers=[recorder])
    (rest,) = of_class(Builder(recorder.to_html(rows=40)).root, "rest")
    assert next(rest.iter("b")).text == "… 61 more"
    assert of_class(Builder(recorder.to_html(rows=100)).root, "rest") == []
    with pytest.raises(ConfigError, match="rows=0"):
        recorder.to_html(rows=0)


async def test_crowd_is_as_high_as_many_ran():
    recorder = Recorder()
    paths = [returns(4, "long"), *(returns(1 + number % 2 * 2, f"{number}") for number in range(60))]
    await gather(*paths, observers=[recorder])
    (area,) = of_class(parsed(recorder), "crowd")[1:]
    heights = {int(x): int(height) for height, x in re.findall(r"V(\d+)H(\d+)", area.get("d"))}
    assert (heights[1], heights[60], heights[61], heights[180], heights[181], heights[240]) == (
        0,
        0,
        789,
        789,
        1000,
        1000,
    )


async def test_crowd_that_never_started_has_no_times():
    recorder = Recorder()
    await race(returns(1, "a"), *[never] * 40, concurrency=1, observers=[recorder])
    crowd = rows(parsed(recorder))["… 18 more"]
    assert times(crowd) == ["", ""]
    assert said(crowd) == "18 never started"


async def test_runs_one_after_another_are_charts_of_their_own():
    recorder = Recorder()
    await gather(returns(1, "a"), observers=[recorder])
    await trio.sleep(2)
    await race(returns(2, "b"), never, observers=[recorder])
    page = parsed(recorder)
    assert [title.text for title in page.iter("h2")] == ["at first", "after 3 s"]
    assert [p.text for p in page.iter("p")] == ["1 s: 1 succeeded", "2 s: 1 succeeded, 1 cancelled"]
    assert bars(rows(page)["race/b"]) == [("won", 0, 100)]


async def test_runs_before_the_last_ones_are_counted():
    recorder = Recorder()
    for _ in range(100):
        await returns(1, "a").run(observers=[recorder])
    page = parsed(recorder)
    assert page.find("body/p").text == "Before what is shown here, 77 runs: 77 succeeded."
    assert len(page.findall("body/section")) == 23


async def test_legend_explains_what_is_there_and_nothing_else():
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    (legend,) = of_class(parsed(recorder), "legend")
    assert [item.find("span").text for item in legend] == ["won the race", "succeeded", "cancelled"]


async def test_legend_explains_everything():
    recorder = Recorder()
    flaky = step(fails(1), retry=Retry(2))
    await gather(flaky, *[nothing] * 40, concurrency=1, observers=[recorder])
    await race(
        returns(1, "a"), raises(0.5, OSError()), shielded(2, "b"), *[never] * 2, concurrency=3, observers=[recorder]
    )
    await Pipeline("p").step("b", lambda: None, condition=False).run({}, observers=[recorder])
    recorder(StepStarted(name="r", scope=scope_of("r", None, None, None, None), time=trio.current_time()))
    (legend,) = of_class(parsed(recorder), "legend")
    assert [item.find("span").text for item in legend] == [
        "won the race",
        "failed",
        "still running",
        "succeeded",
        "cancelled",
        "skipped",
        "never started",
        "waiting for its turn",
        "failed attempt, then a wait",
        "value or error discarded",
        "how many ran",
    ]


# The page as a file


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "]]> --> </style></title></svg><img src=x onerror=alert(1)>",
        "\"' onmouseover='alert(1)' \"",
        "&lt;b&gt; &amp;",
        "javascript:alert(1)",
    ],
)
async def test_names_and_errors_are_text_and_never_markup(text):
    recorder, plain = Recorder(), Recorder()
    for name, kept in ((text, recorder), ("name", plain)):
        await settle(raises(1, OSError(name), id=name), observers=[kept])
    page = parsed(recorder, title=text)
    row = rows(page)[f"settle/{text}"]
    assert said(row) == f"failed OSError: {text}"
    assert hover(row)[:2] == [f"settle/{text}", f"failed: OSError: {text}"]
    assert page.find("body/h1").text == page.find("head/title").text == text
    assert [(e.tag, list(e.keys())) for e in page.iter()] == [(e.tag, list(e.keys())) for e in parsed(plain).iter()]


async def test_page_is_ascii_whatever_names_and_errors_are():
    recorder = Recorder()
    await settle(raises(1, OSError("\x00 \ud800 \x1b[31m\n Grüße"), id="名前"), observers=[recorder])
    html = recorder.to_html(title="\ud800Ω")
    assert html.isascii()
    page = Builder(html).root
    assert page.find("body/h1").text == "Ω"
    assert said(rows(page)["settle/名前"]) == "failed OSError: [31m Grüße"


async def test_names_and_errors_are_cut_when_they_are_endless():
    recorder = Recorder()
    flaky = step(fails(1, error=OSError("long " * 100_000)), retry=Retry(2))
    await settle(raises(1, OSError("x" * 1_000_000)), flaky, returns(1, 0, id="y" * 1_000_000), observers=[recorder])
    html = recorder.to_html(title="z" * 1_000_000)
    assert len(html) < 30_000
    words = said(rows(Builder(html).root)["settle/bad"])
    assert words == f"failed OSError: {'x' * 990}…"


async def test_page_needs_nothing_else():
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    html = recorder.to_html()
    page = Builder(html).root
    assert not {"script", "img", "iframe", "object"} & {element.tag for element in page.iter()}
    links = {value for element in page.iter() for key, value in element.items() if key in ("href", "src")}
    ids = {f"#{element.get('id')}" for element in page.iter() if element.get("id")}
    assert links - {"data:,"} <= ids
    assert set(re.findall(r"url\((.*?)\)", html)) <= ids
    assert "@import" not in html
    policy = page.find("head/meta[@http-equiv='Content-Security-Policy']").get("content")
    assert policy.startswith("default-src 'none';")


async def test_title_is_what_ran_unless_there_is_another():
    recorder = Recorder()
    for name in "abacd":
        await returns(1, name).run(observers=[recorder])
    assert parsed(recorder).find("body/h1").text == "a, b, c, …"
    assert parsed(recorder, title="Release").find("body/h1").text == "Release"


def test_recorder_that_has_seen_nothing_says_so():
    page = parsed(Recorder())
    assert page.find("body/p").text == "Nothing has run yet."
    assert page.find("body/h1").text == "timeline"
    assert page.find("body/ul") is None


def luminance(color):
    if len(color) == 4:
        color = "#" + "".join(2 * digit for digit in color[1:])
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colors_stand_out_as_the_accessibility_guidelines_ask(theme):
    """WCAG 2, 1.4.3: a contrast of 4.5 to 1."""
    block = re.findall(r":root \{(.*?)\}", Recorder().to_html(), re.DOTALL)[theme]
    colors = {name: luminance(color) for name, color in re.findall(r"--(\w+): (#\w+)", block)}
    paper = [colors.pop("paper"), colors.pop("hover")]
    del colors["rule"]
    assert len(colors) == 9
    for color in colors.values():
        for ground in paper:
            assert (max(color, ground) + 0.05) / (min(color, ground) + 0.05) >= 4.5


def picture(recorder, width, height):
    """The page as an SVG image, for places that show images only."""
    tree = tree_of(recorder.events, None)
    style = tree.find("head/style").text
    body = tree.find("body")
    body.set("xmlns", "http://www.w3.org/1999/xhtml")
    for drawing in body.iter("svg"):
        drawing.set("xmlns", "http://www.w3.org/2000/svg")
    size = {"width": str(width), "height": str(height)}
    image = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", **size})
    # an image has a single layout, however small it is shown
    ET.SubElement(image, "style").text = re.sub(r"@media \(max-width.*?\n}", "", style, flags=re.DOTALL)
    ET.SubElement(image, "foreignObject", size).append(body)
    return ET.tostring(image, encoding="unicode", short_empty_elements=False) + "\n"


def test_picture_in_the_docs_is_that_of_the_program_above_it(tmp_path):
    program = re.search(r"```python\n(.*?)```", (DOCS / "timeline.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "program.py").write_text(program[1], encoding="utf-8")
    new = tmp_path / "timeline.svg"
    new.write_text(picture(runpy.run_path(tmp_path / "program.py")["recorder"], 1100, 690), encoding="utf-8")
    old = (DOCS / "timeline.svg").read_text(encoding="utf-8")
    assert new.read_text(encoding="utf-8") == old, f"look at {new}, and copy it to docs/timeline.svg"


def test_page_and_trace_cost_nothing_until_they_are_asked_for():
    program = (
        "import sys, trio_steps; trio_steps.Recorder; "
        "print([m for m in ('html', 'text', 'chrome', 'fates') if f'trio_steps._observers.{m}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
