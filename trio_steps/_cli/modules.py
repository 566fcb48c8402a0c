"""Finds pipelines by the names of their modules, and says what is wrong with a module."""

from __future__ import annotations

import importlib
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from trio_steps._core.errors import ConfigError, listed
from trio_steps._pipeline.pipeline import Pipeline

from .common import UsageError

if TYPE_CHECKING:
    from types import ModuleType

AnyPipeline: TypeAlias = Pipeline[Any, Any]


class ModuleError(Exception):
    """A module can't be imported, because of a mistake in it."""


def imported(name: str) -> ModuleType:
    if name.endswith(".py") or os.sep in name:
        raise UsageError(f"{name!r} is a file; give the name of the module, such as 'shop' for shop.py")
    if ":" in name:
        raise UsageError(f"{name!r} is more than a module; give its name alone, {name.partition(':')[0]!r}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"there is no module {error.name!r}, here or installed") from error
        raise ModuleError(_located(name, error)) from error
    except (Exception, SystemExit) as error:  # its exit status would mean something else here
        raise ModuleError(_located(name, error)) from error


def _located(name: str, error: Exception | SystemExit) -> str:
    """Describe `error`, which importing the module `name` raised, with the line that is to blame."""
    where = "" if isinstance(error, ConfigError) else f"{type(error).__qualname__}: "
    text = f"the module {name!r} can't be imported: {where}{error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = str(Path(__file__).parent.parent) + os.sep
    for frame in reversed(frames):
        if not frame.filename.startswith(("<frozen", own)) and frame.filename != importlib.__file__:
            return f"{text}\n  {frame.filename}:{frame.lineno}\n    {frame.line}"
    return text


def pipelines_of(module: ModuleType) -> dict[str, AnyPipeline]:
    return {name: value for name, value in vars(module).items() if isinstance(value, Pipeline)}


def pipeline_at(target: str) -> AnyPipeline:
    module_name, colon, path = target.partition(":")
    if not colon or not path or not module_name:
        raise UsageError(f"{target!r}: give module:pipeline, such as shop:checkout")
    module = imported(module_name)
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Pipeline):
        there = listed(f"{module_name}:{name}" for name in pipelines_of(module))
        raise UsageError(f"{target!r} is not a pipeline; the module has {there}")
    return cast("AnyPipeline", found)  # type: ignore[redundant-cast]  # pyright finds its types unknown
