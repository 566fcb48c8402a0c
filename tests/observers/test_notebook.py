"""How a notebook shows recorders, forks, pipelines and other steps."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import rich.jupyter
from paths import never, returns
from rich.console import Console

from trio_steps import Pipeline, Recorder, fork, race, settle, step
from trio_steps.terminal import LiveTree


class Frame(HTMLParser):
    """The attributes of the one element in `text`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


async def test_recorder_shows_its_page_in_a_frame_that_runs_nothing() -> None:
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    bundle = recorder._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
    ((tag, attributes),) = Frame(bundle["text/html"]).tags
    assert tag == "iframe"
    assert attributes["srcdoc"] == recorder.to_html()
    assert attributes["sandbox"] == ""
    assert bundle["text/plain"] == recorder.render()


@pytest.mark.parametrize(("paths", "height"), [(2, 150 + 28 * 6), (200, 600)])
async def test_frame_is_as_high_as_its_rows_up_to_a_point(paths: int, height: int) -> None:
    recorder = Recorder()
    await settle(*(returns(1, number) for number in range(paths)), observers=[recorder])
    ((_, attributes),) = Frame(recorder._repr_mimebundle_()["text/html"]).tags
    assert f"height: {height}px" in str(attributes["style"])


def test_recorder_that_has_seen_nothing_shows_that() -> None:
    ((_, attributes),) = Frame(Recorder()._repr_mimebundle_()["text/html"]).tags
    assert "Nothing has run yet" in str(attributes["srcdoc"])


@pytest.mark.parametrize(
    "shown",
    [Pipeline("p").step("a", lambda: None), fork("f", mode="race", paths=[never]), step(never, timeout=2)],
    ids=["pipeline", "fork", "step"],
)
def test_steps_show_their_diagram(shown: object) -> None:
    bundle = shown._repr_mimebundle_()  # type: ignore[attr-defined]
    assert bundle == {
        "text/vnd.mermaid": shown.to_mermaid(),  # type: ignore[attr-defined]
        "text/markdown": f"```mermaid\n{shown.to_mermaid()}\n```",  # type: ignore[attr-defined]
        "text/plain": repr(shown),
    }


async def test_live_tree_prints_its_summary_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    monkeypatch.setattr(rich.jupyter, "display", lambda segments, text: printed.append(text))
    async with LiveTree(console=Console(force_jupyter=True)) as tree:
        await returns(1, "a").run(observers=[tree])
    assert re.sub(r"\x1b\[\d*m", "", "".join(printed)).splitlines()[1].split()[:2] == ["✓", "a"]
