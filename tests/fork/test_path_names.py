"""The ids of the paths of a fork: unique, in path order, and cheap however many there are."""

from __future__ import annotations

import re
import sys
from collections import Counter
from functools import partial
from itertools import product
from math import inf
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trio_steps import ConfigError, step
from trio_steps._fork import paths as module
from trio_steps._fork.paths import PathNames, describe_all


def named(name: str, given_by_hand: bool = False) -> Any:
    """Return a new path named `name`."""

    def path() -> None:
        """Do nothing."""

    if given_by_hand:
        return step(path, id=name)
    path.__name__ = name
    return path


# One by one


def test_path_names_are_numbered_when_they_repeat() -> None:
    names = PathNames()
    assert [names.add("fetch", False) for _ in range(3)] == ["fetch", "fetch#2", "fetch#3"]


def test_path_names_are_numbered_each_for_itself() -> None:
    names = PathNames()
    added = [names.add(base, False) for base in ("a", "b", "a", "a", "b")]
    assert added == ["a", "b", "a#2", "a#3", "b#2"]
    assert list(names) == added


def test_path_names_that_were_given_are_never_numbered() -> None:
    names = PathNames()
    assert [names.add("a", True), names.add("b", True)] == ["a", "b"]
    assert list(names) == ["a", "b"]


def test_path_names_of_functions_differ_from_one_that_was_given() -> None:
    """They do in a list, and a lazy source is no different."""
    names = PathNames()
    added = [names.add("a", True), names.add("a", False), names.add("a", False)]
    assert len(set(added)) == 3
    assert list(names) == added


def test_path_names_of_functions_leave_out_a_number_that_was_given() -> None:
    names = PathNames()
    added = [names.add("a#2", True), names.add("a", False), names.add("a", False), names.add("a", False)]
    assert added == ["a#2", "a", "a#3", "a#4"]
    assert list(names) == added


def test_path_name_of_a_function_that_looks_like_the_number_of_another_is_numbered_too() -> None:
    names = PathNames()
    added = [names.add("a", False), names.add("a", False), names.add("a#2", False), names.add("b#2", False)]
    assert added == ["a", "a#2", "a#2#2", "b#2"]
    assert list(names) == added


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "a#2", "a#3", "a#2#2", "b", "b#x", "#2"]), st.booleans()),
        max_size=15,
    )
)
def test_path_name_of_a_function_is_never_one_there_was_before(paths) -> None:
    """A given id is used as it is, even if it is a duplicate. All other ids must be unique."""
    names, taken = PathNames(), []
    for base, was_given in paths:
        id = names.add(base, was_given)
        assert id == base if was_given else id not in taken
        taken.append(id)
    assert list(names) == taken


@given(
    st.lists(st.sampled_from(["a", "a#2", "b", "a#2#2"]), max_size=4, unique=True),
    st.lists(st.sampled_from(["a", "a#2", "b"]), max_size=9),
)
def test_path_name_is_never_one_that_is_reserved(reserved, bases) -> None:
    names, added = PathNames(), []
    names.reserve(reserved)
    for number, base in enumerate(bases):
        added.append(names.add(base, False))
        if number < len(reserved):
            added.append(names.add(reserved[number], True))
    assert len(set(added)) == len(added)
    assert list(names) == added
    assert all(name in names for name in [*added, *reserved])
    assert not any(name in names for name in ("c", "a#1", "a#99", "a#", "a#x", "#2"))


def test_path_names_have_a_length_and_are_found_by_index() -> None:
    names = PathNames()
    assert (len(names), list(names)) == (0, [])
    for _ in range(3):
        names.add("a", False)
    assert (len(names), names[0], names[2]) == (3, "a", "a#3")


@pytest.mark.parametrize("index", [-1, 2])
def test_path_names_have_none_outside_of_the_paths_so_far(index) -> None:
    names = PathNames()
    names.add("a", False)
    names.add("a", False)
    with pytest.raises(IndexError):
        names[index]


def test_path_names_of_one_function_take_no_memory_each() -> None:
    names = PathNames()

    def size():
        return sum(sys.getsizeof(getattr(names, slot)) for slot in PathNames.__slots__)

    for _ in range(10):
        names.add("fetch", False)
    before = size()
    for _ in range(10_000):
        names.add("fetch", False)
    assert size() < before + 100
    assert names[10_009] == "fetch#10010"


