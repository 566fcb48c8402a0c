"""The example that explores other people's libraries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from places import EXAMPLES, docs_page

if TYPE_CHECKING:
    from warm import Interpreter

FOUND = {
    "wait_for_any_of_two": None,
    "wait_for_a_value": None,
    "leave_a_loop_over_events": "'trio_util._async_value.AsyncValue.eventual_values' was garbage",
    "leave_a_loop_over_events_and_close": "'trio_util._async_value.AsyncValue.eventual_values' was garbage",
    "zip_with_a_timeout": "INVARIANT: no_item_is_lost: ['quick0'] were taken and never handed on",
    "capture_results": None,
    "send_results_to_a_channel": None,
    "share_a_connection": "DEADLOCK: nothing can run",
    "ask_an_application": None,
    "send_with_a_timeout": "['item'] was received, though the sender was told that it wasn't",
    "share_a_limiter": None,
    "run_two_at_once": None,
    "try_until_it_works": None,
    "echo_a_message": None,
    "read_and_write": None,
    "writer_gives_up": "DEADLOCK: nothing can run",
    "serve_a_client": None,
}


@pytest.fixture(scope="module")
def reports(python: Interpreter) -> dict[str, str]:
    """What the example printed, by the name of the program."""
    done = python.run(EXAMPLES / "explore_libraries.py", 60)
    assert (done.returncode, done.stderr) == (0, "")
    _, *parts = re.split(r"^(\w+): (?=nothing found|\d+ found)", done.stdout, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("name", "text"), FOUND.items())
def test_library_is_found_to_be_as_the_docs_say(reports: dict[str, str], name: str, text: str | None) -> None:
    report = reports[name]
    assert report.startswith("nothing found") if text is None else text in report, report
    page = docs_page("testing.md")
    row = next(line for line in page.splitlines() if f"| `{name}` |" in line)
    assert row.endswith("| nothing |") is (text is None), row


def test_example_explores_every_program_that_the_table_tells_of(reports: dict[str, str]) -> None:
    assert reports.keys() == FOUND.keys()


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ("anyio_send", "anyio: the receiver got item, the sender was told: cancelled"),
        ("httpcore_pool", "the third request hangs; <AsyncConnectionPool [Requests: 0 active, 0 queued | "),
        ("tricycle_rwlock", "the second reader waits for ever"),
        ("trio_util_azip", "the first pair is ('quick 1', 'slow 0')"),
        ("trio_util_events", "'trio_util._async_value.AsyncValue.eventual_values' was garbage collected before"),
    ],
)
def test_report_to_a_library_is_a_plain_program_that_shows_it(python: Interpreter, report: str, told: str) -> None:
    file = EXAMPLES / "reports" / f"{report}.py"
    done = python.run(file)
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
    assert "trio_steps" not in file.read_text(encoding="utf-8")


def test_everything_that_was_found_is_written_up() -> None:
    _, section = docs_page("testing.md").split("## Other people's code\n")
    rows = [line for line in section.split("\n## ")[0].splitlines() if re.match(r"\| .*\| `\w+` \|", line)]
    found = [row for row in rows if not row.endswith("| nothing |")]
    assert [row for row in found if "`reports/" not in row] == []
    written_up = {name for row in found for name in re.findall(r"`reports/(\w+\.py)`", row)}
    assert written_up == {file.name for file in (EXAMPLES / "reports").glob("*.py")}
