"""Checkpoints: the journal of a run up to one moment, and the JSON it is written as. Pure and synchronous.

A run keeps one append-only list of `Entry`s, the journal; a `Checkpoint` is that list and a length. So it costs nothing
until it is used, and shows the moment it was made at. A run is resumed by taking the entries as done:

    inputs      what the run began with, in `changes`; always the first entry
    done        the step ended, and put `changes` into the context of the pipeline it is in. For a member of
                a parallel step these are its output, not merged yet, and a patch if `is_patch`
    skipped     the step did not run, or what went wrong in it is forgiven; its condition is not asked again
    rejected    a member of a parallel step failed with `error`, and the step went on
    taken       the branch took the case named `case`, which is not asked again
    transform   the step replaced the context of the pipeline it is in by `changes`

A value is written as JSON that shows what it is; what JSON has no word for stands in an object with the key ``"$"``.
It comes back by its exact type, aliasing, cycles and any depth included. What can be held:

- None, bool, int, float, complex, str, bytes, bytearray, range, slice, ``...``
- list, dict, set, frozenset, tuple, array, deque, OrderedDict, Counter, ChainMap, MappingProxyType, and defaultdict
  with the type of another of these as its factory; exact types, with what can be held inside
- date, time, datetime, timedelta, timezone, ZoneInfo, Decimal, UUID, paths
- members of an Enum, by name
- Fulfilled and Rejected, and any Exception with its args, attributes and notes, not its traceback, cause and context

Anything else is an error that names the step and the key. Instances of other classes, attrs and dataclasses too, are
not held: to rebuild one is to run its code on what a text says, or to go round its ``__init__``. A codec may do so.

The text may be damaged or hostile. It is checked, and to read it imports nothing and calls nothing but the constructors
in this module: an Enum or an exception is looked up among the modules that are imported already, and an exception is
built by the builtin class it derives from.
"""

from __future__ import annotations

import builtins
import json
import sys
import zlib
from array import array
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import isfinite
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import MappingProxyType, MemberDescriptorType, ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, TypeGuard, cast, final, get_args
from uuid import UUID, SafeUUID

import attrs

from ._context import beneath, described, equal
from ._errors import CheckpointError, listed
from ._results import Fulfilled, Rejected

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

JSON: TypeAlias = Any  # what json.loads can return; to say so recursively tells a checker no more

_FORMAT: Final = 1
_TAG: Final = "$"
_LEVELS: Final = 40  # of nesting; what is deeper is written apart, since the json module recurses
_BITS: Final = 2_000  # of an int that Python surely writes and reads in decimal, whatever its limit is set to


class _ProblemError(Exception):
    """A value can't be written or read; where it stands is for the caller to say."""


# Classes, found by name


def _type_of(value: object) -> type[Any]:
    return type(value)


def _namespace(owner: object) -> Mapping[str, Any]:
    """Return the ``__dict__`` of a module or class, and run no code of its own: a lazy module would import itself."""
    for kind in (type, ModuleType):
        if issubclass(type(owner), kind):
            return cast("Mapping[str, Any]", cast("Any", kind).__getattribute__(owner, "__dict__"))
    raise _ProblemError(f"{described(owner)} is no module and no class")


def _class_named(name: str) -> type[Any]:
    module, _, path = name.partition(":")
    found: object = sys.modules.get(module)
    if found is None:
        raise _ProblemError(f"the class {name!r} can't be found: the module {module!r} is not imported")
    for part in path.split("."):
        found = _namespace(found).get(part)
        if found is None or not issubclass(type(found), type):
            raise _ProblemError(f"the class {name!r} can't be found: there is no class {part!r}")
    return cast("type[Any]", found)


def _name_of(kind: type[Any]) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    if "<locals>" in name or _class_named(name) is not kind:
        raise _ProblemError(f"the class {name!r} can't be found again by this name; define it at the top of a module")
    return name


