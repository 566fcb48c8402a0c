"""The form of every type: scalars, containers, and each class that declares fields, once a value of it comes up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_steps._core.results import Rejected

from .containers import CONTAINERS
from .records import record_of
from .scalars import LATE, SCALARS, late_class

if TYPE_CHECKING:
    from .form import Form

UNSEEN: Final = object()
"""Stands for a type that has not come up yet: ``KINDS.get(id(kind), UNSEEN)``."""

# By the id of the type, because looking up a type itself would run the __hash__ of its metaclass, if it has one.
KINDS: Final[dict[int, Any]] = {id(kind): form for kind, form in (*SCALARS.items(), *CONTAINERS.items())}

_NEVER: Final = (frozenset, Rejected)

COPIED: Final[frozenset[type[Any]]] = frozenset(kind for kind in CONTAINERS if kind not in _NEVER)
"""Types whose values are copied, except for classes that declare their fields."""

PLAIN: Final[frozenset[type[Any]]] = frozenset({*SCALARS, *_NEVER})
"""Types whose values are never copied."""

UNCOPIED: Final = frozenset(map(id, PLAIN))
"""The ids of these types."""

MOST: Final = 1_000
"""The most classes that are known at once, because a form keeps its class alive, and a program may make many."""

_known: Final[dict[int, type[Any]]] = {}  # kept alive, so that no other class gets its id


def kind_of(kind: type[Any]) -> Form | None:
    """Return the form of values of `kind`; None if nothing is known about them."""
    key = id(kind)
    form: Form | None = KINDS.get(key, UNSEEN)
    if form is UNSEEN:
        form = record_of(kind)
        for (module, name), late in LATE.items():
            if kind is late_class(module, name):
                form = late

        if len(_known) == MOST:
            for old in list(_known):
                KINDS.pop(old, None)
            _known.clear()
        _known[key] = kind
        KINDS[key] = form
    return form
