"""The live tree and its summary: what they show."""

from __future__ import annotations

import io
import re
from functools import partial

import pytest
import trio
import trio.testing
from paths import never, raises, returns
from screens import Screen, shown, terminal, text

from trio_steps import CircuitBreaker, ForkPartialError, Pipeline, RateLimit, Retry, fork, gather, race, settle, step
from trio_steps.terminal import LiveTree

pytestmark = pytest.mark.usefixtures("plain_environment")

# The tree


async def test_tree_shows_what_runs_and_what_is_over():
    async with LiveTree(console=terminal(), interval=0.25) as tree, trio.open_nursery() as nursery:
        flaky = step(raises(0.5, OSError("busy")), retry=Retry(3, delay=1), id="flaky")
        inner = fork("fastest", mode="race", paths=[returns(0.75, "a"), never, returns(1, "b")], concurrency=2)
        nursery.start_soon(lambda: settle(flaky, inner, raises(0.5, OSError("down")), observers=[tree]))
        await trio.sleep(1.3125)
        assert shown(tree) == text("""
            ▸ settle      1.2 s
              ▸ flaky     1.2 s  attempt 2, after OSError: busy
              ✓ fastest  750 ms
                ★ a      750 ms
                ⊘ never  750 ms  cancelled: path 'a' won
                · b              never started: path 'a' won
              ✗ bad      500 ms  OSError: down
        """)


async def test_times_advance_while_nothing_happens():
    async with LiveTree(console=terminal(), interval=0.5) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gather(returns(9, "a"), observers=[tree]))
        pictures = []
        for _ in range(3):
            await trio.sleep(0.625)
            pictures.append(shown(tree))
        assert pictures == [f"▸ gather  {time} s\n  ▸ a     {time} s" for time in (0.5, 1.0, 1.5)]


async def test_nothing_is_drawn_before_the_first_interval_is_over():
    async with LiveTree(console=terminal(), summary=False, interval=1) as tree:
        await gather(returns(0.875, "a"), observers=[tree])
        assert tree.console.file.getvalue() == "\x1b[?25l"


async def test_wide_fork_has_a_bar_as_soon_as_its_paths_are_counted():
    async with LiveTree(console=terminal(), interval=51.5) as tree, trio.open_nursery() as nursery:
        paths = [raises(1, OSError("down")), *(returns(1, n) for n in range(1999))]
        nursery.start_soon(lambda: settle(paths, concurrency=10, observers=[tree]))
        await trio.sleep(51.625)
        assert shown(tree) == text("""
            ▸ settle      51.5 s  ━━━━━─────────────── 510 of 2,000, 1 failed
              ✗ bad          1 s  OSError: down
              ▸ 509        0.5 s
              ▸ 510        0.5 s
              ▸ 511        0.5 s
              ▸ 512        0.5 s
              ▸ 513        0.5 s
              ▸ 514        0.5 s
              ▸ 515        0.5 s
              ▸ 516        0.5 s
              ▸ 517        0.5 s
              ▸ 518        0.5 s
              … 509 more          509 succeeded
        """)
        nursery.cancel_scope.cancel()


async def test_wide_fork_of_a_lazy_source_counts_what_is_done():
    async with LiveTree(console=terminal(), interval=0.25) as tree, trio.open_nursery() as nursery:
        lazy = fork("lazy", mode="settle", paths=lambda: (returns(1, n) for n in range(15)), concurrency=2)
        nursery.start_soon(lambda: lazy.run(observers=[tree]))
        await trio.sleep(6.625)
        assert shown(tree).splitlines()[0] == "▸ lazy  6.5 s  12 done"
        await trio.sleep(1)
        assert shown(tree).splitlines()[0] == "▸ lazy       7.5 s  ━━━━━━━━━━━━━━━━━━╸─ 14 of 15"


async def test_bar_says_which_attempt_it_is():
    async with LiveTree(console=terminal(), interval=0.25) as tree, trio.open_nursery() as nursery:
        paths = [raises(1, OSError("down")), *(returns(2, None, id=f"{n}") for n in range(20))]
        flow = Pipeline("flow").step("wide", *paths, retry=Retry(2, delay=0))
        nursery.start_soon(lambda: settle(partial(flow, {}), observers=[tree]))
        await trio.sleep(1.375)
        assert shown(tree).splitlines()[2] == (
            "    ▸ wide       1.2 s  ━━━━━━━━━━────────── 21 of 42, 1 failed; attempt 2, after ForkPartialError:…"
        )


