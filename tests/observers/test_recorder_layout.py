"""The layout of the recorder's timeline: crowds, width, colours, and stories with missing events."""

from __future__ import annotations

import io
import re
import sys

import pytest
import trio
from paths import never, raises, returns, shielded
from timelines import chart, fails, nothing, ran, replayed, scope

from trio_steps import (
    AttemptEnded,
    AttemptStarted,
    CircuitBreaker,
    Event,
    ForkPartialError,
    RateLimit,
    Recorder,
    Retry,
    StepCancelled,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    fork,
    gather,
    observing,
    race,
    settle,
    step,
)

# Crowds


async def test_thousand_paths_become_the_most_telling_ones_and_a_crowd():
    recorder = Recorder()
    paths = [returns(0.1, f"path-{number}") for number in range(1000)]
    paths[700] = raises(0.05, OSError("down"), id="path-700")
    await settle(paths, concurrency=50, observers=[recorder])
    assert recorder.render() == chart("""
                      0 ms        500 ms       1 s         1.5 s          start    took
        ✓ settle      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms     2 s
          ✓ path-0    ━━╸                                                  0 ms  100 ms
          ✓ path-1    ━━╸                                                  0 ms  100 ms
          ✓ path-2    ━━╸                                                  0 ms  100 ms
          ✓ path-3    ━━╸                                                  0 ms  100 ms
          ✓ path-4    ━━╸                                                  0 ms  100 ms
          ✓ path-5    ━━╸                                                  0 ms  100 ms
          ✓ path-6    ━━╸                                                  0 ms  100 ms
          ✓ path-7    ━━╸                                                  0 ms  100 ms
          ✓ path-8    ━━╸                                                  0 ms  100 ms
          ✓ path-9    ━━╸                                                  0 ms  100 ms
          ✗ path-700                                     ✗                1.4 s   50 ms  OSError: down
          … 989 more  ▇▇████████████████████████████████████████████████   0 ms     2 s  989 succeeded
    """)


async def test_crowd_that_never_started_has_no_bar():
    recorder = Recorder()
    await race([returns(1, f"path-{number}") for number in range(1000)], concurrency=1, observers=[recorder])
    assert recorder.render() == chart("""
                      0 ms   200 ms  400 ms  600 ms 800 ms    start   took
        ✓ race        ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ★ path-0    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          · path-1                                         ·                never started: path 'path-0' won
          · path-2                                         ·                never started: path 'path-0' won
          · path-3                                         ·                never started: path 'path-0' won
          · path-4                                         ·                never started: path 'path-0' won
          · path-5                                         ·                never started: path 'path-0' won
          · path-6                                         ·                never started: path 'path-0' won
          · path-7                                         ·                never started: path 'path-0' won
          · path-8                                         ·                never started: path 'path-0' won
          · path-9                                         ·                never started: path 'path-0' won
          · path-10                                        ·                never started: path 'path-0' won
          … 989 more                                                        989 never started
    """)


async def test_crowd_that_still_runs_is_drawn_up_to_the_last_event():
    recorder = Recorder()
    async with trio.open_nursery() as nursery:
        paths = [returns(number / 10, f"path-{number}") for number in range(1, 16)]
        nursery.start_soon(lambda: gather(*paths, observers=[recorder]))
        await trio.sleep(0.55)
        assert recorder.render() == chart("""
                         0 ms      100 ms    200 ms    300 ms    400 ms      start    took
            ▸ gather     ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ✓ path-5   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms  500 ms
              ▸ path-6   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-7   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-8   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-9   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-10  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-11  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-12  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-13  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-14  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              ▸ path-15  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▸   0 ms  500 ms  still running
              … 4 more   ██████████▆▆▆▆▆▆▆▆▆▆▄▄▄▄▄▄▄▄▄▄▂▂▂▂▂▂▂▂▂▂             0 ms  400 ms  4 succeeded
        """)