def _members(kind: type[Any]) -> Mapping[str, object]:
    return cast("Mapping[str, object]", _namespace(kind)["_member_map_"])


def _enum_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    kind = _type_of(value)
    name = value._name_  # `name` can be a member
    if name not in _members(kind):
        raise _ProblemError(f"{described(value)} is no member with a name")
    return _name_of(kind), (name,)


def _enum_make(head: JSON, parts: list[Any]) -> object:
    return _members(_class_named(head))[parts[0]]


# Exceptions

# The classes that an exception is built by: code of nobody's. By id, for the same reason as in _context.
_BUILDERS: Final = {
    id(kind) for kind in vars(builtins).values() if isinstance(kind, type) and issubclass(kind, Exception)
}
if sys.version_info < (3, 11):
    _BUILDERS.update((id(BaseExceptionGroup), id(ExceptionGroup)))

_instance_dict: Final[Callable[[object], dict[str, object]]] = vars(BaseException)["__dict__"].__get__
_set_args: Final[Callable[[object, object], None]] = vars(BaseException)["args"].__set__


def _slots(kind: type[Any]) -> dict[str, MemberDescriptorType]:
    """Return the attributes that instances of `kind` hold in slots, C's or Python's."""
    slots = {
        name: member
        for owner in reversed(kind.__mro__)
        for name, member in _namespace(owner).items()
        if type(member) is MemberDescriptorType and not name.startswith("__")
    }
    # what an AttributeError was raised for is there to guess what was meant, and can be anything
    if issubclass(kind, AttributeError):
        slots.pop("obj")
    return slots


def _state(error: Exception) -> dict[str, object]:
    state: dict[str, object] = {}
    for name, member in _slots(type(error)).items():
        with suppress(AttributeError):  # it is empty
            state[name] = member.__get__(error)
    state.update(_instance_dict(error))
    return state


def _build(kind: type[Exception], args: Sequence[object]) -> Exception:
    """Build an exception as the nearest builtin class does, without the code of `kind`."""
    for owner in kind.__mro__:
        # what runs when nobody calls it: when the exception is let go, or is the key of a dict
        if owner is not object and ("__del__" in _namespace(owner) or _namespace(owner).get("__hash__") is not None):
            raise _ProblemError(f"{kind.__qualname__} has a __del__ or __hash__ of its own")
    builder: Any = next((owner for owner in kind.__mro__ if id(owner) in _BUILDERS), None)
    if builder is None:
        raise _ProblemError(f"{kind.__qualname__} is no Exception")
    error = builder.__new__(kind, *args)
    builder.__init__(error, *args)
    return cast("Exception", error)


def _error_apart(error: Exception) -> tuple[JSON, Sequence[object]]:
    kind = type(error)
    name = _name_of(kind)
    args: tuple[object, ...] = error.args
    is_list = False
    if isinstance(error, BaseExceptionGroup):  # its args may hold the list that it was made from
        group = cast("BaseExceptionGroup[Any]", error)
        is_list = len(args) == 2 and type(args[1]) is list
        args = (group.message, group.exceptions)
    try:
        twin = _build(kind, args)
    except _ProblemError:
        raise
    except Exception as problem:
        raise _ProblemError(f"{described(error)} can't be built again from its args") from problem
    if is_list:
        _set_args(twin, (args[0], list(cast("tuple[object, ...]", args[1]))))
    state, plain = _state(error), _state(twin)
    if type(twin) is not kind or not equal(twin.args, error.args) or not plain.keys() <= state.keys():
        raise _ProblemError(f"{described(error)} does not come back the same from its args")
    changed = {name: value for name, value in state.items() if name not in plain or not equal(value, plain[name])}
    return [name, len(args), is_list], [*args, *_items(changed)]