async def test_wide_fork_that_is_over_has_counts():
    async with LiveTree(console=terminal(), interval=0.25) as tree:
        paths = [raises(0.5, OSError("down")), *(returns(1 + n / 8, n) for n in range(13))]
        await settle(paths, observers=[tree])
    assert shown(tree) == text("""
        step          status       took  share  attempts
        ✓ settle      succeeded   2.5 s   100%         1  1 failed, 13 succeeded, in 500 ms to 2.5 s
          ✗ bad       failed     500 ms    20%         1  OSError: down
          ✓ 3         succeeded  1.38 s    55%         1
          ✓ 4         succeeded   1.5 s    60%         1
          ✓ 5         succeeded  1.62 s    65%         1
          ✓ 6         succeeded  1.75 s    70%         1
          ✓ 7         succeeded  1.88 s    75%         1
          ✓ 8         succeeded     2 s    80%         1
          ✓ 9         succeeded  2.12 s    85%         1
          ✓ 10        succeeded  2.25 s    90%         1
          ✓ 11        succeeded  2.38 s    95%         1
          ✓ 12        succeeded   2.5 s   100%         1
          … 3 more                                        3 succeeded

        slowest: settle/12, 2.5 s; fastest: settle/0, 1 s
    """)


async def test_paths_of_a_wide_fork_that_never_started_are_counted():
    async with LiveTree(console=terminal(), interval=60) as tree:

        async def first():
            raise OSError("down")

        with pytest.raises(ForkPartialError):
            await gather([first, *[never] * 20], concurrency=1, observers=[tree])
    assert shown(tree) == text("""
        step          status  took  share  attempts
        ✗ gather      failed  0 ms                1  ForkPartialError: fork 'gather': 1 of 21 paths failed
                                                     (1 sub-exception); 1 failed, 20 never started, in 0 ms
                                                     to 0 ms
          ✗ first     failed  0 ms                1  OSError: down
          … 20 more                                  20 never started

        slowest: gather/first, 0 ms
    """)


async def test_wide_fork_of_which_no_path_ran_has_no_times():
    async with LiveTree(console=terminal(), interval=60) as tree:
        limiter = trio.CapacityLimiter(1)
        limiter.acquire_on_behalf_of_nowait("somebody else")
        await settle([never] * 20, concurrency=limiter, timeout=1, observers=[tree])
    assert shown(tree) == text("""
        step          status     took  share  attempts
        ✓ settle      succeeded   1 s   100%         1  20 never started
          … 20 more                                     20 never started
    """)


async def test_tree_keeps_to_the_height_and_the_width_of_the_terminal():
    async with LiveTree(console=terminal(40, 8), interval=0.25) as tree, trio.open_nursery() as nursery:
        paths = [raises(0.125, OSError("down " * 20), id="bad"), *(returns(1, f"{n}" * 20) for n in range(9))]
        nursery.start_soon(lambda: settle(paths, observers=[tree]))
        await trio.sleep(0.375)
        assert shown(tree) == text("""
            ▸ settle                  0.2 s
              ▸ 00000000000000000000  0.2 s
              ▸ 11111111111111111111  0.2 s
              ▸ 22222222222222222222  0.2 s
              ▸ 33333333333333333333  0.2 s
              ▸ 44444444444444444444  0.2 s
              … 5 more                       1 fail…
        """)


async def test_markup_and_control_characters_do_nothing():
    async with LiveTree(console=terminal(), interval=0.25) as tree:
        await settle(
            raises(0.125, OSError("\x1b[31mone\n[bold]two"), id="[red]a\x07b"), returns(0.5, "c"), observers=[tree]
        )
        assert "  ✗ [red]a b  125 ms  OSError: [31mone [bold]two\n" in shown(tree)
    assert "[red]a b" in shown(tree)