async def test_thirteen_siblings_are_a_crowd_and_twelve_are_not():
    twelve, thirteen = Recorder(), Recorder()
    await gather(*[nothing] * 12, observers=[twelve])
    await gather(*[nothing] * 13, observers=[thirteen])
    assert twelve.render().splitlines()[-1].split()[:2] == ["✓", "nothing#12"]
    assert thirteen.render().splitlines()[-1].split()[:3] == ["…", "2", "more"]
    assert len(twelve.render().splitlines()) == len(thirteen.render().splitlines())


async def test_crowd_counts_retries_and_what_was_discarded():
    recorder = Recorder()
    flaky = [step(fails(1, 0.25), retry=Retry(2)) for _ in range(20)]
    late = [shielded(2, f"late-{number}") for number in range(20)]
    await settle(*flaky, *late, timeout=1, observers=[recorder])
    assert recorder.render().splitlines()[-1].endswith("  29 succeeded, 14 retries, 15 discarded")


async def test_many_crowds_get_fewer_lines_each():
    recorder = Recorder()
    inner = [fork(f"fork-{number}", mode="all", paths=[nothing] * 20) for number in range(20)]
    await gather(*inner, observers=[recorder])
    lines = recorder.render().splitlines()
    assert len(lines) == 1 + 1 + 5 * (1 + 6) + 1
    assert lines[-1].split() == ["…", "15", "more", "█", "0", "ms", "0", "ms", "15", "succeeded"]


# Width, colours and odd characters


@pytest.mark.parametrize("width", [40, 60, 80, 100, 133])
async def test_no_line_is_longer_than_the_width(width):
    recorder = Recorder()
    paths = [raises(number, OSError("error" * number), id="name" * number) for number in range(1, 20)]
    await settle(*paths, observers=[recorder])
    lines = recorder.render(width=width).splitlines()
    assert max(map(len, lines)) == width
    assert not any(line != line.rstrip() for line in lines)


async def test_width_that_leaves_no_room_is_taken_as_40():
    recorder = Recorder()
    await race(returns(1, "a"), never, observers=[recorder])
    assert recorder.render(width=1) == recorder.render(width=40) != recorder.render(width=43)


async def test_long_names_and_notes_are_wrapped_and_cut():
    recorder = Recorder()
    await settle(raises(1, OSError("long " * 99), id="long-" * 99), observers=[recorder])
    assert recorder.render() == chart("""
                                                                      0 ms        500 ms        start   took
        ✓ settle                                                      ━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ✗ long-long-long-long-long-long-long-l…ong-long-long-long-  ━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s
              OSError: long long long long long long long long long long long long long long long long long
              long long long long long long long long long long long long long long long long long long long
              long long long long long long long long long long long long long long long long long long …
    """)


async def scraped():
    """The story of three pages, one of which fails."""
    recorder = Recorder()
    gone = OSError("page 2 is gone, and the message is long")
    pages = [returns(1, 1, id="fetch-page-1"), raises(2, gone, id="fetch-page-2"), returns(3, 3, id="fetch-page-3")]
    await settle(*pages, observers=[recorder])
    return recorder


async def test_names_survive_sixty_columns():
    recorder = await scraped()
    assert recorder.render(width=60) == chart("""
                          0 ms     1 s      2 s         start   took
        ✓ settle          ━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    3 s
          ✓ fetch-page-1  ━━━━━━━━━╸                     0 ms    1 s
          ✗ fetch-page-2  ━━━━━━━━━━━━━━━━━━✗            0 ms    2 s
              OSError: page 2 is gone, and the message is long
          ✓ fetch-page-3  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    3 s
    """)


@pytest.mark.parametrize(
    ("length", "heads"),
    [(12, ["start", "took"]), (13, ["took"]), (19, ["took"]), (20, []), (90, [])],
)
async def test_figures_give_way_to_names_first_when_and_then_how_long(length, heads):
    recorder = Recorder()
    await settle(raises(1, OSError("no"), id="n" * length), observers=[recorder])
    first, _, line, note = recorder.render(width=40).splitlines()
    assert [word for word in first.split() if word in ("start", "took")] == heads
    assert ("n" * length in line) is (length <= 20)
    assert note == "      OSError: no"


