"""Annotations of Python 3.14 and later, which are evaluated on demand: names that only type checkers see."""

import __future__

import functools
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from trio_steps import ConfigError, Pipeline, fork, race, step
from trio_steps._core.signatures import annotations_in, signature
from trio_steps._pipeline.contract.annotations import UNKNOWN, members, resolve
from trio_steps._pipeline.contract.records import fields_of
from trio_steps._pipeline.signature import signature_of


def compiled():
    """Return the module. Before 3.14, annotations with names that don't exist can only be text."""
    path = Path(__file__).with_name("lazily_annotated.py")
    flags = 0 if sys.version_info >= (3, 14) else __future__.annotations.compiler_flag
    names = {"__name__": __name__}
    exec(compile(path.read_text(encoding="utf-8"), path, "exec", flags=flags, dont_inherit=True), names)
    return SimpleNamespace(**names)


lazy = compiled()


@pytest.mark.parametrize(
    ("fn", "given", "key"),
    [
        (lazy.fetch_user, {"user_id": "1"}, "user"),
        (lazy.total, {"user": 1}, "sum"),
        (lazy.wraps(lazy.fetch_user), {"user_id": "1"}, "user"),
        (functools.partial(lazy.total, tax=2), {"user": 1}, "sum"),
        (lazy.Callee(), {"user_id": 1}, "user"),
        (lazy.Callee().method, {"user_id": 1}, "user"),
        (lazy.users, {"ids": ["a"], "seen": {}}, "users"),
        (lazy.raising, {"a": 1, "b": 2}, "text"),
        (step(lazy.total, timeout=1), {"user": 1}, "sum"),
    ],
    ids=["function", "two", "wraps", "partial", "callable", "method", "inside", "raising", "step"],
)
async def test_functions_whose_types_only_checkers_see_are_steps(fn, given, key) -> None:
    result = await Pipeline("p").step("a", fn, provides=key).run(given)
    assert result.keys() == {*given, key}


@pytest.mark.parametrize("name", ["typed", "data", "attrs_out"])
async def test_outputs_whose_types_only_checkers_see_have_their_keys(name) -> None:
    p = Pipeline("p").step("a", getattr(lazy, name))
    assert p.output_of() == {"user": UNKNOWN, "size": int}
    assert await p.run({"user_id": "1"}) == {"user_id": "1", "user": "1", "size": 1}
    with pytest.raises(ConfigError, match="takes 'size' as str, but it is int"):
        p.step("b", takes_text)


def takes_text(size: str) -> None:
    pass


async def test_inputs_whose_types_only_checkers_see_are_declared() -> None:
    p = Pipeline("p", inputs=lazy.Out).step("a", lambda user: user, provides="x")
    assert p.input_of("a") == {"user": UNKNOWN, "size": int}
    with pytest.raises(ConfigError, match="needs 'usr', which nothing provides; did you mean 'user'"):
        p.step("b", lambda usr: None)


def test_an_unknown_name_costs_only_itself() -> None:
    assert signature_of(lazy.users, "s").types == {"ids": list[str], "seen": dict[str, Any]}
    assert signature_of(lazy.users, "s").returns == list[Any]
    assert signature_of(lazy.total, "s").types["tax"] is int
    assert signature_of(lazy.raising, "s").types == {"a": UNKNOWN, "b": int}
    assert fields_of(lazy.OutData)["user"].type is UNKNOWN


async def test_paths_and_modes_whose_types_only_checkers_see_are_called() -> None:
    assert await race(functools.partial(lazy.fetch_user, "1")) == {"id": "1"}
    assert await race(step(functools.partial(lazy.fetch_user, "1"), id="x")) == {"id": "1"}
    assert await fork("f", mode="all", paths=[lazy.Callee().method, functools.partial(lazy.total, tax=1)])(3) == (3, 1)
    assert await step(functools.partial(lazy.total, tax=2), id="x")(3) == 2
    with pytest.raises(ConfigError, match="has no succeeded"):
        await fork("f", mode=lazy.Mode, paths=[lazy.Callee().method])(3)


def test_a_signature_is_read_without_its_types() -> None:
    assert list(signature(lazy.total).parameters) == ["user", "tax", "fee"]
    assert list(signature(lazy.raising).parameters) == ["a", "b"]
    with pytest.raises(ValueError, match="no signature"):
        signature(dict)
    assert list(annotations_in(lazy.Out)) == ["user", "size"]


def test_what_is_taken_out_of_an_unknown_module_is_unknown_too() -> None:
    (inside,) = get_args(resolve("list[gone.Thing[int]]", lazy.users))
    assert members(inside) == [UNKNOWN]
    assert not hasattr(inside, "__origin__")
    assert resolve("gone.Thing[int] | None", lazy.users) == inside | None
    assert resolve("gone.Thing[int]", lazy.users) is UNKNOWN
