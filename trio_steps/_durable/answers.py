"""Answers to the questions of a run: which step an answer is for, whether it has the right type, and how it is written.

A process that has not even imported the pipeline can give an answer. So the questions of the pipeline are kept with the
run, and an answer is checked by the exact names of its types: neither 1 nor "true" is an answer to a yes-or-no
question.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trio_steps._core.errors import CheckpointError, listed
from trio_steps._values.codec import decode, encode
from trio_steps._values.described import described
from trio_steps._values.equality import equal

from .protocol import AnswerError

if TYPE_CHECKING:
    from .protocol import Question, StoredRun

_OVER = ("finished",)


def type_name(kind: type) -> str:
    """Return the name of a type for answers."""
    return f"{kind.__module__}:{kind.__qualname__}"


def answer_texts(stored: StoredRun, answers: Mapping[str, object]) -> dict[str, str]:
    """Return `answers` as texts, by the full names of the steps that they are for.

    Args:
      stored: the run.
      answers: by the full name of a step, or by the key that it provides if only one step asks for that.

    Raises:
      AnswerError: no step asks for one of them, or for a value of its type; or the run is over.
    """
    texts: dict[str, str] = {}
    if not isinstance(answers, Mapping) or not all(isinstance(given, str) for given in answers):
        raise AnswerError(f'answers={described(answers)}: give a mapping of names, such as {{"approved": True}}')
    for given, value in answers.items():
        name, question = _asked(stored, given)
        text = answer_text(question, name, value)
        before = texts.get(name, stored.answers.get(name))
        if before is not None and _says(before, value):
            text = before
        if texts.setdefault(name, text) != text:
            raise AnswerError(f"there are two answers to {name!r}, {given!r} is one of them")
        if stored.record.status in _OVER and name not in stored.answers:
            raise AnswerError(f"the run {stored.record.run_id!r} is over; it asks for nothing any more")
    return texts


def answer_text(question: Question, name: str, value: object) -> str:
    """Return an answer to the step `name`, which asks `question`, as text.

    Raises:
      AnswerError: it asks for a value of another type.
    """
    if question.of and type_name(type(value)) not in question.of:
        raise AnswerError(f"{name!r} asks for {_types(question)}, not for {described(value)}")
    try:
        return json.dumps(encode(value))
    except CheckpointError as error:
        raise AnswerError(f"the answer to {name!r} can't be kept: {error.problem}") from error


def is_asked_by(name: str, question: Question) -> bool:
    """Tell whether the step `name` of a run is the one that asks `question`, or one of those."""
    return re.fullmatch(re.escape(question.name).replace(r"\*", "[^/]+"), name) is not None


def answer_of(text: str) -> object:
    """Return the answer that was written as `text`.

    Raises:
      CheckpointError: the text is damaged.
    """
    try:
        tree: object = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"the text of an answer is damaged: {error}") from error
    return decode(tree)


def _says(text: str, value: object) -> bool:
    """Tell whether `text` is an answer that equals `value`: equal dicts and sets may be written in another order."""
    try:
        return equal(answer_of(text), value)
    except CheckpointError:  # for example, its class is not imported here
        return False


def _asked(stored: StoredRun, given: str) -> tuple[str, Question]:
    for question in stored.questions:
        if is_asked_by(given, question):
            return given, question
    by_key = [question for question in stored.questions if question.provides == given]
    waiting = [(name, question) for question in by_key for name in stored.record.waiting if is_asked_by(name, question)]
    found = waiting or [(question.name, question) for question in by_key if "*" not in question.name]
    match found:
        case [only]:
            return only
        case []:
            names = [question.name for question in stored.questions]
            what = f"asks for {listed(names)}" if names else "asks for nothing"
            raise AnswerError(f"no step of the run {stored.record.run_id!r} asks for {given!r}; it {what}")
        case _:
            raise AnswerError(
                f"more than one step of the run {stored.record.run_id!r} asks for {given!r}; give the full name of "
                f"one: {listed(name for name, _ in found)}"
            )


def _types(question: Question) -> str:
    names = [name.rpartition(":")[2] if name.startswith("builtins:") else name for name in question.of]
    return " or ".join(names)
