"""How each value that a checkpoint can hold is written, and how it is read back."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from .classes import enum_apart, enum_make, error_apart, error_make
from .containers import CONTAINERS
from .described import described
from .form import Container, Form, ProblemError, class_of
from .kinds import kind_of
from .names import class_named
from .records import INSTANCE, NAMED_TUPLE, VALUE, fields_of
from .scalars import LATE, SCALARS, is_word

if TYPE_CHECKING:
    from .form import JSON

_ENUM: Final = Form("enum", enum_apart, enum_make, leaf=True)
_ERROR: Final = Form("error", error_apart, error_make)


def _record_form(head: JSON, tag: str) -> Container:
    """Return the form of the class in `head`, if it is still what it was when it was written."""
    kind = class_named(head[0])
    form = kind_of(kind)
    if not isinstance(form, Container) or form.tag != tag:
        raise ProblemError(f"{head[0]!r} is not a class whose instances can be built from their fields")
    fields = fields_of(kind) or ()
    if list(fields) != head[1]:
        raise ProblemError(
            f"{head[0]!r} has the fields {', '.join(fields)}; when this was written, they were {', '.join(head[1])}"
        )
    return form


def _fill_record(value: object, parts: list[Any]) -> None:
    form = kind_of(type(value))
    assert form is not None
    assert form.fill is not None
    form.fill(value, parts)


def _record(tag: str) -> Form:
    """Return the form by which instances of any class are read. For writing, each class has its own form."""
    return Form(
        tag,
        lambda value: (value, ()),
        lambda head, parts: _record_form(head, tag).make(head, parts),
        _fill_record if tag == INSTANCE else None,
    )


BY_TAG: Final = {
    form.tag: form
    for form in (
        *(form for form in SCALARS.values() if form is not None),
        *CONTAINERS.values(),
        *LATE.values(),
        *map(_record, (INSTANCE, VALUE, NAMED_TUPLE)),
        _ENUM,
        _ERROR,
    )
}


def form_of(value: Any) -> Form | None:
    """Return the form of `value`; None if JSON has such values.

    Raises:
      ProblemError: it can't be written.
    """
    kind = class_of(value)
    if (kind is str or kind is int or kind is float) and is_word(value):
        return None
    form = kind_of(kind)
    if form is not None:
        return form
    if value is None or kind is bool:
        return None
    if issubclass(kind, Enum):
        return _ENUM
    if issubclass(kind, Exception):
        return _ERROR
    raise ProblemError(f"{described(value)} can't be held in a checkpoint; give a codec=… for it")