async def test_colours_tell_nothing_more():
    async def picture(color):
        async with LiveTree(console=terminal(color=color), interval=0.25) as tree:
            await race(returns(0.875, "a"), never, observers=[tree])
        return tree.console.file.getvalue()

    colored = await picture("standard")
    assert set(re.findall(r"\x1b\[(\d+)m", colored)) == {"0", "2", "32", "33", "36"}
    assert re.sub(r"\x1b\[\d+m", "", colored) == await picture(None)


# The summary


async def test_summary_says_how_each_step_ended():
    async with LiveTree(console=terminal(), interval=60) as tree:
        flaky = step(raises(0.5, OSError("busy")), retry=Retry(3, delay=1), id="flaky")
        inner = fork("fastest", mode="race", paths=[returns(0.75, "a"), never, returns(1, "b")], concurrency=2)
        await settle(flaky, inner, raises(0.5, OSError("down")), observers=[tree])
    assert shown(tree) == text("""
        step          status           took  share  attempts
        ✓ settle      succeeded       3.5 s   100%         1
          ✗ flaky     failed          3.5 s   100%         3  OSError: busy
          ✓ fastest   succeeded      750 ms    21%         1
            ★ a       won            750 ms    21%         1
            ⊘ never   cancelled      750 ms    21%         1  path 'a' won
            · b       never started                           path 'a' won
          ✗ bad       failed         500 ms    14%         1  OSError: down

        slowest: settle/flaky, 3.5 s; fastest: settle/fastest/a, 750 ms
    """)


async def test_tree_and_summary_tell_of_waits_for_limits_and_of_circuit_breakers():
    async with LiveTree(console=terminal(width=140), interval=0.25) as tree, trio.open_nursery() as nursery:
        rate = RateLimit(1, per=2.0)
        await rate.acquire()
        broken = step(raises(1, OSError("down")), id="broken", rate=rate, circuit_breaker=CircuitBreaker(1, 1))
        nursery.start_soon(lambda: settle(broken, observers=[tree]))
        await trio.sleep(2.375)
        assert shown(tree).splitlines()[1] == "  ▸ broken  2.2 s  waited 2 s for a permit of its rate"
    assert shown(tree).splitlines()[2].split("1  ", 1)[1] == (
        "OSError: down; waited 2 s for a permit of its rate; circuit breaker opened"
    )


async def test_summary_of_a_wide_fork_has_the_slowest_paths_and_counts():
    tree = LiveTree(console=terminal())
    await settle([returns(n / 4, n) for n in range(1, 2001)], concurrency=100, observers=[tree])
    tree.console.print(tree.summary())
    assert shown(tree) == text("""
        step            status       took  share  attempts
        ✓ settle        succeeded  5250 s   100%         1  2,000 succeeded, in 250 ms to 500 s
          ✓ 1990        succeeded   498 s     9%         1
          ✓ 1991        succeeded   498 s     9%         1
          ✓ 1992        succeeded   498 s     9%         1
          ✓ 1993        succeeded   498 s     9%         1
          ✓ 1994        succeeded   498 s     9%         1
          ✓ 1995        succeeded   499 s    10%         1
          ✓ 1996        succeeded   499 s    10%         1
          ✓ 1997        succeeded   499 s    10%         1
          ✓ 1998        succeeded   500 s    10%         1
          ✓ 1999        succeeded   500 s    10%         1
          ✓ 2000        succeeded   500 s    10%         1
          … 1,989 more                                      1,989 succeeded

        slowest: settle/2000, 500 s; fastest: settle/1, 250 ms
    """)


async def test_summary_of_runs_one_after_another_has_the_share_of_all():
    async with LiveTree(console=terminal(), interval=60) as tree:
        await step(returns(1, "a"), id="a").run(observers=[tree])
        await step(returns(3, "b"), id="b").run(observers=[tree])
    assert shown(tree) == text("""
        step          status     took  share  attempts
        ✓ a           succeeded   1 s    25%         1
        ✓ b           succeeded   3 s    75%         1

        slowest: b, 3 s; fastest: a, 1 s
    """)


async def test_summary_before_the_end_says_what_is_still_running():
    tree = LiveTree(console=terminal())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gather(returns(1, "a"), returns(2, "b"), observers=[tree]))
        await trio.sleep(1.5)
        tree.console.print(tree.summary())
        assert shown(tree) == text("""
            step          status         took  share  attempts
            ▸ gather      still running   1 s   100%         1
              ✓ a         succeeded       1 s   100%         1
              ▸ b         still running   1 s   100%         1
        """)


