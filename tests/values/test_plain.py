"""Which values C copies, and which not, because that would take longer."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from trio_steps._values import plain
from trio_steps._values.plain import copy_plain


def dicts(count: int, size: int) -> Any:
    """Return a list of dicts that has `size` bytes when it is pickled."""
    value = [{number: ""} for number in range(count)]
    for number in range(size - len(pickle.dumps(value, 5))):
        value[number % count][number % count] += "x"
    while len(pickle.dumps(value, 5)) > size:  # longer strings also have a longer length field
        value[0][0] = value[0][0][:-1]
    return value


def test_value_is_copied_in_c_if_it_has_a_dict_or_a_list_for_each_150_bytes() -> None:
    for size in (1_100, 1_190):
        value = dicts(7, size)
        copy = copy_plain(value)
        assert copy == value
        assert copy[0] is not value[0]
    assert copy_plain(dicts(7, 1_230)) is None  # 8 times 150, and the frame around them
    assert copy_plain(dicts(20, 1_230)) is not None


def test_small_value_is_copied_in_c_whatever_is_in_it() -> None:
    value = [f"{number:90}" for number in range(9)]
    assert copy_plain(value) == value
    assert copy_plain([*value, "y" * 200]) is None


def test_value_is_judged_by_all_of_it_and_not_by_its_beginning() -> None:
    rows = [{"id": number, "name": "n"} for number in range(1_000)]
    text = "x" * 5_000
    assert copy_plain({"text": text, "rows": rows}) == {"text": text, "rows": rows}
    assert copy_plain({"rows": rows[:20], "lines": [f"{number:90}" for number in range(500)]}) is None


def test_value_that_runs_code_to_be_pickled_or_holds_a_nan_is_not_copied_in_c() -> None:
    class Thing: ...

    for part in (Thing(), float("nan"), object):
        assert copy_plain([part]) is None


def test_pickler_is_kept_after_a_small_value_and_not_after_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    idle: list[Any] = []
    monkeypatch.setattr(plain, "_idle", idle)
    copy_plain([1])
    [kept] = idle
    copy_plain([2])
    assert idle == [kept]
    copy_plain([[number] for number in range(1_000)])
    assert idle == []


def test_pickler_is_kept_after_less_than_a_thousand_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, count in ((999, 1), (1_000, 0)):
        idle: list[Any] = []
        monkeypatch.setattr(plain, "_idle", idle)
        value = ["x" * 100] * 9 + ["y" * (size - 100)]
        value[-1] = value[-1][: size - len(pickle.dumps(value, 5))]
        assert len(pickle.dumps(value, 5)) == size
        assert copy_plain(value) == value
        assert len(idle) == count


@pytest.mark.parametrize(
    ("mutables", "most"),
    [
        (b"", 1_000),
        (b"}\x94" * 7, 1_050),
        (b"]\x94" * 7, 1_050),
        (b"}\x94" * 4 + b"]\x94" * 4, 1_200),
        (b"}\x94" * 26, 3_900),
    ],
)
def test_chunk_is_taken_if_it_is_small_or_has_a_dict_or_a_list_for_each_150_bytes(mutables: bytes, most: int) -> None:
    written = plain._Written()
    written.write(mutables.ljust(most, b"x"))
    assert [len(chunk) for chunk in written.chunks] == [most]
    with pytest.raises(plain._NotPlainError):
        written.write(mutables.ljust(most + 1, b"x"))


def test_sample_is_all_of_4000_bytes_or_eight_pieces_from_all_over() -> None:
    chunk = b"".join(number.to_bytes(2, "big") for number in range(4_000))
    assert plain._sample(chunk[:4_000]) == chunk[:4_000]
    assert plain._sample(chunk) == b"".join(chunk[start : start + 500] for start in range(0, 8_000, 1_000))
