"""Checkpoints: the journal of a run up to one moment, and its JSON. Pure and synchronous.

A run keeps one append-only list of `Entry`s, the journal. A `Checkpoint` is that list and a length. So it costs nothing
until it is used, and shows the moment at which it was made. A run is resumed by taking the entries as done:

    inputs      what the run began with, in `changes`; always the first entry
    done        the step ended, and put `changes` into the context of the pipeline it is in. For a member of
                a parallel step these are its output, not merged yet, and a patch if `is_patch`
    skipped     the step did not run, or its failure was forgiven; its condition is not asked again
    rejected    a member of a parallel step failed with `error`, and the step went on
    begun       the condition of the step holds, and is not asked again
    passed      the case named `case` of the branch does not hold, and is not asked again
    round       the round numbered `case` of a repeat is done, and the rounds so far have put `changes` into the
                context that the next one sees; `answer` tells whether it was the last one
    taken       the branch took the case named `case`, which is not asked again
    transform   the step replaced the context of the pipeline it is in by `changes`
    lost        the step was done, and `error` says why its output could not be stored
    tried       `failed` attempts of the step have failed, and another one may begin

For how values are written, and which ones can be, see `_values.codec`. The text has a checksum, which is verified
before anything is read.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Final, final, get_args

import attrs

from trio_steps._core.errors import CheckpointError
from trio_steps._core.public import public
from trio_steps._pipeline.definition import ANY
from trio_steps._values.codec import decode, encode, is_object
from trio_steps._values.described import described
from trio_steps._values.kinds import kind_of
from trio_steps._values.scalars import is_plain

from .journal import Entry, EntryKind
from .typed import Places, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from trio_steps._values.codec import Codec, TypedCodec
    from trio_steps._values.form import JSON

    from .typed import AnyCodec

_FORMAT: Final = 1


_KINDS: Final[dict[str, EntryKind]] = {kind: kind for kind in get_args(EntryKind)}


@final
@public
@final
@attrs.frozen(eq=False, repr=False)
class Checkpoint:
    """A run up to one moment, from which it can be resumed, also by another process.

    Attributes:
      pipeline: the name of the pipeline.
      steps: the full names of its steps, in the order in which they were added, each before the steps inside it.
      codec: how values are written; None for JSON that keeps their exact types.
    """

    pipeline: str
    steps: tuple[str, ...]
    _journal: Sequence[Entry]
    _length: int
    codec: Codec | TypedCodec | None = None
    _more: Mapping[str, object] = attrs.field(factory=dict[str, object])

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What happened up to the moment of the checkpoint."""
        return tuple(self._journal[: self._length])

    @property
    def _last(self) -> str:
        steps = [entry.step for entry in self.entries[-1:]]
        return steps[0] if steps and steps[0] else "the inputs"

    def __repr__(self) -> str:
        return f"<Checkpoint of {self.pipeline!r} after {self._last!r}>"

    def to_json(self) -> str:
        """Return the checkpoint as ASCII text.

        Raises:
          CheckpointError: a value can't be written. The error names the step and the key.
        """
        body: dict[str, JSON] = {
            "format": _FORMAT,
            "pipeline": _text(self.pipeline),
            "steps": list(map(_text, self.steps)),
            "codec": self.codec is not None,
            "journal": [_write_entry(entry, self.codec) for entry in self.entries],
        }
        body.update(self._more)
        text = json.dumps(body)
        return f'{text[:-1]}, "checksum": {zlib.crc32(text.encode())}}}'

    @classmethod
    def from_json(cls, text: str, *, codec: Codec | TypedCodec | None = None) -> Checkpoint:
        """Return the checkpoint that was written as `text`.

        Args:
          text: what `to_json` returned.
          codec: the codec that the checkpoint was written with, if there was one.

        Raises:
          CheckpointError: `text` is not a checkpoint, is damaged, or contains a class that no longer exists.
        """
        [checkpoint] = read([text], codec)
        return checkpoint

    def check(self, pipeline: str, steps: Sequence[str]) -> None:
        """Refuse to be resumed by another pipeline, or by one that changed up to the point of resumption.

        Args:
          pipeline: the name of the pipeline.
          steps: the full names of its steps, like `self.steps`.

        Raises:
          CheckpointError: the pipeline does not fit; the error says what has changed.
        """
        if pipeline != self.pipeline:
            raise CheckpointError(f"the checkpoint is of the pipeline {self.pipeline!r}, not of {pipeline!r}")
        numbers = {name: number for number, name in enumerate(self.steps)}
        reached = -1
        rows = {name[:end] for name in self.steps for end, letter in enumerate(name) if letter == "/"}
        for entry in self.entries:
            if entry.kind != "inputs":
                step = _of_any_element(entry.step, rows)
                if step not in numbers:
                    raise CheckpointError("the checkpoint contains a step that its pipeline did not have", entry.step)
                reached = max(reached, numbers[step])
        there = set(steps)
        for number, name in enumerate(self.steps[: reached + 1]):
            if name not in there:
                raise CheckpointError(
                    "the checkpoint is past this step, but the pipeline doesn't have it: was it renamed or removed? "
                    f"If it was renamed, give its old name, was={name.rpartition('/')[2]!r}",
                    name,
                )
            if steps[number] != name:
                inserted = steps[number] not in numbers
                raise CheckpointError(
                    f"the step was {'inserted' if inserted else 'moved'} before {name!r}, which the checkpoint is past",
                    steps[number],
                )