async def test_cut_names_keep_their_ends():
    recorder = Recorder()
    await settle(*(returns(1, number, id=f"{'long-' * 9}{number}") for number in (1, 2)), observers=[recorder])
    names = [line.split()[1] for line in recorder.render(width=40).splitlines()[2:]]
    assert names == ["long-long-lo…-long-1", "long-long-lo…-long-2"]


# What a stream can't show


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8", "utf-16"])
async def test_timeline_has_nothing_that_an_encoding_can_not_show(encoding):
    recorder = Recorder()
    paths = [raises(1, OSError("naïve ☃"), id="é"), *(returns(2, number) for number in range(20))]
    await race(*paths, stagger=0.1, observers=[recorder])
    text = recorder.render(encoding=encoding)
    assert text.encode(encoding).decode(encoding) == text
    assert list(map(len, text.splitlines())) == list(map(len, recorder.render().splitlines()))
    assert (text == recorder.render()) is encoding.startswith("utf")


async def test_timeline_in_plain_characters_tells_the_same():
    recorder = Recorder()
    flaky = step(fails(1, 0.5), id="flaky", retry=Retry(2, delay=0.5))
    await race(flaky, returns(2, "☃"), raises(1, OSError("é"), id="bad"), never, observers=[recorder])
    assert recorder.render(encoding="ascii") == chart("""
                   0 ms        500 ms      1 s            start   took
        + race     =====================================   0 ms  1.5 s
          * flaky  ============@------------============   0 ms  1.5 s  1 retry after OSError: busy
          / ?      ------------------------------------/   0 ms  1.5 s  cancelled at 1.5 s: path 'flaky' won
          x bad    ========================x               0 ms    1 s  OSError: ?
          / never  ------------------------------------/   0 ms  1.5 s  cancelled at 1.5 s: path 'flaky' won
    """)


async def test_recorder_prints_itself_on_a_stream_of_any_encoding(monkeypatch):
    recorder = await scraped()
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding="cp1252", newline="\n")
    monkeypatch.setattr(sys, "stdout", stream)
    print(recorder)  # noqa: T201 - this is what is tested
    stream.flush()
    assert buffer.getvalue().decode("cp1252") == recorder.render(encoding="cp1252") + "\n"


async def test_recorder_prints_itself_where_there_is_no_standard_output(monkeypatch):
    recorder = await scraped()
    monkeypatch.setattr(sys, "stdout", None)
    assert str(recorder) == recorder.render()


async def test_characters_that_would_change_the_terminal_are_left_out():
    recorder = Recorder()
    await settle(raises(1, OSError("\x1b[31mone\n\n\ttwo"), id="a\x07b"), observers=[recorder])
    assert recorder.render() == chart("""
                  0 ms      200 ms    400 ms    600 ms    800 ms      start   took
        ✓ settle  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   0 ms    1 s
          ✗ a b   ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms    1 s  OSError: [31mone two
    """)


async def test_colors_are_used_on_request_and_tell_nothing_more():
    recorder = Recorder()
    with pytest.raises(ForkPartialError):
        await gather(returns(1, "a"), raises(2, OSError("down")), never, concurrency=2, observers=[recorder])
    colored = recorder.render(color=True)
    assert set(re.findall(r"\x1b\[(\d+)m", colored)) == {"0", "2", "31", "32", "33"}
    assert re.sub(r"\x1b\[\d+m", "", colored) == recorder.render()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (4e-7, "0 ms"),
        (2.5e-5, "25 µs"),
        (0.000999, "999 µs"),
        (0.0009996, "1 ms"),
        (0.0042, "4.2 ms"),
        (0.0125, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (1.234, "1.23 s"),
        (59.96, "60 s"),
        (99.96, "100 s"),
        (12345.6, "12346 s"),
    ],
)
def test_duration_has_a_unit_that_suits_it(seconds, shown):
    assert f"  {shown}" in replayed(*ran("a", 0.0, seconds)).render().splitlines()[1]


