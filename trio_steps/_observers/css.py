"""How the timeline's page looks: its style sheet, the shapes of its marks, and the words of its legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_steps._drawing.looks import DARK, LIGHT, WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trio_steps._drawing.looks import Color

SHAPES: Final[dict[str, str]] = {  # around (0, 0)
    "won": "M0-8 2.4-2.6 8.2-2.2 3.8 1.7 5.2 7.4 0 4.3-5.2 7.4-3.8 1.7-8.2-2.2-2.4-2.6z",
    "succeeded": "M-4.5.5-1.5 4 4.5-4",
    "failed": "M-4-4 4 4M4-4-4 4",
    "cancelled": "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0M-4.2 4.2 4.2-4.2",
    "running": "M-3-5.5 5 0-3 5.5z",
    "skipped": "M-5-4-1 0-5 4M1-4 5 0 1 4",
    "queued": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "retried": "M4.6-2A5 5 0 1 0 5 1.5M5.4-5.6 4.8-1.6 1-2.6",
    "discarded": "M0-5 5 0 0 5-5 0z",
}
LEGEND: Final[dict[str, str]] = {
    "won": "won the race",
    **{look: word for look, word in WORDS.items() if look != "won"},
    "waiting": "waiting for its turn",
    "retried": "failed attempt, then a wait",
    "discarded": "value or error discarded",
    "crowd": "how many ran",
}


def _variables(colors: Mapping[Color, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())


_THEMES: Final = f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
"""
_RULES: Final = """\
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 2rem clamp(1rem, 3vw, 2.5rem); background: var(--paper);
  color: var(--ink); font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 1.5rem; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 0; font-size: 1rem; font-weight: 600; }
p { margin: .8rem 0 .4rem; color: var(--dim); }
ul { margin: 0; padding: 0; list-style: none; }
.chart { position: relative; }
.row { position: relative; display: grid; align-items: center; column-gap: 1rem; min-height: 28px; padding: 0 .4rem;
  grid-template-columns: min(var(--label), 28%) minmax(8rem, 1fr) 4rem 4rem minmax(8rem, 24%); border-radius: 4px; }
li .row:hover, .row:focus-visible { background: var(--hover); }
.row:focus-visible { outline: 2px solid var(--succeeded); outline-offset: -2px; }
summary { cursor: pointer; }
summary::marker { content: ""; }
summary::-webkit-details-marker { display: none; }
.name { display: flex; align-items: center; gap: .4rem; min-width: 0; padding-left: calc(var(--depth) * 1.15rem); }
.name b { font-weight: 450; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
summary .name b { font-weight: 650; }
.fold { flex: none; width: .5rem; height: .5rem; fill: none; stroke: var(--dim); stroke-width: 2; }
details[open] > summary .fold { transform: rotate(90deg); }
.icon { flex: none; width: 16px; height: 16px; }
.track { display: block; width: calc(100% - 18px); height: 28px; overflow: visible; }
.number { color: var(--dim); font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.said { overflow: hidden; color: var(--dim); text-overflow: ellipsis; white-space: nowrap; }
.said b { font-weight: 600; }
.said .succeeded { color: inherit; }
.row:hover .said, .row:focus-visible .said { overflow-wrap: anywhere; white-space: normal; padding: .25rem 0; }
.head span, .head text { color: var(--dim); fill: var(--dim); font-size: 12px; }
.rules { position: absolute; inset: 0; align-items: stretch; pointer-events: none; }
.rules svg { height: 100%; }
.rules line { stroke: var(--rule); }
.bar { stroke-width: 1.5; }
.wait, .pause { stroke: var(--dim); stroke-width: 2; stroke-linecap: round; stroke-dasharray: .1 5; }
.pause { stroke-dasharray: 4 4; stroke-linecap: butt; }
.mark { fill: none; stroke: currentColor; stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.mark.won, .mark.running { fill: currentColor; stroke-width: 1; }
.mark.cancelled, .mark.queued, .mark.retried { stroke-width: 1.75; }
.mark.retried { fill: var(--paper); }
.succeeded, .won .succeeded { color: var(--succeeded); }
.won { color: var(--won); }
.failed, .retried { color: var(--failed); }
.cancelled { color: var(--cancelled); }
.skipped, .queued, .discarded { color: var(--skipped); }
.running { color: var(--running); }
.bar, .hatch { stroke: currentColor; }
.bar.succeeded, .bar.won { fill: var(--succeeded); stroke: var(--succeeded); }
.bar.won { stroke: var(--won); stroke-width: 2.5; }
.bar.running { fill: currentColor; fill-opacity: .35; }
.bar.failed { fill: url(#cross); }
.bar.cancelled { fill: url(#stripes); stroke-dasharray: 3 2; }
.bar.skipped { fill: none; }
.lite .icon { text-align: center; font-size: 11px; }
.lite .track { position: relative; }
.lite .track i { position: absolute; top: 11px; height: 6px; min-width: 2px; border-radius: 2px;
  background: currentColor; opacity: .8; }
.wide { grid-column: 1 / 3; }
details.rest > summary .name b { font-weight: 450; }
details.rest ul { content-visibility: auto; }
.crowd { fill: var(--succeeded); fill-opacity: .55; }
.hatch { fill: none; stroke-width: 1.5; }
.legend { display: flex; flex-wrap: wrap; gap: 0 1.8rem; margin: .6rem 0 0; padding: .2rem 0; color: var(--dim);
  border-block: 1px solid var(--rule); font-size: 12.5px; }
.legend li { display: flex; align-items: center; gap: .8rem; }
.legend .track { flex: none; width: 40px; }
.legend .track:has(use) { margin-right: 10px; }
.defs { position: absolute; width: 0; height: 0; }
@media (max-width: 52rem) {
  .row { grid-template-columns: minmax(0, 1fr) 4rem 4rem; padding: .25rem .4rem; }
  .row .track { grid-row: 2; grid-column: 1 / -1; }
  .said { grid-column: 1 / -1; white-space: normal; }
  .said:has(> span.succeeded) { display: none; }
  .wide { grid-column: 1 / -1; }
  .rules { display: none; }
}
@media print { body { max-width: none; padding: 0; } .said { white-space: normal; } }
"""

STYLE: Final = _THEMES + _RULES
