"""Classes whose instances are written and read, and what it takes to write and read them."""

from __future__ import annotations

import enum
import json

from trio_steps._values.codec import decode, encode


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class PaymentError(Exception):
    def __init__(self, code, *, retry):
        super().__init__(f"payment failed: {code}")
        self.code = code
        self.retry = retry


class GroupOfTwo(ExceptionGroup):
    def __new__(cls, first, second):
        return super().__new__(cls, "two", (first, second))

    def __init__(self, first, second):
        if first.args:  # else the args stay those of __new__
            super().__init__(first, second)


def with_attribute(value):
    value.extra = 1
    return value


def round_trip(value):
    """Return what comes back of a value after it was text."""
    return decode(json.loads(json.dumps(encode(value))))


# Exceptions


def state(error):
    return type(error), error.args, str(error), repr(error), vars(error)
