"""The timeline page in Chromium."""

from __future__ import annotations

import pytest
import trio
from paths import cleans_up, never, raises, returns, shielded

from trio_steps import (
    Recorder,
    StepCancelled,
    StepFailed,
    StepStarted,
    StepSucceeded,
    fork,
    gather,
    race,
    settle,
)
from trio_steps._core.scope import scope_of

pytestmark = pytest.mark.browser

BARS = """
[...document.querySelectorAll('.row .track:has(.bar)')].map(track => {
  const around = track.getBoundingClientRect(), bar = track.querySelector('.bar').getBoundingClientRect();
  const part = x => Math.round((x - around.left) / around.width * 1000);
  return [track.closest('.row').querySelector('b').textContent, part(bar.left), part(bar.right)];
})
"""


@pytest.fixture
def show(page, tmp_path):
    """Return a function that opens the page of a recorder in the browser."""

    def show(recorder):
        file = tmp_path / "timeline.html"
        file.write_text(recorder.to_html())
        page.open(file)
        return page

    return show


async def test_every_path_has_a_bar_at_its_times(show):
    recorder = Recorder()
    await race(
        raises(1, OSError(), id="a"), cleans_up([], 0, id="b"), returns(4, "c"), stagger=0.5, observers=[recorder]
    )
    # in thousandths of the 5 seconds
    assert show(recorder).run(BARS) == [
        ["race", 0, 1000],
        ["a", 0, 200],
        ["b", 100, 1000],
        ["c", 200, 1000],
    ]


@pytest.mark.parametrize("width", [390, 800, 840, 1280, 2560])
async def test_page_fits_its_window(show, page, width):
    recorder = Recorder()
    await settle(raises(1, OSError("long " * 200), id="name" * 99), *[never] * 30, timeout=1, observers=[recorder])
    page.resize(width, 700)
    show(recorder).run("document.querySelector('.rest').open = true")
    scrolled, shown = page.run("(e => [e.scrollWidth, e.clientWidth])(document.documentElement)")
    assert scrolled == shown


def test_statuses_are_told_apart_without_colors(show):
    recorder = Recorder()

    def ended(kind, id, **how):
        scope = scope_of(id, None, None, None, None)
        recorder(StepStarted(name=id, scope=scope, time=0.0))
        if kind is not None:
            recorder(kind(name=id, scope=scope, time=1.0, duration=1.0, **how))

    ended(None, "running")
    ended(StepSucceeded, "won", won=True)
    ended(StepSucceeded, "succeeded")
    ended(StepFailed, "failed", error=OSError())
    ended(StepCancelled, "cancelled", reason="enough")
    page = show(recorder)
    style = "; ".join(f"--{name}: #000" for name in ("succeeded", "won", "failed", "cancelled", "running"))
    page.run(f"document.documentElement.style = {style!r}")
    areas = page.run(
        """[...document.querySelectorAll('li > .row .track')].map(track => {
            const {x, y, width, height} = track.getBoundingClientRect();
            return {bar: {x, y, width, height, scale: 1}, mark: {x: x + width, y, width: 18, height, scale: 1}};
        })"""
    )
    for part in ("bar", "mark"):
        pictures = [page.send("Page.captureScreenshot", clip=area[part])["data"] for area in areas]
        assert len(set(pictures)) == len(pictures) == 5


async def test_reason_is_what_a_screen_reader_says_and_what_hover_shows(show):
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    page = show(recorder)
    page.send("Accessibility.enable")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    names = [node["name"]["value"] for node in nodes if node.get("role", {}).get("value") == "image"]
    told = "race/never\ncancelled: path 'a' won\nfrom 0 ms to 1 s, which took 1 s"
    assert " ".join(told.split()) in [" ".join(name.split()) for name in names]
    assert page.run("[...document.querySelectorAll('.track > title')].pop().textContent") == told


async def test_keys_reach_every_row_and_show_what_it_says_in_full(show):
    recorder = Recorder()
    await settle(raises(1, OSError("long " * 99)), raises(2, KeyError(), id="last"), observers=[recorder])
    page = show(recorder)
    page.press("Tab")
    assert page.run("document.activeElement.querySelector('b').textContent") == "settle"
    before = page.run("document.querySelector('li li .row').offsetHeight")
    page.press("Tab")
    assert page.run("document.activeElement.querySelector('b').textContent") == "bad"
    assert page.run("document.activeElement.offsetHeight") > before
    page.press("Tab")
    assert page.run("document.activeElement.querySelector('b').textContent") == "last"


