"""Present and former names of steps: a resumed run continues where it was although a step was renamed.

A name in a run is a path of steps, members and cases, ids of elements and numbers of rounds. Each part is translated in
its place. A name inside a step that is not a step of the pipeline, such as a path of a fork, stays as it is.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias, final

import attrs

from trio_steps._pipeline.definition import ANY, Branch, Each, Group, Repeat

from .checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from trio_steps._durable.protocol import Question, StoredRun
    from trio_steps._pipeline.definition import Node, Nodes, Program

    from .journal import Entry


@final
@attrs.frozen
class _Place:
    """A part of a name.

    Attributes:
      now: its present name.
      oldest: its first name.
      inside: the parts that may follow it.
    """

    now: str
    oldest: str
    inside: Callable[[], _Level]


_Level: TypeAlias = "Mapping[str, _Place] | Callable[[str], _Place | None]"


def _level(ids: Iterable[str], was: Iterable[Sequence[str]], inside: Iterable[Callable[[], _Level]]) -> _Level:
    level: dict[str, _Place] = {}
    for id, old, next in zip(ids, was, inside):  # noqa: B905 - as long as each other
        place = _Place(id, old[0] if old else id, next)
        level.update(dict.fromkeys((*old, id), place))
    return level


def _nothing() -> _Level:
    return {}


def _row(nodes: Nodes) -> Callable[[], _Level]:
    return functools.cache(
        lambda: _level([node.id for node in nodes], [node.was for node in nodes], map(_inside, nodes))
    )


def _inside(node: Node) -> Callable[[], _Level]:
    body = node.body
    if isinstance(body, tuple):
        return _row(body)
    if isinstance(body, Group):
        rows = [_row(member) if isinstance(member, tuple) else _nothing for member in body.members]
        return functools.cache(lambda: _level(body.ids, body.was, rows))
    if isinstance(body, Branch):
        cases = body.cases
        return functools.cache(
            lambda: _level(
                [case.id for case in cases], [case.was for case in cases], [_row(case.nodes) for case in cases]
            )
        )
    if isinstance(body, Each):
        row = _nothing if body.nodes is None else _row(body.nodes)
        element = functools.partial(_of_element, row)
        return lambda: element
    if isinstance(body, Repeat):
        # names in a run have the number of the round; names in the pipeline do not
        steps = _row(body.nodes)
        numbered = functools.partial(_of_round, steps)
        return lambda: numbered
    return _nothing


def _of_element(row: Callable[[], _Level], id: str) -> _Place:
    return _Place(id, id, row)


def _of_round(row: Callable[[], _Level], id: str) -> _Place | None:
    level = row()
    assert not callable(level)
    return level.get(id) or (_Place(id, id, row) if id.isdecimal() or id == ANY else None)


@final
class Names:
    """Translates the names of one pipeline."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._top = _row(program.nodes)

    def _places(self, ids: Iterable[str]) -> list[str | _Place]:
        places: list[str | _Place] = []
        level: _Level = self._top()
        for id in ids:
            place = level(id) if callable(level) else level.get(id)
            level = {} if place is None else place.inside()
            places.append(place or id)
        return places

    def now(self, name: str) -> str:
        """Return the present name of the step that was called `name`."""
        return "/".join([id if isinstance(id, str) else id.now for id in self._places(name.split("/"))])

    def oldest(self, ids: Iterable[str]) -> list[str]:
        """Return the first name of the step that is now called `ids`."""
        if not self._program.is_renamed:
            return list(ids)
        return [id if isinstance(id, str) else id.oldest for id in self._places(ids)]

    def entry(self, entry: Entry) -> Entry:
        """Return `entry` as if the steps had always had their present names."""
        step, sources, case = self.now(entry.step), entry.sources, entry.case
        if sources:
            sources = {key: self.now(source) for key, source in sources.items()}
        if entry.kind in ("taken", "passed"):
            case = self.now(f"{entry.step}/{case}").rpartition("/")[2]
        same = step == entry.step and case == entry.case and sources == entry.sources
        return entry if same else attrs.evolve(entry, step=step, sources=sources, case=case)

    def stored(self, stored: StoredRun, questions: tuple[Question, ...]) -> StoredRun:
        """Return, likewise, a stored run whose pipeline asks `questions`."""
        if not self._program.is_renamed:
            return attrs.evolve(stored, questions=questions)
        waiting = {self.now(name): until for name, until in stored.record.waiting.items()}
        answers = {self.now(name): text for name, text in stored.answers.items()}
        record = attrs.evolve(stored.record, waiting=waiting)
        return attrs.evolve(stored, record=record, questions=questions, answers=answers)

    def then(self, name: str, stored: StoredRun) -> str:
        """Return the name that the step which is now called `name` has in a stored run that waits for it, or may."""
        ids = name.split("/")
        for known in (*stored.record.waiting, *(question.name for question in stored.questions)):
            now = self.now(known).split("/")
            if len(now) == len(ids) and all(there in (id, ANY) for there, id in zip(now, ids, strict=True)):
                return "/".join(
                    id if there == ANY else before for before, there, id in zip(known.split("/"), now, ids, strict=True)
                )
        return name

    def checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return `checkpoint`, likewise."""
        if not self._program.is_renamed or checkpoint.pipeline not in (self._program.name, *self._program.was):
            return checkpoint
        entries = [self.entry(entry) for entry in checkpoint.entries]
        steps = tuple(map(self.now, checkpoint.steps))
        return Checkpoint(self._program.name, steps, entries, len(entries), checkpoint.codec)