def _error_make(head: JSON, parts: list[Any]) -> object:
    name, count, is_list = head
    kind = _class_named(name)
    error = _build(kind, parts[:count])
    if is_list:
        _set_args(error, (parts[0], list(parts[1])))
    slots = _slots(kind)
    for name, value in zip(parts[count::2], parts[count + 1 :: 2]):  # noqa: B905 - the text may be damaged
        if name in slots:
            slots[name].__set__(error, value)
        else:
            _instance_dict(error)[name] = value
    return error


# How each type is taken apart and put together


class _Form:
    """How a type is written.

    It is taken apart into a head, which is JSON, and parts, which are values. What can change is made of the head
    alone, and filled with the parts later, so that it can hold itself; all else is made of both. The parts of a leaf
    hold nothing that could be shared.
    """

    __slots__ = ("apart", "fill", "leaf", "make", "tag")

    def __init__(
        self,
        tag: str,
        apart: Callable[[Any], tuple[JSON, Sequence[object]]],
        make: Callable[[Any, list[Any]], object],
        fill: Callable[[Any, list[Any]], object] | None = None,
        *,
        leaf: bool = False,
    ) -> None:
        self.tag = tag
        self.apart = apart
        self.make = make
        self.fill = fill
        self.leaf = leaf


def _items(value: Mapping[Any, Any]) -> list[object]:
    """Return keys and values in turn."""
    return [part for item in value.items() for part in item]


def _enter(value: dict[Any, Any], parts: list[Any]) -> None:
    for key, part in zip(parts[::2], parts[1::2]):  # noqa: B905 - the text may be damaged
        value[key] = part  # noqa: PERF403 - a Counter's update counts


def _no_parts(_value: object, _parts: list[Any]) -> None:
    """Fill what has no parts: it can change all the same, so it matters where else it stands."""


def _bare_items(value: Mapping[Any, Any]) -> tuple[JSON, Sequence[object]]:
    if vars(value):
        raise _ProblemError(f"a {type(value).__qualname__} has attributes of its own ({listed(vars(value))})")
    return None, _items(value)


def _chain_apart(value: ChainMap[Any, Any]) -> tuple[JSON, Sequence[object]]:
    if len(vars(value)) != 1:
        raise _ProblemError(f"a ChainMap has attributes of its own ({listed(vars(value))})")
    return None, (value.maps,)


def _chain_fill(value: ChainMap[Any, Any], parts: list[Any]) -> None:
    (value.maps,) = parts


_FACTORIES: Final[dict[str, Callable[[], Any] | None]] = {
    "None": None,
    **{
        factory.__name__: factory
        for factory in (
            *(bool, bytearray, bytes, complex, dict, float, frozenset, int, list, set, str, tuple),
            *(deque, Counter, OrderedDict),
        )
    },
}


def _defaultdict_apart(value: defaultdict[Any, Any]) -> tuple[JSON, Sequence[object]]:
    for name, factory in _FACTORIES.items():
        if factory is value.default_factory:
            return name, _items(value)
    raise _ProblemError(f"a defaultdict has the factory {described(value.default_factory)}")


def _array_make(head: JSON, _parts: list[Any]) -> object:
    return cast("Callable[[str], array[Any]]", array)(head)  # type checkers warn of one of its typecodes


def _array_fill(value: array[Any], parts: list[Any]) -> None:
    value.fromlist(parts)


def _three(value: Any) -> tuple[JSON, Sequence[object]]:
    return None, (value.start, value.stop, value.step)


def _time_apart(value: datetime | time) -> tuple[JSON, Sequence[object]]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold], (value.tzinfo,)


def _datetime_apart(value: datetime) -> tuple[JSON, Sequence[object]]:
    head, parts = _time_apart(value)
    return [value.year, value.month, value.day, *head], parts


def _datetime_make(head: JSON, parts: list[Any]) -> object:
    return datetime(*head[:7], *parts, fold=head[7])  # noqa: DTZ001 - its time zone, or None, is the one part


def _timezone_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    return None, value.__getinitargs__()  # what it is pickled by; a name that it was not given is none


