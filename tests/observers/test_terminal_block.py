"""The live tree's block: the errors that leave it, the state of the terminal, and other output."""

from __future__ import annotations

import contextlib
import io
import signal
import sys

import pytest
import trio
import trio.testing
from paths import cleans_up, never, raises, returns
from rich.console import Console
from screens import Screen, shown, terminal

from trio_steps import ConfigError, gather, step
from trio_steps.terminal import LiveTree

pytestmark = pytest.mark.usefixtures("plain_environment")


@pytest.fixture
def run():
    """Runs a function as Trio's main task, which gets a KeyboardInterrupt."""
    return lambda main: trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# Errors that leave the block, and the state of the terminal


def is_restored(tree):
    return Screen(tree.console.file.getvalue()).has_cursor


async def test_error_leaves_the_block_as_it_is_after_the_summary():
    error = ValueError("boom")
    with pytest.raises(ValueError, match="boom") as caught:
        async with LiveTree(console=terminal(), interval=0.25) as tree:
            await step(raises(1, error), id="a").run(observers=[tree])
    assert caught.value is error
    assert error.__context__ is None
    assert is_restored(tree)
    assert shown(tree).splitlines()[1] == "✗ a           failed   1 s   100%         1  ValueError: boom"


async def test_cancellation_is_shown_until_all_have_cleaned_up():
    pictures = []
    with trio.move_on_after(1) as scope:
        async with LiveTree(console=terminal(), interval=0.5) as tree, trio.open_nursery() as nursery:

            async def look():
                with trio.CancelScope(shield=True):
                    await trio.sleep(3.25)
                    pictures.append(shown(tree))

            nursery.start_soon(look)
            await gather(cleans_up([], 4), observers=[tree])
    assert (scope.cancelled_caught, trio.current_time()) == (True, 5.0)
    assert pictures == ["▸ gather  3.0 s\n  ▸ slow  3.0 s"]
    assert is_restored(tree)
    assert [line.split()[:3] for line in shown(tree).splitlines()[1:3]] == [
        ["⊘", "gather", "cancelled"],
        ["⊘", "slow", "cancelled"],
    ]


async def test_cancellation_at_the_end_of_the_block_is_left_to_what_comes_next():
    with trio.CancelScope() as scope:
        async with LiveTree(console=terminal(), interval=60) as tree:
            await gather(returns(1, "a"), observers=[tree])
            scope.cancel()
        assert "gather" in shown(tree)
        await trio.sleep(1)
    assert scope.cancelled_caught
    assert trio.current_time() == 1


def test_keyboard_interrupt_leaves_the_block_bare(run):
    async def main():
        async with LiveTree(console=terminal(), interval=60) as main.tree:
            await gather(interrupted, never, observers=[main.tree])

    async def interrupted():
        signal.raise_signal(signal.SIGINT)
        await trio.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert is_restored(main.tree)
    assert "gather" in shown(main.tree)


def test_keyboard_interrupt_at_the_end_of_the_block_leaves_it_bare(run):
    @trio.lowlevel.enable_ki_protection
    def interrupt():
        signal.raise_signal(signal.SIGINT)  # delivered where the main task waits next

    async def main():
        async with LiveTree(console=terminal(), interval=60) as main.tree:
            await gather(returns(1, "a"), observers=[main.tree])
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert is_restored(main.tree)
    assert "gather" in shown(main.tree)


