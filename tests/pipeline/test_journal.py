"""A journal knows how many entries it has ever had, whatever it has forgotten, and so where to search."""

from __future__ import annotations

from trio_steps._pipeline.run.journal import Entry, Journal


def test_mark_counts_what_was_forgotten() -> None:
    journal = Journal([Entry(kind="inputs")])
    marks = [journal.mark()]
    for round_number in (1, 2, 3):
        for name in ("loop/one", "loop/two", "loop/three"):
            journal.entries.append(Entry(kind="done", step=name))
        marks.append(journal.mark())
        journal.end_round(Entry(kind="round", step="loop", case=str(round_number)), since=marks[0])
        marks.append(journal.mark())
    assert marks == [1, 4, 5, 8, 9, 12, 13]
    assert [entry.case for entry in journal.entries] == [None, "3"]


def test_an_attempt_replaces_the_one_before_it_and_both_count() -> None:
    journal = Journal([Entry(kind="inputs")])
    for failed in (1, 2, 3):
        journal.end_attempt(Entry(kind="tried", step="ask", failed=failed))
    assert [entry.failed for entry in journal.entries[1:]] == [3]
    assert journal.mark() == 4


def test_what_began_before_the_mark_is_not_searched() -> None:
    journal = Journal([Entry(kind="inputs")])
    journal.entries.append(Entry(kind="done", step="each/same"))
    since = journal.mark()
    journal.entries.append(Entry(kind="done", step="each/same"))
    journal.forget("each", since)
    assert [entry.step for entry in journal.entries] == ["", "each/same"]