def test_start_is_not_more_exact_than_a_run_of_a_second_needs():
    around = scope("a")
    recorder = replayed(
        StepStarted(name="a", scope=around, time=0.0),
        *ran("a/b", 0.000123, 0.5, around),
        *ran("a/c", 0.00056, 0.5, around),
    )
    assert re.findall(r"(\d ms)  \d+ ms", str(recorder)) == ["0 ms", "0 ms", "1 ms"]


# Stories with missing events


def test_end_without_a_start_is_drawn_from_its_duration():
    recorder = replayed(
        StepSucceeded(name="a", scope=scope("a"), time=2.0, duration=1.0),
        StepFailed(name="b", scope=scope("b"), time=3.0, duration=2.0, error=OSError()),
        StepCancelled(name="c", scope=scope("c"), time=4.0, duration=1.0, reason="enough"),
        StepSkipped(name="d", scope=scope("d"), time=4.0, reason="no time"),
    )
    assert recorder.render() == chart("""
             0 ms        500 ms       1 s         1.5 s          start   took
        ✓ a  ━━━━━━━━━━━━━━━━━━━━━━━━━                            0 ms    1 s
        ✗ b  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✗   0 ms    2 s  OSError

             0 ms      200 ms    400 ms    600 ms    800 ms      start   took
        ⊘ c  ─────────────────────────────────────────────────⊘   0 ms    1 s  cancelled at 1 s: enough

             0 ms                                                start   took
        » d  »                                                                 skipped: no time
    """)


def test_event_of_another_kind_is_kept_and_not_drawn():
    event = Event(name="a", scope=scope("a"), time=1.5)
    recorder = replayed(*ran("a", 1.0, 2.0), event)
    assert recorder.events[-1] is event
    assert recorder.render() == replayed(*ran("a", 1.0, 2.0)).render()


async def test_waits_for_limits_and_circuit_breakers_are_told():
    recorder = Recorder()
    slow = step(fails(1, 1), id="slow", rate=RateLimit(1, per=3.0), circuit_breaker=CircuitBreaker(1, 1))
    token = trio.CapacityLimiter(1)
    with observing(recorder):
        with pytest.raises(OSError, match="busy"):
            await slow()
        await trio.sleep(1)
        await slow()
        await gather(step(returns(1, 1), limiter=token, id="a"), step(returns(1, 2), limiter=token, id="b"))
    notes = re.findall(r"(OSError.*|waited.*)$", recorder.render(width=140), re.MULTILINE)
    assert notes == [
        "OSError: busy; circuit breaker opened",
        "waited 1 s for a permit of its rate; circuit breaker closed",
        "waited 1 s for a token of its limiter",
    ]


def test_attempt_whose_start_was_not_seen_is_drawn_from_its_duration():
    run = scope("a")
    recorder = replayed(
        StepStarted(name="a", scope=run, time=0.0),
        AttemptEnded(name="a", scope=run, time=2.0, attempt=2, duration=1.0, status="failed", error=OSError()),
        StepCancelled(name="a", scope=run, time=4.0, duration=4.0, reason="enough"),
    )
    (line,) = recorder.render(width=60).splitlines()[1:]
    bar = line.split()[2]
    assert (bar[0], bar[-1], bar.index("↻")) == ("─", "⊘", len(bar) // 2)


@pytest.mark.parametrize("error", [None, OSError()])
def test_only_attempt_is_no_retry_though_the_step_ends_a_little_later(error: Exception | None) -> None:
    run = scope("a")
    status = "succeeded" if error is None else "failed"
    ended = (
        StepSucceeded(name="a", scope=run, time=1.5, duration=1.5)
        if error is None
        else StepFailed(name="a", scope=run, time=1.5, duration=1.5, error=error)
    )
    recorder = replayed(
        StepStarted(name="a", scope=run, time=0.0),
        AttemptStarted(name="a", scope=run, time=0.0, attempt=1),
        AttemptEnded(name="a", scope=run, time=1.0, attempt=1, duration=1.0, status=status, error=error),
        ended,
    )
    assert "↻" not in str(recorder)