class Interrupting(io.StringIO):
    """A terminal whose user presses Ctrl-C when `what` is first written."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def write(self, text):
        if self.what in text and self.what not in self.getvalue():
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_keyboard_interrupt_while_it_draws_comes_out_of_the_block(run):
    async def main():
        async with LiveTree(console=terminal(file=Interrupting("gather")), interval=0.25) as main.tree:
            try:
                await gather(never, observers=[main.tree])
            finally:
                main.shown = shown(main.tree), trio.current_time()

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert main.shown == ("▸ gather   0.2 s\n  ▸ never  0.2 s", 0.25)
    assert is_restored(main.tree)


def test_keyboard_interrupt_while_the_summary_is_printed_comes_after_it(run):
    async def main():
        async with LiveTree(console=terminal(file=Interrupting("took")), interval=60) as main.tree:
            await gather(returns(1, "a"), observers=[main.tree])
        main.shown = shown(main.tree)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert "✓ gather" in main.shown


def test_keyboard_interrupt_while_an_event_is_entered_waits_until_it_is(run):
    class Interrupting(Exception):
        def __str__(self):
            signal.raise_signal(signal.SIGINT)
            return "down"

    async def main():
        with contextlib.suppress(Interrupting):
            await step(raises(1, Interrupting()), id="bad").run(observers=[tree])
        await trio.sleep(1)

    tree = LiveTree(console=terminal())
    with pytest.raises(KeyboardInterrupt):
        run(main)
    [line] = tree._tree.lines(60, is_live=False)
    assert (line.row.status, line.row.text) == ("failed", "Interrupting: down")


class Failing(io.StringIO):
    """A terminal that raises the first `times` times that `what` is written to it."""

    def __init__(self, times, error, what="gather"):
        super().__init__()
        self.times = times
        self.error = error
        self.what = what

    def write(self, text):
        if self.what in text and self.times:
            self.times -= 1
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("error", [OSError("gone"), SystemExit(1)], ids=repr)
@pytest.mark.parametrize("times", [1, 99])
async def test_terminal_that_fails_is_logged_and_the_run_goes_on(error, times, caplog):
    before = sys.stdout, sys.stderr
    async with LiveTree(console=terminal(file=Failing(times, error)), interval=0.25) as tree:
        assert await gather(returns(1, "a"), observers=[tree]) == ("a",)
        assert len(caplog.records) == 1  # it is not drawn again
    assert (sys.stdout, sys.stderr) == before
    assert [record.exc_info[1] for record in caplog.records] == [error] * min(times, 3)
    assert {(record.name, record.levelname) for record in caplog.records} == {("trio_steps", "ERROR")}
    assert {record.getMessage() for record in caplog.records} == {"the live tree can't be shown"}
    assert is_restored(tree) is (times == 1)


async def test_terminal_that_fails_from_the_start_is_logged_and_the_run_goes_on(caplog):
    before = sys.stdout, sys.stderr
    async with LiveTree(console=terminal(file=Failing(99, OSError("gone"), "")), interval=0.25) as tree:
        assert await gather(returns(1, "a"), observers=[tree]) == ("a",)
    assert (sys.stdout, sys.stderr) == before
    assert {record.getMessage() for record in caplog.records} == {"the live tree can't be shown"}


async def test_block_leaves_no_task_behind():
    async with trio.open_nursery() as nursery:
        before = trio.lowlevel.current_statistics().tasks_living
        async with LiveTree(console=terminal(), interval=60):
            assert trio.lowlevel.current_statistics().tasks_living == before + 1
        assert trio.lowlevel.current_statistics().tasks_living == before
        assert not nursery.child_tasks


async def test_tree_can_be_shown_again_but_not_twice_at_once():
    async with LiveTree(console=terminal(), summary=False, interval=0.25) as tree:
        with pytest.raises(RuntimeError, match=r"already shown; make a new LiveTree\(\)"):
            async with tree:
                pass
        await gather(returns(0.375, "a"), observers=[tree])
        assert shown(tree) == "▸ gather  0.2 s\n  ▸ a     0.2 s"
    async with tree:
        await trio.sleep(0.375)
        assert shown(tree) == "✓ gather  375 ms\n  ✓ a     375 ms"


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_interval_that_is_not_positive_is_refused(interval):
    with pytest.raises(ConfigError, match=r"interval=.*: give the seconds between two drawings, such as 0\.1"):
        LiveTree(interval=interval)


# Other output


class Tty(io.StringIO):
    def __init__(self, is_a_tty):
        super().__init__()
        self.is_a_tty = is_a_tty

    def isatty(self):
        return self.is_a_tty


@pytest.mark.parametrize("name", ["stdout", "stderr"])
async def test_what_is_printed_to_the_terminal_goes_above_the_tree(monkeypatch, name):
    monkeypatch.setattr(sys, name, Tty(is_a_tty=True))
    before = getattr(sys, name)
    async with LiveTree(console=terminal(), summary=False, interval=0.25) as tree, trio.open_nursery() as nursery:
        nursery.start_soon(lambda: gather(returns(1, "a"), observers=[tree]))
        await trio.sleep(0.625)
        print("hello", file=getattr(sys, name))
        assert shown(tree) == "hello\n▸ gather  0.5 s\n  ▸ a     0.5 s"
    assert getattr(sys, name) is before
    assert before.getvalue() == ""


@pytest.mark.parametrize("name", ["stdout", "stderr"])
async def test_what_is_printed_to_a_file_goes_to_the_file(monkeypatch, name):
    monkeypatch.setattr(sys, name, Tty(is_a_tty=False))
    async with LiveTree(console=terminal(), interval=60) as tree:
        print("hello", file=getattr(sys, name))
    assert getattr(sys, name).getvalue() == "hello\n"
    assert shown(tree) == ""


async def test_nothing_is_shown_and_nothing_runs_if_it_is_no_terminal():
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with LiveTree(console=Console(file=io.StringIO(), width=100)) as tree:
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        await gather(returns(1, "a"), observers=[tree])
    assert tree.console.file.getvalue() == ""


async def test_summary_is_printed_on_request_if_it_is_no_terminal():
    async with LiveTree(console=Console(file=io.StringIO(), width=100), summary=True) as tree:
        await gather(returns(1, "a"), observers=[tree])
    assert shown(tree).splitlines()[:2] == [
        "step          status     took  share  attempts",
        "✓ gather      succeeded   1 s   100%         1",
    ]


async def test_terminal_that_can_not_move_its_cursor_is_none(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    async with LiveTree(console=terminal(), interval=60) as tree:
        await gather(returns(1, "a"), observers=[tree])
    assert tree.console.file.getvalue() == ""


@pytest.mark.parametrize("variable", ["NO_COLOR", "FORCE_COLOR"])
async def test_tree_is_shown_on_standard_error_by_default_if_that_is_a_terminal(variable, monkeypatch):
    monkeypatch.setenv(variable, "1")
    written = []
    for is_a_tty in (True, False):
        monkeypatch.setattr(sys, "stderr", Tty(is_a_tty=is_a_tty))
        written.append(sys.stderr)
        async with LiveTree(interval=60) as tree:
            await gather(returns(1, "a"), observers=[tree])
    assert ["gather" in file.getvalue() for file in written] == [True, False]
    assert written[1].getvalue() == ""


async def test_program_without_standard_output_is_shown_too(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    async with LiveTree(console=terminal(), interval=60) as tree:
        await gather(returns(1, "a"), observers=[tree])
    assert "gather" in shown(tree)