def _zone_apart(value: Any) -> tuple[JSON, Sequence[object]]:
    if value.key is None:
        raise _ProblemError(f"{described(value)} has no key")
    return None, (value.key,)


def _zone_make(_head: JSON, parts: list[Any]) -> object:
    zone = _zone_info()
    if zone is None:
        raise _ProblemError("a ZoneInfo can't be made: the module 'zoneinfo' is not imported")
    return zone(*parts)


def _zone_info() -> type[Any] | None:
    # to import it takes longer than all of trio_steps; who has a ZoneInfo has done so
    return cast("type[Any] | None", getattr(sys.modules.get("zoneinfo"), "ZoneInfo", None))


def _path(kind: type[PurePosixPath | PureWindowsPath]) -> _Form:
    return _Form(kind.__name__, lambda value: (None, (str(value),)), lambda _, parts: kind(*parts), leaf=True)


_LIST: Final = _Form("list", lambda value: (None, value), lambda _head, _parts: [], list[Any].extend)
_DICT: Final = _Form("dict", lambda value: (None, _items(value)), lambda _head, _parts: {}, _enter)
_INT: Final = _Form("int", lambda value: (hex(value), ()), lambda head, _: int(head, 16))
_FLOAT: Final = _Form("float", lambda value: (repr(value), ()), lambda head, _: float(head))
_STR: Final = _Form(
    "str",
    lambda value: (value.encode("utf-8", "surrogatepass").hex(), ()),
    lambda head, _: bytes.fromhex(head).decode("utf-8", "surrogatepass"),
)
_ENUM: Final = _Form("enum", _enum_apart, _enum_make, leaf=True)
_ERROR: Final = _Form("error", _error_apart, _error_make)
_ZONE: Final = _Form("zone", _zone_apart, _zone_make, leaf=True)

_FORMS: Final[dict[int, _Form]] = {
    id(list): _LIST,
    id(dict): _DICT,
    id(tuple): _Form("tuple", lambda value: (None, value), lambda _, parts: tuple(parts)),
    id(set): _Form("set", lambda value: (None, list(value)), lambda _head, _parts: set[Any](), set[Any].update),
    id(frozenset): _Form("frozenset", lambda value: (None, list(value)), lambda _, parts: frozenset(parts)),
    id(bytes): _Form("bytes", lambda value: (value.hex(), ()), lambda head, _: bytes.fromhex(head)),
    id(bytearray): _Form(
        "bytearray", lambda value: (value.hex(), ()), lambda head, _: bytearray.fromhex(head), _no_parts
    ),
    id(array): _Form("array", lambda value: (value.typecode, value.tolist()), _array_make, _array_fill),
    id(deque): _Form(
        "deque", lambda value: (value.maxlen, list(value)), lambda head, _: deque[Any](maxlen=head), deque[Any].extend
    ),
    id(OrderedDict): _Form("OrderedDict", _bare_items, lambda _head, _parts: OrderedDict[Any, Any](), _enter),
    id(Counter): _Form("Counter", _bare_items, lambda _head, _parts: Counter[Any](), _enter),
    id(defaultdict): _Form(
        "defaultdict", _defaultdict_apart, lambda head, _: defaultdict[Any, Any](_FACTORIES[head]), _enter
    ),
    id(ChainMap): _Form("ChainMap", _chain_apart, lambda _head, _parts: ChainMap[Any, Any](), _chain_fill),
    id(MappingProxyType): _Form(
        "mappingproxy", lambda value: (None, (beneath(value),)), lambda _, parts: MappingProxyType(*parts)
    ),
    id(Fulfilled): _Form(
        "fulfilled", lambda value: (None, (value.step_id, value.value)), lambda _, parts: Fulfilled(*parts)
    ),
    id(Rejected): _Form(
        "rejected", lambda value: (None, (value.step_id, value.error)), lambda _, parts: Rejected(*parts)
    ),
    id(type(...)): _Form("ellipsis", lambda _: (None, ()), lambda _head, _parts: ...),
    id(complex): _Form(
        "complex", lambda value: (None, (value.real, value.imag)), lambda _, parts: complex(*parts), leaf=True
    ),
    id(range): _Form("range", _three, lambda _, parts: range(*parts), leaf=True),
    id(slice): _Form("slice", _three, lambda _, parts: slice(*parts)),
    id(date): _Form("date", lambda value: ([value.year, value.month, value.day], ()), lambda head, _: date(*head)),
    id(time): _Form("time", _time_apart, lambda head, parts: time(*head[:4], *parts, fold=head[4]), leaf=True),
    id(datetime): _Form("datetime", _datetime_apart, _datetime_make, leaf=True),
    id(timedelta): _Form(
        "timedelta",
        lambda value: ([value.days, value.seconds, value.microseconds], ()),
        lambda head, _: timedelta(*head),
    ),
    id(timezone): _Form("timezone", _timezone_apart, lambda _, parts: timezone(*parts), leaf=True),
    id(Decimal): _Form("Decimal", lambda value: (str(value), ()), lambda head, _: Decimal(head)),
    id(UUID): _Form(
        "UUID",
        lambda value: ([value.hex, value.is_safe.name], ()),
        lambda head, _: UUID(head[0], is_safe=SafeUUID[head[1]]),
    ),
    **{id(kind): _path(kind) for kind in (PosixPath, PurePosixPath, PureWindowsPath, WindowsPath)},
}
_BY_TAG: Final = {form.tag: form for form in (*_FORMS.values(), _INT, _FLOAT, _STR, _ENUM, _ERROR, _ZONE)}