@given(st.lists(st.sampled_from([("a", False), ("b", False), ("x", True), ("y", True)]), max_size=30))
def test_path_names_found_by_index_are_those_that_were_added(paths) -> None:
    names, counts, expected = PathNames(), {}, []
    for base, was_given in paths:
        counts[base] = counts.get(base, 0) + 1
        expected.append(base if was_given or counts[base] == 1 else f"{base}#{counts[base]}")
        assert names.add(base, was_given) == expected[-1]
    assert list(names) == expected
    assert len(names) == len(expected)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a#2"]), st.booleans()), max_size=12))
def test_path_names_are_those_of_a_plain_list(paths: list[tuple[str, bool]]) -> None:
    """A name that `add` returns is found again by index. Given ids are kept; others differ from all before."""
    names = PathNames()
    added: list[str] = []
    for base, given_by_hand in paths:
        name = names.add(base, given_by_hand)
        assert name == base if given_by_hand else re.fullmatch(rf"{base}(#[0-9]+)?", name)
        assert given_by_hand or name not in added
        added.append(name)
        assert len(names) == len(added)
        assert list(names) == [names[index] for index in range(len(names))] == added


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_path_names_of_functions_count_each_name(bases: list[str]) -> None:
    """A function is numbered by how many with its name came before."""
    names = PathNames()
    seen: Counter[str] = Counter()
    for base in bases:
        seen[base] += 1
        assert names.add(base, given=False) == (base if seen[base] == 1 else f"{base}#{seen[base]}")


# All at once


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a#2", "b#3"]), st.booleans()), max_size=12))
def test_ids_are_unique_and_in_path_order(paths: list[tuple[str, bool]]) -> None:
    """Given ids are kept, functions get their own names, and numbers rise."""
    assume(max(Counter(name for name, given_by_hand in paths if given_by_hand).values(), default=1) == 1)
    ids = describe_all([named(*path) for path in paths]).ids
    assert len(ids) == len(set(ids)) == len(paths)
    numbers: dict[str, int] = {}
    for id, (name, given_by_hand) in zip(ids, paths, strict=True):
        if given_by_hand:
            assert id == name
        else:
            found = re.fullmatch(rf"{name}(?:#([0-9]+))?", id)
            assert found is not None
            number = int(found[1] or 1)
            assert number > numbers.get(name, 0)
            numbers[name] = number
    assert describe_all([named(*path) for path in paths]).ids == ids


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=8), st.sampled_from("ab"))
def test_ids_that_are_given_twice_are_refused(paths: list[tuple[str, bool]], name: str) -> None:
    with pytest.raises(ConfigError, match="have the id"):
        describe_all([named(*path) for path in [(name, True), *paths, (name, True)]])


# What else a known path has


@pytest.fixture(params=product([False, True], repeat=2), ids=["few", "few alike", "many", "many alike"])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few paths there are, treat them as few, and then as many; and look whether they are alike, or don't."""
    is_many, looks = request.param
    monkeypatch.setattr(module, "MANY", 0 if is_many else inf)
    monkeypatch.setattr(module, "FEW", 0 if looks else inf)


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("", ""),
        ("a", "a"),
        ("a a a", "a a#2 a#3"),
        ("a b a a b c", "a b a#2 a#3 b#2 c"),
        ("a =a a", "a#2 a a#3"),
        ("=a =b a", "a b a#2"),
        ("a =a#2 a", "a a#2 a#3"),
        ("=a#3 a a a a", "a#3 a a#2 a#4 a#5"),
        ("a a a#2", "a a#2 a#2#2"),
        ("a#2 a a", "a#2 a a#3"),
        ("b#2 a", "b#2 a"),
    ],
)
@pytest.mark.usefixtures("many")
def test_ids_of_paths_that_are_known(written: str, ids: str) -> None:
    paths = [named(word.removeprefix("="), word.startswith("=")) for word in written.split()]
    known = describe_all(paths)
    assert list(known.ids) == ids.split()
    assert len(known) == len(paths)
    assert [known.ids[index] for index in range(len(paths))] == ids.split()


