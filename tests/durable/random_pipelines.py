"""Random pipelines whose functions answer differently each time, and a naive reference for the result of a run.

The nodes of a row are called ``n0``, ``n1``, …, and each provides its own keys. A `World` outlives the crashes of a
run: it records what is asked and run, and the last answer of each function, by its full name. A step or condition that
was saved is never run or asked again, so the result of a run is what the reference computes from the last answers.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import count
from typing import Any

import attrs
import trio

from trio_steps import Pipeline, Retry, current_scope, otherwise, step, when

FAILED = "failed"


@attrs.frozen(eq=False)
class Node:
    """A node; `rows` are the rows inside it."""

    kind: str
    rows: tuple[tuple[Node, ...], ...] = ()
    condition: bool = False
    size: int = 0


KINDS = (
    "step",
    "forgiven",
    "tries",
    "all",
    "settle",
    "race",
    "in",
    "branch",
    "each",
    "each-pipeline",
    "repeat",
    "wait",
)


def random_row(draw: random.Random, depth: int, *, waits: bool = True) -> tuple[Node, ...]:
    return tuple(_random_node(draw, depth, waits) for _ in range(draw.randint(1, 3)))


def _random_node(draw: random.Random, depth: int, waits: bool) -> Node:
    kind = draw.choice(KINDS)
    if depth == 0 and kind not in ("wait", "race"):
        kind = draw.choice(("step", "step", "forgiven", "tries"))
    if kind == "wait" and not waits:
        kind = "step"
    still = waits and kind not in ("each-pipeline", "repeat")  # there, names are not known in advance
    rows = {"all": 2, "settle": 2, "in": 1, "branch": 3, "each-pipeline": 1, "repeat": 1}.get(kind, 0)
    return Node(
        kind=kind,
        rows=tuple(random_row(draw, depth - 1, waits=still) for _ in range(rows)),
        condition=draw.random() < 0.3,
        size=draw.randint(0, 3),
    )


class World:
    """What outlives the crashes of a run."""

    def __init__(self, seed: int, *, waits: bool = True) -> None:
        self.draw = random.Random(seed)
        self.row = random_row(self.draw, 2, waits=waits)
        self.log: list[tuple[str, str]] = []
        self.last: dict[str, Any] = {}
        self.values = count(1)
        self.pipeline = self._pipeline(self.row, "p")

    # The pipeline

    def _pipeline(self, row: tuple[Node, ...], name: str, prefix: str = "k") -> Pipeline[Any, Any]:
        p = Pipeline(name)
        for number, node in enumerate(row):
            p = self._with(p, node, f"n{number}", f"{prefix}{number}")
        return p

    def _with(self, p: Pipeline[Any, Any], node: Node, name: str, key: str) -> Pipeline[Any, Any]:
        options: dict[str, Any] = {"condition": partial(self._answer, "")} if node.condition else {}
        inner = [self._pipeline(row, f"m{number}", f"{key}{'abc'[number]}") for number, row in enumerate(node.rows)]
        if node.kind == "step":
            return p.step(name, self._gives(key), **options)
        if node.kind == "forgiven":
            return p.step(name, self._gives(key, fails=0.5), on_error="continue", **options)
        if node.kind == "tries":
            return p.step(name, self._gives(key, good=node.size), retry=Retry(4, delay=1), **options)
        if node.kind == "all":
            return p.step(name, *inner, step(self._gives(key), id="f"), **options)
        if node.kind == "settle":
            return p.step(name, *inner, step(self._gives(key, fails=0.5), id="f"), mode="settle", **options)
        if node.kind == "race":
            first = step(self._gives(key), id="racer")
            return p.step(name, first, step(trio.sleep_forever, id="never"), mode="race", **options)
        if node.kind == "in":
            return p.step(name, inner[0], **options)
        if node.kind == "branch":
            cases = [when(partial(self._answer, f"?m{number}"), inner[number], name=f"m{number}") for number in (0, 1)]
            return p.branch_on(name, *cases, otherwise(inner[2], name="m2"), **options)
        if node.kind == "each":
            give = self._gives(None)
            return p.for_each(
                name, lambda element: give(), over="elements", each="element", into=key, concurrency=2, **options
            )
        if node.kind == "each-pipeline":
            whole = Pipeline("m0").step("element", lambda element: None)
            for number, inside in enumerate(node.rows[0]):
                whole = self._with(whole, inside, f"n{number}", f"{key}a{number}")
            return p.for_each(name, whole, over="elements", each="element", into=key, concurrency=2, **options)
        if node.kind == "repeat":
            until = partial(self._answer, "?until")
            return p.repeat(name, inner[0], until=until, at_most=3, on_limit="continue", **options)
        return p.wait_for(name, provides=key, **options)

    def _gives(self, key: str | None, *, fails: float = 0, good: int = 0) -> Any:
        async def give() -> Any:
            name = current_scope().name
            self.log.append(("ran", name))
            if self.draw.random() < 0.5:
                await trio.sleep(self.draw.randint(0, 2))
            else:
                await trio.lowlevel.checkpoint()
            if current_scope().attempt <= good:
                raise OSError("not yet")
            value = self.last[name] = FAILED if self.draw.random() < fails else next(self.values)
            if value == FAILED:
                raise OSError("no")
            return value if key is None else {key: value}

        return give

    async def _answer(self, suffix: str) -> bool:
        name = f"{current_scope().name}{suffix or '?'}"
        self.log.append(("asked", name))
        await trio.lowlevel.checkpoint()
        self.last[name] = self.draw.random() < 0.5
        return self.last[name]

    # The reference

    def expected(self) -> dict[str, Any]:
        """Return the result of a run whose functions give their last answers."""
        return self._after(self.row, {"elements": [1, 2, 3]}, "", "k")

    def _after(self, row: tuple[Node, ...], context: dict[str, Any], path: str, key: str) -> dict[str, Any]:
        context = dict(context)
        for number, node in enumerate(row):
            name = f"{path}n{number}"
            if not node.condition or self.last[f"{name}?"]:
                context = self._after_node(node, context, name, f"{key}{number}")
        return context

    def _after_node(self, node: Node, context: dict[str, Any], name: str, key: str) -> dict[str, Any]:
        if node.kind in ("step", "forgiven", "tries", "wait"):
            return self._with_value(context, name, key)
        if node.kind == "race":
            return self._with_value(context, f"{name}/racer", key)
        if node.kind in ("all", "settle"):
            after = context
            for number, row in enumerate(node.rows):
                own = self._after(row, context, f"{name}/m{number}/", f"{key}{'abc'[number]}")
                after = after | {key: value for key, value in own.items() if context.get(key) != value}
            return self._with_value(after, f"{name}/f", key)
        if node.kind == "in":
            return self._after(node.rows[0], context, f"{name}/", f"{key}a")
        if node.kind == "branch":
            number = 0 if self.last[f"{name}?m0"] else 1 if self.last[f"{name}?m1"] else 2
            return self._after(node.rows[number], context, f"{name}/m{number}/", f"{key}{'abc'[number]}")
        if node.kind == "each":
            return context | {key: [self.last[f"{name}/{number}"] for number in (1, 2, 3)]}
        if node.kind == "each-pipeline":
            results = [
                self._after(node.rows[0], context | {"element": number}, f"{name}/{number}/", f"{key}a")
                for number in (1, 2, 3)
            ]
            return context | {key: results}
        over, number = False, 0
        while not over and number < 3:
            number += 1
            context = self._after(node.rows[0], context, f"{name}/{number}/", f"{key}a")
            over = self.last[f"{name}/{number}?until"]
        return context

    def _with_value(self, context: dict[str, Any], name: str, key: str) -> dict[str, Any]:
        value = self.last[name]
        return context if value == FAILED else context | {key: value}

    # What must not happen

    def check_log(self) -> None:
        """Check that no step ran again after hooks were told, and no condition was asked again once a step followed."""
        told: set[str] = set()
        for index, (what, name) in enumerate(self.log):
            if name.endswith("/racer"):
                continue  # a race runs again as a whole
            if what == "told":
                told.add(name)
            elif what == "ran":
                assert name not in told, ("ran again", name, self.log)
            else:
                before = [other for kind, other in self.log[:index] if kind == "ran"]
                asked_before = ("asked", name) in self.log[:index]
                if asked_before:
                    first = self.log.index(("asked", name))
                    before = [other for kind, other in self.log[first:index] if kind == "ran"]
                    follows = [other for other in before if _follows(other, name.partition("?")[0])]
                    assert not follows, ("asked again", name, follows, self.log)


def _follows(ran: str, condition: str) -> bool:
    """Tell whether the step `ran` can only run once the condition of the node `condition` has been answered."""
    around, _, node = condition.rpartition("/")
    prefix = f"{around}/" if around else ""
    if not ran.startswith(prefix):
        return False
    if not node.startswith("n"):  # the number of a round: only later rounds follow
        later = ran.removeprefix(prefix).partition("/")[0]
        return later.isdecimal() and int(later) > int(node)
    own = ran.removeprefix(prefix).partition("/")[0]
    return own.startswith("n") and int(own[1:]) >= int(node[1:])