_NONE: Final = id(type(None))
_BOOL: Final = id(bool)


def _form_of(value: Any) -> _Form | None:
    """Return how `value` is written; None if JSON has a word for it."""
    kind = _type_of(value)
    if kind is str:
        return None if _is_plain(value) else _STR
    if kind is int:
        return None if value.bit_length() <= _BITS else _INT
    if kind is float:
        return None if isfinite(value) else _FLOAT
    if id(kind) in (_NONE, _BOOL):
        return None
    form = _FORMS.get(id(kind))
    if form is not None:
        return form
    if issubclass(kind, Enum):
        return _ENUM
    if issubclass(kind, Exception):
        return _ERROR
    if kind is _zone_info():
        return _ZONE
    raise _ProblemError(f"{described(value)} can't be held in a checkpoint; codec=… can be told how")


def _is_plain(text: str) -> bool:
    """Tell whether JSON gives `text` back; of two lone surrogates it makes one character."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Values


class _Writer:
    """Writes one value: first it looks for what stands in more than one place or too deep, which is written apart."""

    __slots__ = ("_apart", "_known", "_nodes", "_refs", "_todo")

    def __init__(self) -> None:
        self._known: dict[int, tuple[_Form, JSON, Sequence[object]]] = {}  # this keeps what an id stands for alive
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
            form = _form_of(value)
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
        form = _form_of(value)
        if form is None:
            return value
        key = id(value)
        if key not in self._apart:
            return self._expand(*(self._known[key] if key in self._known else (form, *form.apart(value))))
        if key not in self._refs:
            self._refs[key] = len(self._nodes)
            self._nodes.append(self._expand(*self._known[key]))
        return {_TAG: "ref", "to": self._refs[key]}

    def _expand(self, form: _Form, head: JSON, parts: Sequence[object]) -> JSON:
        node: JSON
        if form is _LIST:
            node = []
            self._todo.append((parts, node))
        elif form is _DICT and all(type(key) is str and key != _TAG and _is_plain(key) for key in parts[::2]):
            node = {}
            self._todo.append((parts, node))
        else:
            node = {_TAG: form.tag}
            if head is not None:
                node["is"] = head
            if parts:
                node["of"] = inner = list[JSON]()
                self._todo.append((parts, inner))
        return node


class _Frame:
    """Something that is being read, and waits for its parts."""

    __slots__ = ("form", "head", "parts", "ref", "rest")

    def __init__(self, form: _Form, head: JSON, rest: Iterator[JSON], ref: int | None) -> None:
        self.form = form
        self.head = head
        self.rest = rest
        self.ref = ref
        self.parts: list[object] = []


class _Reader:
    """Reads one value; what can change is made at once and filled later, like in a copy."""

    __slots__ = ("_built", "_nodes", "_open", "_pending")

    def __init__(self, nodes: list[JSON]) -> None:
        self._nodes = nodes
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
                    value = frame.form.make(frame.head, frame.parts)
                    frames.pop()
                    if frame.ref is not None:
                        self._built[frame.ref] = value
                        self._open.remove(frame.ref)
                else:
                    break
            else:
                return value

    def _begin(self, node: JSON, frames: list[_Frame]) -> object:
        """Return the value of `node`, or a new frame, entered in `frames`, if it has to wait for its parts."""
        ref: int | None = None
        if _is_object(node) and node.get(_TAG) == "ref":
            ref = cast("int", node["to"])
            if type(ref) is not int or ref < 0:
                raise _ProblemError(f"the text is damaged: it refers to {described(ref)}")
            if ref in self._built:
                return self._built[ref]
            if ref in self._open:
                raise _ProblemError("something is part of itself in a way that can't be built")
            node = self._nodes[ref]
        if _is_list(node):
            value: object = []
            self._pending.append((list[Any].extend, value, node))
        elif not _is_object(node):
            value = node
        elif _TAG not in node:
            value = {}
            self._pending.append((_enter, value, cast("list[JSON]", _items(node))))
        else:
            form = _BY_TAG[node[_TAG]]
            head, parts = node.get("is"), node.get("of", [])
            if form.fill is None and parts:
                if ref is not None:
                    self._open.add(ref)
                frames.append(_Frame(form, head, iter(parts), ref))
                return frames[-1]
            value = form.make(head, [])
            if form.fill is not None:
                self._pending.append((form.fill, value, parts))
        if ref is not None:
            self._built[ref] = value
        return value


def _is_list(node: JSON) -> TypeGuard[list[JSON]]:
    return type(node) is list


def _is_object(node: JSON) -> TypeGuard[dict[str, JSON]]:
    return type(node) is dict


def encode(value: object, *, step: str | None = None, key: str | None = None) -> JSON:
    """Return `value` as something that the json module can write.

    Args:
      value: see the top of the module for what can be held.
      step: the full name of the step it comes from, for the error.
      key: the key it has in the context, for the error.

    Raises:
      CheckpointError: there is something in `value` that can't be held.
    """
    try:
        tree = _Writer().write(value)
        if _is_object(tree) and tree.get(_TAG) == "graph":
            _read(tree)  # the one thing that only shows when it is read: an exception that is part of itself
    except _ProblemError as problem:
        raise CheckpointError(str(problem), step, key) from problem.__cause__
    return tree


def decode(tree: JSON, *, step: str | None = None, key: str | None = None) -> object:
    """Return the value that `encode` made `tree` of.

    Raises:
      CheckpointError: `tree` makes no sense, or names a class that is not there.
    """
    try:
        return _read(tree)
    except _ProblemError as problem:
        raise CheckpointError(str(problem), step, key) from problem.__cause__
    except Exception as error:
        raise CheckpointError(f"the text is damaged: {described(error)}", step, key) from error


def _read(tree: JSON) -> object:
    if _is_object(tree) and tree.get(_TAG) == "graph":
        return _Reader(tree["nodes"]).read(tree["root"])
    return _Reader([]).read(tree)


# Checkpoints


class Codec(Protocol):
    """Writes the values of a checkpoint in another way; the json module itself is one, and jsonpickle.

    An error of either is reported as a `CheckpointError` that names step and key.
    """

    def dumps(self, value: Any, /) -> str:
        """Return `value` as text."""
        ...

    def loads(self, text: str, /) -> Any:
        """Return the value that `text` was made of."""
        ...


EntryKind: TypeAlias = Literal["inputs", "done", "skipped", "rejected", "taken", "transform"]
"""What happened to a step: see the top of the module."""

_KINDS: Final[dict[str, EntryKind]] = {kind: kind for kind in get_args(EntryKind)}


@final
@attrs.frozen(kw_only=True, eq=False)
class Entry:
    """One thing that happened in a run and will not happen again when it is resumed.

    Attributes:
      kind: what happened.
      step: the full name of the step; empty for the inputs.
      changes: the keys that the step set, and their values; nobody changes these any more.
      sources: where the values came from, for keys whose source is not the step itself.
      is_patch: `changes` come from a nested pipeline or a branch and are still to be merged.
      case: the name of the case that a branch took.
      error: what a member of a parallel step failed with.
    """

    kind: EntryKind
    step: str = ""
    changes: Mapping[str, object] = attrs.field(factory=dict[str, object])
    sources: Mapping[str, str] = attrs.field(factory=dict[str, str])
    is_patch: bool = False
    case: str | None = None
    error: Exception | None = None


@final
@attrs.frozen(eq=False, repr=False)
class Checkpoint:
    """A run up to one moment, to be resumed from there, also by another process.

    Attributes:
      pipeline: the name of the pipeline.
      steps: the full names of its steps, in the order in which they were built, each before the steps inside it.
      codec: how the values are written; None for the JSON described at the top of this module.
    """

    pipeline: str
    steps: tuple[str, ...]
    _journal: Sequence[Entry]
    _length: int
    codec: Codec | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What had happened up to the moment of the checkpoint."""
        return tuple(self._journal[: self._length])

    def __repr__(self) -> str:
        return f"<Checkpoint of {self.pipeline!r} after {self._journal[self._length - 1].step or 'the inputs'!r}>"

    def to_json(self) -> str:
        """Return the checkpoint as text, all of it ASCII.

        Raises:
          CheckpointError: there is a value that can't be held; it names step and key.
        """
        body = {
            "format": _FORMAT,
            "pipeline": _text(self.pipeline),
            "steps": list(map(_text, self.steps)),
            "codec": self.codec is not None,
            "journal": [_write_entry(entry, self.codec) for entry in self.entries],
        }
        return json.dumps({**body, "checksum": _checksum(body)})

    @classmethod
    def from_json(cls, text: str, *, codec: Codec | None = None) -> Checkpoint:
        """Return the checkpoint that `text` was made of.

        Args:
          text: what `to_json` returned.
          codec: the one that the checkpoint was written with, if there was one.

        Raises:
          CheckpointError: `text` is no checkpoint, or damaged, or holds something that is not there any more.
        """
        body = _load(text)
        if body["codec"] is not (codec is not None):
            raise CheckpointError(
                "the checkpoint was written with a codec: pass codec=…"
                if body["codec"]
                else "the checkpoint was written without a codec: leave out codec=…"
            )
        journal = [_read_entry(entry, codec) for entry in body["journal"]]
        return cls(body["pipeline"], tuple(body["steps"]), journal, len(journal), codec)

    def check(self, pipeline: str, steps: Sequence[str]) -> None:
        """Refuse to be resumed by another pipeline, or by one that changed up to the point of resumption.

        Args:
          pipeline: the name of the pipeline.
          steps: the full names of its steps, like `self.steps`.

        Raises:
          CheckpointError: it says what has changed.
        """
        if pipeline != self.pipeline:
            raise CheckpointError(f"the checkpoint is of the pipeline {self.pipeline!r}, not of {pipeline!r}")
        numbers = {name: number for number, name in enumerate(self.steps)}
        reached = -1
        for entry in self.entries:
            if entry.kind != "inputs":
                if entry.step not in numbers:
                    raise CheckpointError("the checkpoint tells of a step that its pipeline did not have", entry.step)
                reached = max(reached, numbers[entry.step])
        there = set(steps)
        for number, name in enumerate(self.steps[: reached + 1]):
            if name not in there:
                raise CheckpointError(
                    "the checkpoint is past this step, but the pipeline doesn't have it: is it renamed or removed?",
                    name,
                )
            if steps[number] != name:
                inserted = steps[number] not in numbers
                raise CheckpointError(
                    f"the step was {'inserted' if inserted else 'moved'} before {name!r}, which the checkpoint is past",
                    steps[number],
                )