async def test_summary_of_one_step_has_no_slowest_one():
    async with LiveTree(console=terminal(), interval=60) as tree:
        await step(returns(0, "a"), id="a").run(observers=[tree])
    assert shown(tree) == text("""
        step          status     took  share  attempts
        ✓ a           succeeded  0 ms                1
    """)


async def test_summary_of_failures_has_a_slowest_step_only():
    async with LiveTree(console=terminal(), interval=60) as tree:
        await settle(raises(1, OSError("down")), observers=[tree])
    assert shown(tree).splitlines()[-1] == "slowest: settle/bad, 1 s"


async def test_summary_wraps_messages_unless_the_terminal_is_narrow():
    tree = LiveTree(console=terminal(80))
    await settle(raises(1, OSError("long " * 12)), observers=[tree])
    tree.console.print(tree.summary())
    assert shown(tree) == text("""
        step          status     took  share  attempts
        ✓ settle      succeeded   1 s   100%         1
          ✗ bad       failed      1 s   100%         1  OSError: long long long long
                                                        long long long long long long
                                                        long long

        slowest: settle/bad, 1 s
    """)
    tree.console.file = io.StringIO()
    tree.console.width = 72
    tree.console.print(tree.summary())
    assert shown(tree) == text("""
        step          status     took  share  attempts
        ✓ settle      succeeded   1 s   100%         1
          ✗ bad       failed      1 s   100%         1  OSError: long long long…

        slowest: settle/bad, 1 s
    """)


async def test_figures_of_a_summary_give_way_to_names():
    tree = LiveTree(console=terminal(80))
    await settle(raises(1, OSError("long " * 12), id="long" * 9), observers=[tree])
    for width, picture in {
        80: """
            step                                      status     took
            ✓ settle                                  succeeded   1 s
              ✗ longlonglonglonglonglonglonglonglong  failed      1 s  OSError: long long
                                                                       long long long long
                                                                       long long long long
                                                                       long long

            slowest: settle/longlonglonglonglonglonglonglonglong, 1 s
        """,
        60: """
            step                                  took
            ✓ settle                               1 s
              ✗ longlonglonglonglonglonglonglon…   1 s  OSError: long l…

            slowest: settle/longlonglonglonglonglonglonglonglong, 1 s
        """,
    }.items():
        tree.console.file = io.StringIO()
        tree.console.width = width
        tree.console.print(tree.summary())
        assert shown(tree) == text(picture)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
async def test_tree_and_summary_have_nothing_that_the_terminal_can_not_show(encoding, caplog):
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding)
    async with LiveTree(console=terminal(60, file=file), interval=0.1) as tree:
        await settle(raises(1, OSError("snow ☃" * 30), id="☃"), *[returns(2, n) for n in range(20)], observers=[tree])
    file.flush()
    screen = str(Screen(buffer.getvalue().decode(encoding)))
    assert caplog.messages == []
    assert "  x ?" in screen
    assert "settle/0, 2 s" in screen


async def test_no_summary_is_printed_if_nothing_ran():
    async with LiveTree(console=terminal(), interval=60) as tree:
        pass
    assert shown(tree) == ""


async def test_summary_false_leaves_nothing_behind():
    async with LiveTree(console=terminal(), summary=False, interval=0.25) as tree:
        await gather(returns(0.875, "a"), observers=[tree])
        await trio.sleep(0.25)
        assert shown(tree) == "✓ gather  875 ms\n  ✓ a     875 ms"
    assert shown(tree) == ""


async def test_lines_end_where_their_text_ends():
    async with LiveTree(console=terminal(), interval=0.25) as tree:
        await settle(returns(1, "a"), raises(1, OSError("down")), observers=[tree])
    assert not re.search(r" (?=[\r\n]|$)", tree.console.file.getvalue())


async def test_steps_with_log_false_are_left_out():
    async with LiveTree(console=terminal(), interval=60) as tree:
        await Pipeline("flow").step("secret", lambda: None, log=False).step("a", lambda: None).run({}, observers=[tree])
    assert "secret" not in shown(tree)
    assert "  ✓ a " in shown(tree)
