"""Classes whose instances are written and read, and helpers to do so."""

from __future__ import annotations

import enum
import json

from trio_steps._values.codec import decode, encode


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class OwnRight(enum.Flag):
    """Flags that are combined by code of their own."""

    READ = 1
    WRITE = 2

    @classmethod
    def _missing_(cls, value):
        return super()._missing_(value)


class Number(int):
    """An int of a class of its own."""


class NumberRight(Number, enum.Flag):
    READ = 1
    WRITE = 2


class Mode(enum.IntFlag, boundary=enum.EJECT):
    R = 4
    W = 2


class PaymentError(Exception):
    def __init__(self, code, *, retry):
        super().__init__(f"payment failed: {code}")
        self.code = code
        self.retry = retry


class GroupOfTwo(ExceptionGroup):
    def __new__(cls, first, second):
        return super().__new__(cls, "two", (first, second))

    def __init__(self, first, second):
        if first.args:  # otherwise the args stay those of __new__
            super().__init__(first, second)


def with_attribute(value):
    value.extra = 1
    return value


def round_trip(value):
    """Write a value as text, and return what is read back."""
    return decode(json.loads(json.dumps(encode(value))))


# Exceptions


def state(error):
    return type(error), error.args, str(error), repr(error), vars(error)