def _checksum(body: JSON) -> int:
    return zlib.crc32(json.dumps(body).encode())


def _text(name: str) -> str:
    if not _is_plain(name):
        raise CheckpointError(f"the name {name!r} can't be held: it has half a character in it")
    return name


def _write_entry(entry: Entry, codec: Codec | None) -> JSON:
    step = _text(entry.step)
    written: dict[str, JSON] = {
        "kind": entry.kind,
        "step": step,
        "changes": {_text(key): _write_value(value, codec, step, key) for key, value in entry.changes.items()},
    }
    if entry.sources:
        written["sources"] = {_text(key): _text(source) for key, source in entry.sources.items()}
    if entry.is_patch:
        written["is_patch"] = True
    if entry.case is not None:
        written["case"] = _text(entry.case)
    if entry.error is not None:
        written["error"] = _write_value(entry.error, codec, step, None)
    return written


def _write_value(value: object, codec: Codec | None, step: str, key: str | None) -> JSON:
    if codec is None:
        return encode(value, step=step, key=key)
    try:
        text: object = codec.dumps(value)
    except Exception as error:
        raise CheckpointError(f"the codec can't write {described(value)}: {described(error)}", step, key) from error
    if type(text) is not str or not _is_plain(text):
        raise CheckpointError(f"the codec has to write text, not {described(text)}", step, key)
    return text