@pytest.mark.usefixtures("many")
def test_ids_of_functions_count_those_before_with_the_same_name() -> None:
    for bases in product("ab", repeat=5):
        ids = list(describe_all(list(map(named, bases))).ids)
        counts = [bases[:place].count(base) + 1 for place, base in enumerate(bases)]
        assert ids == [base if count == 1 else f"{base}#{count}" for base, count in zip(bases, counts, strict=True)]


def test_ids_of_many_functions_are_made_on_demand_and_those_of_few_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 3)
    assert describe_all([named("a")] * 3).ids == ["a", "a#2", "a#3"]
    assert isinstance(describe_all([named("a")] * 4).ids, PathNames)
    assert isinstance(describe_all([*[named("a")] * 4, named("b", given_by_hand=True)]).ids, list)


def test_more_than_eight_paths_are_described_at_once_if_they_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[object] = []
    monkeypatch.setattr(module, "_describe_alike", described.append)
    for length in (8, 9):
        paths = [named("a")] * length
        describe_all(paths)
    assert described == [paths]


@pytest.mark.parametrize("length", [9, 5_001])
@pytest.mark.parametrize("odd", ["name", "code", "argument", "keyword", "number", "step", "generator", None])
def test_paths_that_are_alike_are_described_as_they_would_be_one_by_one(
    odd: str | None, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever one differs: the first, the last, or all of them."""
    odds: dict[str | None, Any] = {
        "name": named("b"),
        "code": eval("lambda: 0", {}),  # a function with a code of its own
        "argument": lambda _: None,
        "keyword": lambda *, _: None,
        "number": named("a#2"),
        "step": step(named("a")),
        "generator": lambda: (yield),
        None: named("a"),
    }
    other = odds[odd]
    for paths in ([other, *[named("a")] * length], [*[named("a")] * length, other], [other] * length):
        if odd == "generator":
            with pytest.raises(ConfigError, match="yields"):
                describe_all(paths)
            continue
        known = describe_all(paths)
        with monkeypatch.context() as patched:
            patched.setattr(module, "FEW", inf)
            one_by_one = describe_all(paths)
        assert list(known.ids) == list(one_by_one.ids)
        assert type(known.ids) is type(one_by_one.ids)
        assert (known.calls, known.code, list(known.to_check)) == (
            one_by_one.calls,
            one_by_one.code,
            one_by_one.to_check,
        )


def test_extending_names_is_like_adding_one_name_several_times() -> None:
    for lengths in product(range(4), repeat=3):
        extended, added = PathNames(), PathNames()
        for base, length in zip("aba", lengths, strict=True):
            extended.extend(base, length)
            for _ in range(length):
                added.add(base, False)
        assert list(extended) == list(added)
        assert len(extended) == len(added) == sum(lengths)
        assert [extended[index] for index in range(len(extended))] == list(added)
        assert extended.add("a", False) == added.add("a", False)


class Called:
    def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.usefixtures("many")
def test_code_of_paths_is_known_if_all_are_functions_with_the_same() -> None:
    def one(_: object = None) -> None:
        """Do nothing."""

    def other() -> None:
        """Do nothing."""

    assert describe_all([]).code is None
    assert describe_all([one]).code is one.__code__
    assert describe_all([one, partial(one, 1), one]).code is one.__code__
    assert describe_all([one, other]).code is None
    assert describe_all([one, one, other, one]).code is None
    assert describe_all([one, step(one)]).code is None
    assert describe_all([Called(), one]).code is None
    assert describe_all([one, Called()]).code is None


@pytest.mark.usefixtures("many")
def test_paths_that_may_require_an_argument_are_found() -> None:
    def none() -> None:
        """Do nothing."""

    def has_default(_: object = None) -> None:
        """Do nothing."""

    def wants(_: object) -> None:
        """Do nothing."""

    def wants_one_of_two(_: object, __: object = None) -> None:
        """Do nothing."""

    def by_name(*, a: object = None) -> None:
        """Do nothing."""

    asking: list[Any] = [wants, wants_one_of_two, by_name, Called(), step(none), partial(wants_one_of_two, 1)]
    content: list[Any] = [none, has_default, partial(none), partial(wants, 1), partial(wants_one_of_two, 1, 2)]
    for paths in ([*asking, *content], [*content, *asking], [*asking[::2], *content, *asking[1::2]]):
        assert describe_all(paths).to_check == [place for place, path in enumerate(paths) if path in asking]