def read(texts: Iterable[str], codec: AnyCodec | None) -> list[Checkpoint]:
    """Return the checkpoints that were written as `texts`, all of one run.

    Raises:
      CheckpointError: see `Checkpoint.from_json`.
    """
    known: dict[str, object] = {}
    return [_read(text, codec, known) for text in texts]


def _read(text: str, codec: AnyCodec | None, known: dict[str, object]) -> Checkpoint:
    body = _load(text)
    if body["codec"] is not (codec is not None):
        raise CheckpointError(
            "the checkpoint was written with a codec: pass codec=…"
            if body["codec"]
            else "the checkpoint was written without a codec: leave out codec=…"
        )
    journal = [_read_entry(entry, codec, known) for entry in body["journal"]]
    return Checkpoint(body["pipeline"], tuple(body["steps"]), journal, len(journal), codec)


def _of_any_element(name: str, rows: Collection[str]) -> str:
    """Return the full name of a step in its pipeline: without ids of elements and numbers of rounds.

    Args:
      name: the full name in a run.
      rows: the names of the containers.
    """
    path = ""
    *around, last = name.split("/")
    for id in around:
        deeper = f"{path}/{id}" if path else id
        of_any = f"{path}/{ANY}"
        if deeper in rows:
            path = deeper
        elif of_any in rows:
            path = of_any
    return f"{path}/{last}" if path else last


def _checksum(body: JSON) -> int:
    return zlib.crc32(json.dumps(body).encode())


def _text(name: str) -> str:
    if not is_plain(name):
        raise CheckpointError(f"the name {name!r} can't be held: it contains a lone surrogate")
    return name


def _write_entry(entry: Entry, codec: AnyCodec | None) -> JSON:
    name = _text(entry.name)
    places = Places(entry.step, entry.case, entry.sources)
    written: dict[str, JSON] = {
        "kind": entry.kind,
        "step": _text(entry.step),
        "changes": {_text(key): _write_value(value, codec, name, key, places) for key, value in entry.changes.items()},
    }
    if entry.sources:
        written["sources"] = {_text(key): _text(source) for key, source in entry.sources.items()}
    if entry.same is not None:
        written["same"] = sorted(map(_text, entry.same))
    if entry.is_patch:
        written["is_patch"] = True
    if entry.overridden:
        written["overridden"] = sorted(map(_text, entry.overridden))
    if entry.answer:
        written["answer"] = True
    if entry.case is not None:
        written["case"] = _text(entry.case)
    if entry.error is not None:
        written["error"] = _write_error(entry.error, codec, name, places)
    if entry.failed:
        written["failed"] = entry.failed
    return written