def _load(text: str) -> dict[str, JSON]:
    """Return the body of a checkpoint that is what it was when it was written."""
    try:
        body: JSON = json.loads(text)
        checksum = body.pop("checksum", None) if _is_object(body) else None
        is_whole = checksum == _checksum(body)
    except Exception as error:
        raise CheckpointError(f"the text is damaged, or no checkpoint at all: {described(error)}") from error
    if not _is_object(body) or not isinstance(body.get("format"), int):
        raise CheckpointError("the text is no checkpoint")
    if body["format"] != _FORMAT:
        raise CheckpointError(f"the checkpoint has the format {body['format']}; this version reads {_FORMAT}")
    if not is_whole:
        raise CheckpointError("the text is damaged: its checksum is wrong")
    expected = {"pipeline": str, "steps": list, "codec": bool, "journal": list}
    if any(type(body.get(name)) is not kind for name, kind in expected.items()):
        raise CheckpointError("the text is damaged: it lacks what a checkpoint has")
    return body


def _read_entry(written: JSON, codec: Codec | None) -> Entry:
    try:
        step, kind = written["step"], written["kind"]
        return Entry(
            kind=_KINDS[kind],
            step=step,
            changes={key: _read_value(tree, codec, step, key) for key, tree in written["changes"].items()},
            sources=dict(written.get("sources", {})),
            is_patch=written.get("is_patch", False),
            case=written.get("case"),
            error=cast("Exception", _read_value(written["error"], codec, step, None)) if "error" in written else None,
        )
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"the text is damaged: {described(error)}") from error


def _read_value(tree: JSON, codec: Codec | None, step: str, key: str | None) -> object:
    if codec is None:
        return decode(tree, step=step, key=key)
    try:
        return codec.loads(tree)
    except Exception as error:
        raise CheckpointError(f"the codec can't read it: {described(error)}", step, key) from error
