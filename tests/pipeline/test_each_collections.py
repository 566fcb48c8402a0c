"""`for_each` accepts any collection that has a length and an order, or is a mapping."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import array
from collections import ChainMap, Counter, OrderedDict, UserList, deque
from types import MappingProxyType
from typing import Any

import pytest

from trio_steps import ConfigError, Pipeline
from trio_steps.testing import MemoryStore

p: Pipeline[Any, Any] = Pipeline("p").for_each("each", lambda x: x, over="xs", each="x", into="ys")


@pytest.mark.parametrize(
    ("xs", "ys"),
    [
        ([1, 2], [1, 2]),
        ((1, 2), [1, 2]),
        (range(3), [0, 1, 2]),
        (array.array("i", [1, 2]), [1, 2]),
        (deque([1, 2], maxlen=2), [1, 2]),
        ([], []),
        (range(0), []),
        ({"b": 1, "a": 2}, {"b": 1, "a": 2}),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (ChainMap({"a": 1}), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_collection_is_gone_over_in_its_order_in_a_store_too(xs: Any, ys: Any) -> None:
    assert (await p.run({"xs": xs}))["ys"] == ys
    assert (await p.run({"xs": xs}, store=MemoryStore(), run_id="r"))["ys"] == ys


@pytest.mark.parametrize(
    "xs", [UserList([1, 2]), memoryview(b"\1\2"), {1: 0, 2: 0}.keys()], ids=["user", "view", "keys"]
)
async def test_collection_that_can_not_be_stored_is_gone_over_as_well(xs: Any) -> None:
    assert (await p.run({"xs": xs}))["ys"] == [1, 2]


class Table:
    """Its length is its number of rows, but iterating yields its columns."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, key: str) -> list[int]:
        return [1, 2, 3]

    def __iter__(self) -> Any:
        return iter(["a", "b"])


@pytest.mark.parametrize(
    "xs", ["ab", b"ab", bytearray(b"ab"), {1, 2}, iter([1]), Table(), 3, None], ids=lambda value: type(value).__name__
)
async def test_what_has_no_length_or_no_order_or_is_text_is_an_error(xs: Any) -> None:
    with pytest.raises(TypeError, match="'each' goes over 'xs', which has to hold a list, a tuple or a mapping, not"):
        await p.run({"xs": xs})


def gives_range() -> range:
    return range(2)


def gives_array() -> array.array[int]:
    return array.array("i", [1, 2])


def gives_some() -> deque[int] | list[int]:
    return deque([1])


def gives_text() -> str:
    return "ab"


def gives_set() -> set[int]:
    return {1}


@pytest.mark.parametrize("gives", [gives_range, gives_array, gives_some])
async def test_declared_collection_with_an_order_is_accepted(gives: Any) -> None:
    def double(x: int) -> int:
        return 2 * x

    def total(ys: list[int]) -> dict[str, int]:
        return {"total": sum(ys)}

    q: Pipeline[Any, Any] = Pipeline("q").step("gives", gives, provides="xs")
    q = q.for_each("each", double, over="xs", each="x", into="ys").step("total", total)
    assert (await q.run({}))["total"] == sum(2 * x for x in gives())


@pytest.mark.parametrize("gives", [gives_text, gives_set])
def test_declared_collection_without_an_order_is_an_error_when_it_is_built(gives: Any) -> None:
    q = Pipeline("q").step("gives", gives, provides="xs")
    with pytest.raises(ConfigError, match="over='xs' has to hold a list, a tuple or a mapping"):
        q.for_each("each", lambda x: x, over="xs", each="x", into="ys")


def test_results_of_an_ordered_collection_are_a_list() -> None:
    def total(ys: dict[str, int]) -> None:
        """Take a mapping, which the results are not."""

    q = Pipeline("q").step("gives", gives_range, provides="xs")
    q = q.for_each("each", lambda x: x, over="xs", each="x", into="ys")
    with pytest.raises(ConfigError, match="'ys'"):
        q.step("total", total)