def _write_error(error: Exception, codec: AnyCodec | None, step: str, places: Places) -> JSON:
    """Write an error as usual if possible: many codecs can't, and that the output of a step is lost must not be."""
    try:
        return encode(error, step=step)
    except CheckpointError:
        return _write_value(error, codec, step, None, places)


def _write_value(value: object, codec: AnyCodec | None, step: str, key: str | None, places: Places) -> JSON:
    if codec is None:
        return encode(value, step=step, key=key)
    try:
        text: object = dumps(codec, value, places, key)
    except Exception as error:
        raise CheckpointError(f"the codec can't write {described(value)}: {described(error)}", step, key) from error
    if type(text) is not str or not is_plain(text):
        raise CheckpointError(f"the codec has to write text, not {described(text)}", step, key)
    return text


def _load(text: str) -> dict[str, JSON]:
    """Return the body of a checkpoint, once its checksum is verified."""
    try:
        body: JSON = json.loads(text)
        checksum = body.pop("checksum", None) if is_object(body) else None
        is_whole = checksum == _checksum(body)
    except Exception as error:
        raise CheckpointError(f"the text is damaged, or not a checkpoint: {error}") from error
    if not is_object(body) or not isinstance(body.get("format"), int):
        raise CheckpointError("the text is not a checkpoint")
    if body["format"] != _FORMAT:
        raise CheckpointError(f"the checkpoint has the format {body['format']}; this version reads {_FORMAT}")
    if not is_whole:
        raise CheckpointError("the text is damaged: its checksum is wrong")
    expected = {"pipeline": str, "steps": list, "codec": bool, "journal": list}
    if any(type(body.get(name)) is not kind for name, kind in expected.items()):
        raise CheckpointError("the text is damaged: parts of the checkpoint are missing")
    return body


def _read_entry(written: JSON, codec: AnyCodec | None, known: dict[str, object]) -> Entry:
    try:
        step, kind = written["step"], written["kind"]
        places = Places(step, written.get("case"), written.get("sources", {}))
        return Entry(
            kind=_KINDS[kind],
            step=step,
            changes={
                key: _read_value(tree, codec, step, key, known, places) for key, tree in written["changes"].items()
            },
            sources=dict(written.get("sources", {})),
            same=frozenset(written["same"]) if "same" in written else None,
            is_patch=written.get("is_patch", False),
            overridden=frozenset(written.get("overridden", ())),
            case=written.get("case"),
            answer=written.get("answer", False),
            failed=written.get("failed", 0),
            error=_read_error(written["error"], codec, step, known, places) if "error" in written else None,
        )
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"the text is damaged: {described(error)}") from error


def _read_error(tree: JSON, codec: AnyCodec | None, step: str, known: dict[str, object], places: Places) -> Exception:
    error = _read_value(tree, None if is_object(tree) else codec, step, None, known, places)
    if not isinstance(error, Exception):
        raise CheckpointError(f"the text is damaged: there is no error but {described(error)}", step)
    return error


def _read_value(
    tree: JSON, codec: AnyCodec | None, step: str, key: str | None, known: dict[str, object], places: Places
) -> object:
    if codec is None:
        return decode(tree, step=step, key=key, known=known)
    try:
        value: object = loads(codec, tree, places, key)
    except Exception as error:
        raise CheckpointError(f"the codec can't read it: {described(error)}", step, key) from error
    # Instances that are only equal to themselves: equal texts are read as one object, which may have been passed on;
    # see `decode`.
    kind = type(value)
    return (
        value if kind_of(kind) is not None else known.setdefault(f"{kind.__module__}:{kind.__qualname__} {tree}", value)
    )
