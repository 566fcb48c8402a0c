"""Signatures and annotations, readable even if the names in an annotation do not exist at run time.

Since Python 3.14 annotations are code that runs on demand. Names imported under ``if TYPE_CHECKING:`` are then missing,
and a naive ``inspect.signature(fn)`` raises NameError for a function that works. Here a `ForwardRef` stands for each
missing name. If the code raises anything else, the annotations are read as text.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

if sys.version_info < (3, 14):

    def signature(fn: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature:
        """Return the signature of `fn`.

        Raises:
          TypeError: it can't be called.
          ValueError: it has no signature.
        """
        return inspect.signature(fn, follow_wrapped=follow_wrapped)

    def annotations_in(kind: type) -> Mapping[str, object]:
        """Return the annotations of a class, without those that it inherits."""
        return inspect.get_annotations(kind)


if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    def signature(fn: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature:
        with suppress(Exception):  # an error of the signature itself comes again below
            return inspect.signature(fn, follow_wrapped=follow_wrapped, annotation_format=Format.FORWARDREF)
        return inspect.signature(fn, follow_wrapped=follow_wrapped, annotation_format=Format.STRING)

    def annotations_in(kind: type) -> Mapping[str, object]:
        with suppress(Exception):
            return get_annotations(kind, format=Format.FORWARDREF)
        return get_annotations(kind, format=Format.STRING)
