"""The signatures of the reference, with the types that the source has.

Problem: autodoc shows either no types or all overloads. `fork` has dozens of those: type checkers need them, and no one
reads them. The signature under the overloads is short, but says ``Any`` where they say more. And annotations use
aliases that are private to a module.

What is done instead. The annotations are strings, so a signature is written down as the source has it. An alias gives
way to what it stands for, and an ``Any`` to what the overloads say of it, taken together.
"""

from __future__ import annotations

import inspect
import re
from typing import Any, Final

from trio_steps._pipeline.builder import options

ALIASES: Final[dict[str, str]] = {
    "Which": "type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]",
    "Provides": "str | tuple[str, ...] | None",
    "Then": "Pipeline | Callable[[Pipeline], Pipeline]",
    "Direction": 'Literal["down", "right"]',
    "Operation": "str | Callable[[random.Random], tuple[Any, ...]]",
    "Lose": "Callable[[RunStore, str], Awaitable[object]]",
    "Values": 'Literal["undisturbed", "any"] | Callable[[Any], bool]',
    "Ignored": "str | type[Warning] | Ignore",
    "ThingT": "T",
    "LockT": "T",
    "CheckT": "T",
    "EventT": "T",
    "OutputT": "T",
    "NewExceptionT": "T",
    "ParametersT": "P",
    "Recipe": "object",
    "Where": "object",
    "Value": "outcome.Value",
    "Error": "outcome.Error",
    "Console": "rich.console.Console",
    "Group": "rich.console.Group",
    "metrics.Meter": "opentelemetry.metrics.Meter",
    "trace.Tracer": "opentelemetry.trace.Tracer",
}
_PATHS: Final = {
    "paths": "Callable[[], Awaitable[T] | T] | Iterable[Callable] | AsyncIterable[Callable] | Mapping[str, Callable]",
    "dispose": "Callable[[T], object] | None",
    "accept": "Callable[[T], bool] | None",
}
_INPUT: Final = {"input": "I"}
OVERLOADED: Final[dict[str, dict[str, str]]] = {
    "fork": {
        "mode": 'Literal["race", "all", "settle", "quorum"] | ModeFactory',
        "paths": "Iterable[Callable] | AsyncIterable[Callable] | Mapping[str, Callable] | Callable",
        "dispose": "Callable[[T], object] | None",
        "accept": "Callable[[T], bool] | None",
        "return": "Fork[I, O]",
    },
    "race": {**_PATHS, "return": "Awaitable[T]"},
    "gather": {**_PATHS, "return": "Awaitable[tuple[T, ...] | dict[str, T]]"},
    "settle": {**_PATHS, "return": "Awaitable[tuple[SettleResult[T], ...] | dict[str, SettleResult[T]]]"},
    "stream": {**_PATHS, "return": "Stream[SettleResult[T]] | Stream[T]"},
    "step": {"fn": "Callable[P, Awaitable[T] | T] | None", "return": "FunctionStep[P, T] | StepDecorator"},
    "Fork.stream": {**_INPUT, "return": "Stream[T]"},
    "Step.run": {"return": "Awaitable[O]"},
    "Pipeline": {"inputs": "type[I] | None"},
    "Pipeline.step": {"name_and_functions": "str | Step | Callable"},
    "Pipeline.transform": {"name_and_function": "str | Callable"},
    "Pipeline.for_each": {"name_and_function": "str | Step | Callable"},
    "Pipeline.run": {**_INPUT, "return": "Awaitable[O]"},
    "Pipeline.resume": {"return": "Awaitable[O]"},
    "Pipeline.submit": {**_INPUT, "return": "Awaitable[bool]"},
    "Pipeline.outputs": {"done": "type[O]", "return": "Pipeline[I, O]"},
    "Probe.resource": {"thing": "T", "return": "Resource[T]"},
}
_DEFAULTS: Final = {"on_error": "'raise'", "log": "True", "share": "()"}
_ALIAS: Final = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, ALIASES))})\b(?!\.)")
_BEFORE_CLASSES: Final = re.compile(r"\btrio_steps(?:\.\w+)*\.")


def spelled(annotation: object) -> str:
    """Return an annotation as a reader should see it."""
    annotation = getattr(annotation, "__forward_arg__", annotation)  # in a TypedDict
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = _BEFORE_CLASSES.sub("", text)
    text = re.sub(r"\b(\w+)_(?:co|contra)\b", r"\1", text)
    text = _ALIAS.sub(lambda match: ALIASES[match[1]], text)
    text = text.replace("Pipeline[Any, Any]", "Pipeline").replace("Step[..., Any]", "Step")
    return text.replace("Pipeline[I, dict[str, Any]]", "Pipeline").replace("ForkPartialError[T]", "ForkPartialError")


def _default(value: object) -> str:
    if isinstance(value, type):
        return value.__name__
    text = repr(value)
    return "..." if text in {"NOTHING", "<no input>"} else text


def _of(parameter: inspect.Parameter, types: dict[str, str]) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    annotation = types.get(parameter.name) or spelled(parameter.annotation)
    default = "" if parameter.default is parameter.empty else f" = {_default(parameter.default)}"
    return f"{stars}{parameter.name}: {annotation}{default}"


def signature_of(thing: Any, name: str, *, is_method: bool) -> str:
    """Return the signature of `thing`, a function or class, whose full name is `name`.

    Args:
      thing: what has it.
      name: with the module it is public in.
      is_method: leave the first parameter out.
    """
    types = OVERLOADED.get(name.removeprefix("trio_steps."), {}) | OVERLOADED.get(name.rpartition(".testing.")[2], {})
    signature = inspect.signature(thing)
    parameters = list(signature.parameters.values())[is_method:]
    words: list[str] = []
    kinds: list[Any] = []
    for parameter in parameters:
        if kinds and kinds[-1] == parameter.POSITIONAL_ONLY != parameter.kind:
            words.append("/")
        if parameter.kind == parameter.KEYWORD_ONLY and not {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL} & {
            *kinds
        }:
            words.append("*")
        kinds.append(parameter.kind)
        if parameter.annotation == "Unpack[NodeOptions]":
            words += [f"{key}: {spelled(kind)} = {_DEFAULTS.get(key)}" for key, kind in _node_options().items()]
        else:
            words.append(_of(parameter, types))
    if kinds and kinds[-1] == inspect.Parameter.POSITIONAL_ONLY:
        words.append("/")
    text = f"({', '.join(words)})"
    if isinstance(thing, type):
        return text
    returns = types.get("return") or spelled(signature.return_annotation)
    if hasattr(thing, "__wrapped__"):  # by contextlib
        returns = re.sub(r"^(Async|)Generator", r"Abstract\1ContextManager", returns)
    return f"{text} -> {returns}"


def _node_options() -> dict[str, str]:
    """Return what every kind of step takes, and the types: it is written for type checkers only."""
    source = inspect.getsource(options)
    body = re.search(r"class NodeOptions\(.*?\n\n(.*?)\n\n", source, re.DOTALL)
    assert body is not None
    return dict(re.findall(r"^ +(\w+): (.*)$", body[1].partition('"""\n\n')[2] or body[1], re.MULTILINE))
