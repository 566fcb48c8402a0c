"""The site, built with the extra `docs`, and viewed in Chromium: wide and narrow, light and dark.

If ``SITE_PICTURES`` is set, screenshots of all pages are kept there.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import DOCS

pytestmark = pytest.mark.browser

PAGES = sorted(
    path.relative_to(DOCS).with_suffix(".html").as_posix()
    for kind in ("md", "rst")
    for path in DOCS.rglob(f"*.{kind}")
    if "_build" not in path.parts
)
WIDTHS = [1280, 390]
THEMES = ["light", "dark"]

# Text with less contrast than WCAG 2, 1.4.3 requires, and its contrast.
TOO_FAINT = """
(() => {
  const probe = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    probe.clearRect(0, 0, 1, 1); probe.fillStyle = color; probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let around = element; around; around = around.parentElement) {
      const shape = around.closest('.diagram :is(.node, .cluster)')?.querySelector('rect, polygon');
      const color = rgba(shape ? getComputedStyle(shape).fill : getComputedStyle(around).backgroundColor);
      if (color[3] > 250) return color;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.querySelector('article'), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({opacityProperty: true, visibilityProperty: true}))
      continue;
    if (element.closest('.headerlink, style, script, title')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(rgba(style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), bold = style.fontWeight >= 600;
    if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5))
      faint.add(`${texts.currentNode.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return [...faint];
})()
"""
# What each copy button puts on the clipboard.
COPIED = """
(async () => {
  const copied = [];
  navigator.clipboard.writeText = async text => { copied.push(text); };
  document.execCommand = () => { copied.push(document.activeElement.value); return true; };
  for (const button of document.querySelectorAll('button.copybtn')) {
    const before = copied.length;
    button.click();
    await new Promise(resolve => setTimeout(resolve, 20));
    if (copied.length === before) copied.push(null);
  }
  return copied;
})()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the site is: the one that CI has built, or a new one that is built as CI does."""
    if "SITE" in os.environ:
        return Path(os.environ["SITE"])
    directory = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-n",
        "-W",
        "-b",
        "html",
        "-d",
        directory / "trees",
        DOCS,
        directory,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return directory


@pytest.fixture
def show(page, site):
    """Return a function that opens a page of the site."""

    def show(name, width=1280, theme="light"):
        page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        page.resize(width, 900)
        page.open(site / name)
        return page

    return show


def take_picture(page):
    """Take a screenshot of the whole page."""
    width, height = page.run("(e => [e.scrollWidth, e.scrollHeight])(document.documentElement)")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, 12_000), "scale": 1}
    return page.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]


def keep_picture(page, name):
    """Keep a screenshot to look at, if ``SITE_PICTURES`` is set."""
    if "SITE_PICTURES" in os.environ:
        file = Path(os.environ["SITE_PICTURES"], f"{name}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(take_picture(page)))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_page_of_the_site_is_good_to_look_at(show, name, width, theme):
    page = show(name, width, theme)
    keep_picture(page, f"{name.removesuffix('.html').replace('/', '-')}-{width}-{theme}")
    scrolled, shown = page.run("(e => [e.scrollWidth, e.clientWidth])(document.documentElement)")
    assert scrolled == shown
    broken = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"
    assert page.run(broken) == []
    assert page.run(TOO_FAINT) == []
    asked = {event["request"]["url"].partition(":")[0] for event in page.told("Network.requestWillBeSent")}
    assert asked <= {"file", "data"}
    assert page.complaints() == []


def test_pages_differ_between_the_themes_and_widths(show):
    """Otherwise the tests above would check one page four times."""
    pictures = {take_picture(show("index.html", width, theme)) for width in WIDTHS for theme in THEMES}
    assert len(pictures) == 4


def test_landing_page_shows_a_timeline_and_a_live_tree(show):
    page = show("index.html")
    names = "[...document.querySelectorAll('article img')].map(image => image.src.split('/').pop())"
    assert page.run(names) == ["timeline.svg", "live-tree.svg"]


def test_copy_buttons_leave_prompts_and_output_out(show):
    copied = [text for name in ("command-line.html", "index.html") for text in show(name).run(COPIED)]
    assert None not in copied
    assert copied[-2] == "python -m pip install ."
    assert copied[-1].startswith("import trio\n")
    assert "trio-steps graph shop:checkout --direction right" in copied
    assert not [line for text in copied for line in text.splitlines() if line.startswith(("$ ", ">>> ", "In ["))]


def test_output_of_programs_has_no_copy_button(show):
    page = show("tutorial.html")
    assert page.run("document.querySelectorAll('.highlight-python button.copybtn').length") > 5
    assert page.run("document.querySelectorAll('.highlight-text button.copybtn').length") == 0


def test_diagrams_are_drawn_in_the_colors_of_the_page(show):
    colors = []
    for theme in THEMES:
        page = show("diagrams.html", theme=theme)
        assert page.run("document.querySelectorAll('.diagram svg .nodeLabel').length") > 8
        colors.append(page.run("getComputedStyle(document.querySelector('.diagram .nodeLabel')).color"))
    assert colors[0] != colors[1]


def test_map_of_the_house_is_seen_on_a_small_screen(show):
    page = show("design.html", 390)
    cells = """[...document.querySelector('article table').querySelectorAll('td')].map(cell => [
        cell.innerText, cell.getBoundingClientRect().right])"""
    assert {"_cli", "_pipeline", "_drawing"} <= {text for text, _ in page.run(cells)}
    assert all(right <= 390 for _, right in page.run(cells))


def test_every_signature_of_the_reference_has_types_and_no_private_name(show):
    page = None
    heads: list[list[str]] = []
    for name in PAGES:
        if name.startswith("reference/"):
            page = show(name)
            heads += page.run(
                """[...document.querySelectorAll('dl.py > dt.sig')].map(head => [
                    head.parentElement.className, head.querySelector('.headerlink')?.remove() ?? '', head.innerText,
                    ...[...head.querySelectorAll('em.sig-param')].map(param => param.innerText)])"""
            )
    assert len(heads) > 150
    for kind, _, head, *parameters in heads:
        assert not [part for part in head.replace("(", " ").split() if part.startswith("_") and "__" not in part], head
        assert all(":" in parameter or parameter in {"*", "/"} for parameter in parameters), head
        if "method" in kind or "function" in kind:
            assert "→" in head, head
        if "property" in kind:
            assert ":" in head, head


def test_table_of_all_names_has_a_line_and_a_link_for_each(show):
    sys.path.insert(0, str(DOCS / "extensions"))
    from names import MODULES

    page = show("reference/index.html")
    rows = page.run(
        """[...document.querySelectorAll('table.names tr')].map(row => [
            row.cells[0].innerText, row.querySelector('td a')?.getAttribute('href') ?? '', row.cells[1].innerText])"""
    )
    names = [
        f"{module}.{name}".removeprefix("trio_steps.")
        for module in MODULES
        for name in sorted(__import__(module, fromlist=["*"]).__all__, key=str.lower)
    ]
    assert [row[0] for row in rows] == names
    assert all("#trio_steps" in link and len(line) > 10 for _, link, line in rows)
