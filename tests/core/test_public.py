"""Every public class and function names the module that users import it from."""

from __future__ import annotations

import pickle
from importlib import import_module
from types import FunctionType

import pytest

import trio_steps
from trio_steps import StepTimeoutError

MODULES = ["trio_steps", *(f"trio_steps.{name}" for name in ("executors", "otel", "store", "terminal", "testing"))]


@pytest.mark.parametrize("module", MODULES)
def test_public_names_give_their_public_module(module: str) -> None:
    public = import_module(module)
    named = {
        name: value.__module__
        for name in public.__all__
        if isinstance(value := getattr(public, name), (type, FunctionType))
    }
    assert named
    assert named == dict.fromkeys(named, module)


def test_public_class_is_pickled_by_its_public_name() -> None:
    pickled = pickle.dumps(StepTimeoutError("fetch", 2.0), protocol=0)
    assert b"trio_steps\nStepTimeoutError" in pickled
    assert b"trio_steps._" not in pickled
    assert pickle.loads(pickled).step == "fetch"


def test_public_functions_are_pickled_by_their_public_names() -> None:
    for function in (trio_steps.fork, trio_steps.race, trio_steps.step, trio_steps.when):
        assert pickle.loads(pickle.dumps(function)) is function
