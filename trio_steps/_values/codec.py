"""Values as readable JSON, and back: each comes back with its exact type. Pure and synchronous.

A value that JSON does not have becomes an object with the key ``"$"``. Aliasing, cycles and any depth are kept: a value
that occurs in more than one place, or too deep for the json module, is written separately and referred to by a number.

These values can be written:

- None, bool, int, float, complex, str, bytes, bytearray, range, slice, ``...``
- list, dict, set, frozenset, tuple, array, deque, OrderedDict, Counter, ChainMap, MappingProxyType, frozendict, and
  defaultdict with one of these types as its factory; exact types only, with any of these values inside
- date, time, datetime, timedelta, timezone, ZoneInfo, Decimal, Fraction, UUID, paths, addresses and networks
- instances of dataclasses, attrs classes, named tuples, pydantic models and msgspec structs, by their fields
- members of an Enum, by name
- Fulfilled and Rejected, and any Exception with its args, attributes and notes, not its traceback, cause and context

Anything else is an error that names the step and the key, because rebuilding it would run its code on the contents of a
text. A user's codec may do that.

The text may be hostile. Reading it imports nothing, and calls nothing but the constructors in the tables of `scalars`
and `containers`. Instances of classes are filled from their fields, without running their code.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeGuard, cast

from trio_steps._core.errors import CheckpointError
from trio_steps._core.public import public

from .containers import DICT, LIST, enter
from .described import described
from .form import ProblemError, items
from .forms import BY_TAG, form_of
from .scalars import is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .form import JSON, Form

_TAG: Final = "$"
_LEVELS: Final = 40  # of nesting; deeper values are written separately, because the json module recurses


@public
class Codec(Protocol):
    """Writes the values of a checkpoint in another format. The json module is a codec, and so is jsonpickle.

    An error in either method is reported as a `CheckpointError` that names the step and the key.
    """

    def dumps(self, value: Any, /) -> str:
        """Write `value` as text."""
        ...

    def loads(self, text: str, /) -> Any:
        """Read the value that was written as `text`."""
        ...


@public
class TypedCodec(Protocol):
    """A codec that gets the declared type of each value, for libraries that need the type to read, such as msgspec.

    It is the return type of the step that provides the key, or `typing.Any` if that declares none. If the pipeline is
    not at hand, give its `Pipeline.codec`: ``Checkpoint.from_json(text, codec=pipeline.codec)``.
    """

    def dumps_as(self, value: Any, declared: Any, /) -> str:
        """Write `value`, which is declared as `declared`, as text."""
        ...

    def loads_as(self, text: str, declared: Any, /) -> Any:
        """Read the value that was written as `text` and is declared as `declared`."""
        ...


class _Writer:
    """Writes one value. First it finds the parts that occur in several places or too deep, to write them separately."""

    __slots__ = ("_apart", "_known", "_nodes", "_refs", "_todo")

    def __init__(self) -> None:
        self._known: dict[int, tuple[Form, JSON, Sequence[object]]] = {}  # this keeps what an id stands for alive
        self._apart: set[int] = set()
        self._refs: dict[int, int] = {}
        self._nodes: list[JSON] = []
        self._todo: list[tuple[Sequence[object], JSON]] = []

    def write(self, value: object) -> JSON:
        self._survey(value)
        root = self._node(value)
        todo = self._todo
        while todo:
            parts, target = todo.pop()
            if _is_list(target):
                target.extend(map(self._node, parts))
            else:
                for key, part in zip(parts[::2], parts[1::2]):  # noqa: B905 - as long as each other
                    target[key] = self._node(part)
        return {_TAG: "graph", "root": root, "nodes": self._nodes} if self._nodes else root

    def _survey(self, value: object) -> None:
        known = self._known
        stack = [(value, 0)]
        while stack:
            value, level = stack.pop()
            if id(value) in known:
                self._apart.add(id(value))
                continue
            form = form_of(value)
            if form is None or form.leaf:
                continue
            head, parts = form.apart(value)
            if not parts and form.fill is None:
                continue
            known[id(value)] = form, head, parts
            if level == _LEVELS:
                self._apart.add(id(value))
                level = 0
            stack.extend((part, level + 1) for part in parts)

    def _node(self, value: object) -> JSON:
        form = form_of(value)
        if form is None:
            return value
        key = id(value)
        if key not in self._apart:
            return self._expand(*(self._known[key] if key in self._known else (form, *form.apart(value))))
        if key not in self._refs:
            self._refs[key] = len(self._nodes)
            self._nodes.append(self._expand(*self._known[key]))
        return {_TAG: "ref", "to": self._refs[key]}

    def _expand(self, form: Form, head: JSON, parts: Sequence[object]) -> JSON:
        node: JSON
        if form is LIST:
            node = []
            self._todo.append((parts, node))
        elif form is DICT and all(type(key) is str and key != _TAG and is_plain(key) for key in parts[::2]):
            node = {}
            self._todo.append((parts, node))
        else:
            node = {_TAG: form.tag}
            if head is not None:
                node["is"] = head
            if parts:
                node["of"] = inner = list[Any]()
                self._todo.append((parts, inner))
        return node


class _Frame:
    """A value that is being read, and waits for its parts."""

    __slots__ = ("form", "head", "node", "parts", "ref", "rest")

    def __init__(self, node: JSON, form: Form, head: JSON, rest: Iterator[JSON], ref: int | None) -> None:
        self.node = node
        self.form = form
        self.head = head
        self.rest = rest
        self.ref = ref
        self.parts: list[object] = []


class _Reader:
    """Reads one value. Mutable values are made at once and filled later, as in a copy."""

    __slots__ = ("_built", "_known", "_nodes", "_open", "_pending")

    def __init__(self, nodes: list[JSON], known: dict[str, object]) -> None:
        self._nodes = nodes
        self._known = known
        self._built: dict[int, object] = {}
        self._open: set[int] = set()
        self._pending: list[tuple[Callable[[Any, list[Any]], object], object, list[JSON]]] = []

    def read(self, node: JSON) -> object:
        result = self._value(node)
        while self._pending:
            fill, value, parts = self._pending.pop()
            fill(value, [self._value(part) for part in parts])
        return result

    def _value(self, node: JSON) -> object:
        frames: list[_Frame] = []
        while True:
            value = self._begin(node, frames)
            while frames:
                frame = frames[-1]
                if value is not frame:
                    frame.parts.append(value)
                try:
                    node = next(frame.rest)
                except StopIteration:
                    value = self._made(frame.node, frame.form, frame.head, frame.parts)
                    frames.pop()
                    if frame.ref is not None:
                        self._built[frame.ref] = value
                else:
                    break
            else:
                return value

    def _begin(self, node: JSON, frames: list[_Frame]) -> object:
        """Return the value of `node`; if it has to wait for its parts, add a new frame to `frames` and return that."""
        ref: int | None = None
        if is_object(node) and node.get(_TAG) == "ref":
            ref = cast("int", node["to"])
            if type(ref) is not int or ref < 0:
                raise ProblemError(f"the text is damaged: it refers to {described(ref)}")
            if ref in self._built:
                return self._built[ref]
            if ref in self._open:
                raise ProblemError("a value is part of itself in a way that can't be rebuilt")
            node = self._nodes[ref]
        if _is_list(node):
            value: object = []
            self._pending.append((list[Any].extend, value, node))
        elif not is_object(node):
            value = node
        elif _TAG not in node:
            value = {}
            self._pending.append((enter, value, cast("list[JSON]", items(node))))
        else:
            form = BY_TAG[node[_TAG]]
            head, parts = node.get("is"), node.get("of", [])
            if form.fill is None and parts:
                if ref is not None:
                    self._open.add(ref)
                frames.append(_Frame(node, form, head, iter(parts), ref))
                return frames[-1]
            value = self._made(node, form, head, [])
            if form.fill is not None:
                self._pending.append((form.fill, value, parts))
        if ref is not None:
            self._built[ref] = value
        return value

    def _made(self, node: JSON, form: Form, head: JSON, parts: list[object]) -> object:
        value = form.make(head, parts)
        if form.tag == "error":
            # An exception is equal only to itself. Exceptions with the same text are read as one object, because one
            # may have been passed on from step to step, which is not a change.
            text = json.dumps(node)
            if '"ref"' not in text:  # a reference means something else elsewhere
                return self._known.setdefault(text, value)
        return value


def _is_list(node: JSON) -> TypeGuard[list[JSON]]:
    return type(node) is list


def is_object(node: JSON) -> TypeGuard[dict[str, JSON]]:
    return type(node) is dict


def encode(value: object, *, step: str | None = None, key: str | None = None) -> JSON:
    """Turn `value` into something that the json module can write.

    Args:
      value: a value of the kinds at the top of this module.
      step: the full name of the step that it comes from, for the error.
      key: its key in the context, for the error.

    Raises:
      CheckpointError: a part of `value` can't be written.
    """
    try:
        tree = _Writer().write(value)
        if is_object(tree) and tree.get(_TAG) == "graph":
            _read(tree, {})  # only reading it shows whether an exception is part of itself
    except ProblemError as problem:
        raise CheckpointError(str(problem), step, key) from problem.__cause__
    return tree


def decode(
    tree: JSON, *, step: str | None = None, key: str | None = None, known: dict[str, object] | None = None
) -> object:
    """Return the value that `encode` turned into `tree`.

    Args:
      tree: what `encode` returned.
      step: the full name of the step that it comes from, for the error.
      key: its key in the context, for the error.
      known: values that were read before, by their text, to reuse where the text is the same. New ones are added.

    Raises:
      CheckpointError: `tree` is malformed, or names a class that does not exist.
    """
    try:
        return _read(tree, {} if known is None else known)
    except ProblemError as problem:
        raise CheckpointError(str(problem), step, key) from problem.__cause__
    except Exception as error:
        raise CheckpointError(f"the text is damaged: {described(error)}", step, key) from error


def _read(tree: JSON, known: dict[str, object]) -> object:
    if is_object(tree) and tree.get(_TAG) == "graph":
        return _Reader(tree["nodes"], known).read(tree["root"])
    return _Reader([], known).read(tree)