async def test_rows_fold_with_the_enter_key(show):
    recorder = Recorder()
    await gather(returns(1, "a"), observers=[recorder])
    page = show(recorder)
    visible = "document.querySelector('li li .row').checkVisibility()"
    assert page.run(visible)
    page.press("Tab")
    page.press("Enter")
    assert not page.run(visible)
    page.press("Enter")
    assert page.run(visible)


async def test_page_follows_the_theme(show):
    recorder = Recorder()
    await returns(1, "a").run(observers=[recorder])
    page = show(recorder)
    grounds = []
    for theme in ("light", "dark"):
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        grounds.append(page.run("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(14, 19, 26)"]


async def test_page_asks_the_network_for_nothing_and_has_nothing_to_complain_about(show):
    recorder = Recorder()
    await race(returns(1, "a"), shielded(2, "b"), never, never, concurrency=3, observers=[recorder])
    page = show(recorder)
    (request,) = page.told("Network.requestWillBeSent")
    assert request["request"]["url"].startswith("file:")
    assert page.complaints() == []


@pytest.mark.parametrize(
    "text",
    [
        "<script>document.title = 'bad'</script>",
        "]]></style></title><img src=x onerror=\"document.title = 'bad'\">",
        "'\" autofocus onfocus=\"document.title = 'bad'\" tabindex=0 '",
    ],
)
async def test_names_and_errors_do_nothing(show, text):
    recorder = Recorder()
    await settle(raises(1, OSError(text), id=text), observers=[recorder])
    page = show(recorder)
    assert page.complaints() == []
    assert page.run("document.title") == "settle"
    assert page.run("document.querySelectorAll('script, img, [onerror], [onfocus], [autofocus]').length") == 0
    assert page.run("document.querySelector('li li b').textContent") == text
    assert len(page.told("Network.requestWillBeSent")) == 1


async def test_ten_thousand_paths_are_a_page_that_can_be_used(show):
    recorder = Recorder()
    await settle([returns(0.1, f"path-{number}") for number in range(10_000)], concurrency=100, observers=[recorder])
    page = show(recorder)
    seen = "[...document.querySelectorAll('.row')].filter(row => row.checkVisibility()).length"
    assert page.run(seen) == 1 + 1 + 1 + 23 + 1  # rules, head, settle, paths, and one row for the others
    assert page.run("document.querySelector('section .crowd').getBoundingClientRect().width") > 100
    page.run("document.querySelector('.rest > summary').click()")
    assert page.run(seen) == 27 + 100
    page.run("document.querySelector('.rest .rest > summary').click()")
    assert page.run(seen) == 27 + 100 + 100
    bars = "document.querySelector('.lite i').getBoundingClientRect()"
    assert page.run(f"(bar => [bar.width > 1, bar.height])({bars})") == [True, 6]


def test_thousand_steps_inside_each_other_are_all_shown(show):
    recorder, inner = Recorder(), None
    for number in range(1000):
        inner = scope_of(f"{number}", inner, None, None, None)
        recorder(StepStarted(name="…", scope=inner, time=float(number)))
    assert show(recorder).run("[...document.querySelectorAll('li .row')].every(row => row.checkVisibility())")


async def test_charts_of_one_page_stand_in_line(show):
    recorder = Recorder()
    await fork("first", mode="all", paths=[returns(1, "a")]).run(observers=[recorder])
    await trio.sleep(1)
    await fork("a-much-longer-name", mode="all", paths=[returns(9, "a")]).run(observers=[recorder])
    page = show(recorder)
    assert [bar[1:] for bar in page.run(BARS)] == [[0, 1000]] * 4
    assert (
        page.run(
            "new Set([...document.querySelectorAll('section .bar')].map(bar => bar.getBoundingClientRect().x)).size"
        )
        == 1
    )


async def test_what_the_page_would_complain_about_is_seen(page, tmp_path):
    """Otherwise the tests above could not fail."""
    file = tmp_path / "bad.html"
    file.write_text("<script>console.log('seen')</script><script>throw 1</script><img src='missing.png'>")
    page.open(file)
    assert len(page.complaints()) == 3
    assert len(page.told("Network.requestWillBeSent")) == 2
