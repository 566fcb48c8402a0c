"""What a pipeline needs and provides, worked out at build time, one step after the other.

Problem: a key that is misspelt, missing on one branch, or of the wrong type should be an error at the line that builds
    the step, not in the run that first gets there. But functions are annotated as much or as little as their authors
    liked, and a pipeline of bare lambdas has to work.

What is done. A `Flow` carries what is known, and refuses only what is certain to fail: once a step may have provided
anything, a key that can't be found may be there.

What is deliberately not done: function bodies are not read, and conditions are not run.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, final, get_origin

import attrs

from trio_steps._core.errors import WHOLE, ConfigError, short_repr
from trio_steps._core.results import Fulfilled, Rejected

from .annotations import UNKNOWN, members, type_name, union
from .compatible import fits, is_ordered
from .records import Field, arguments_of, fields_of, is_typed_dict
from .shape import NOTHING, Key, Shape, Source, alternatives, merge

if TYPE_CHECKING:
    from trio_steps._pipeline.context import MergePolicy

CONDITION: Final = "its condition holds"
SUCCEEDS: Final = "it succeeds"
ADMITTED: Final = "its circuit breaker lets it run"
WINS: Final = "it wins"


@final
@attrs.frozen
class Need:
    """A key that `step` is called with. The step ``""`` is a pipeline that declares the key as its input.

    A `wrapped` key is not required: a decorator may pass it.
    """

    key: str
    step: str
    type: object = UNKNOWN
    required: bool = True
    wrapped: bool = False

    def within(self, prefix: str) -> Need:
        """Return the need of the same step as a step of `prefix`."""
        return attrs.evolve(self, step=f"{prefix}/{self.step}" if self.step else prefix)


def key_of(kind: object, required: bool, step: str | None, when: str) -> Key:
    """Return a key that `step` provides. If it is not `required`, it is provided only when `when` holds."""
    key = Key(kind, (Source(step),))
    return key if required else key.only_if(when)


def together(shapes: Sequence[Shape], mode: str, policy: MergePolicy) -> Shape:
    """Return what a parallel step of ``mode="all"``, ``"settle"`` or ``"race"`` provides, given what its members do."""
    if mode == "race":
        return alternatives([(shape, WINS) for shape in shapes])
    if mode == "settle":
        shapes = [shape.only_if(SUCCEEDS) for shape in shapes]
    return merge(shapes, policy, at_once=True)


def branched(cases: Mapping[str, Shape], otherwise: bool) -> Shape:
    """Return what a branch provides, given what its cases do. ``otherwise`` is the last case, if there is one."""
    shapes = [(shape, f"case {name!r} is taken") for name, shape in cases.items()]
    if not otherwise:
        shapes.append((NOTHING, "no case is taken"))
    return alternatives(shapes)


@final
@attrs.frozen
class Flow:
    """What is known at one point of a pipeline that is being built. Every method returns a new one.

    Attributes:
      context: what the next step can see.
      patch: what the pipeline itself has provided; a nested pipeline gives this to its parent.
      needs: what has to be in its input.
      exits: context and patch where a ``skip-remaining`` may end the pipeline, and the step that has it.
      around: the context that it was built in, if it was built inside another pipeline.
      taken: the keys that are needed from `around`, and are there.
    """

    context: Shape
    patch: Shape = NOTHING
    needs: tuple[Need, ...] = ()
    exits: tuple[tuple[Shape, Shape, str], ...] = ()
    around: Shape | None = None
    taken: tuple[Need, ...] = ()

    @staticmethod
    def start(inputs: object = None) -> Flow:
        """Return the flow of a pipeline before its first step. If `inputs` is None, nothing is declared.

        Raises:
          ConfigError: `inputs` is not a type that declares keys.
        """
        if inputs is None or inputs is UNKNOWN:
            return Flow(Shape(outside=True))
        fields = fields_of(inputs)
        if fields is not None:
            keys = {key: key_of(field.type, field.required, None, "it is given") for key, field in fields.items()}
            needs = tuple(Need(key, "", field.type, field.required) for key, field in fields.items())
            return Flow(Shape(keys), needs=needs)
        cls = get_origin(inputs) or inputs
        if isinstance(cls, type) and (cls is object or issubclass(cls, Mapping)):
            return Flow(Shape(outside=True))
        raise ConfigError(
            f"inputs={short_repr(inputs)}: give a TypedDict, an attrs class, a dataclass, a pydantic model or a "
            "msgspec struct, whose fields are the keys of the input, or Mapping if anything can be in it"
        )

    def nested(self) -> Flow:
        """Return the flow of a pipeline that is built inside this one and sees what this one sees."""
        return Flow(self.context, around=self.context)

    def require(self, needs: Iterable[Need], *, strict: bool = False) -> Flow:
        """Return the flow of a pipeline in which a function with `needs` is called.

        Args:
          needs: the keys that it is called with.
          strict: whether keys that a decorator may pass are needed too.

        Raises:
          ConfigError: a need can't be met.
        """
        needs = tuple(needs)
        outer = [need for need in needs if _is_from_outside(self.context, need, strict)]
        around = self.around
        taken = [] if around is None else [need for need in needs if self._is_from(around, need)]
        new: list[Need] = []
        for need in outer:
            if need not in new and need not in self._needs_of(need.step):
                new.append(need)
        if not new and not taken:
            return self
        return attrs.evolve(self, needs=(*self.needs, *new), taken=(*self.taken, *taken))

    def _needs_of(self, step: str) -> Iterator[Need]:
        """Yield the known needs of the newest step."""
        inside = step + "/"
        for need in reversed(self.needs):
            if need.step == step:
                yield need
            elif not need.step.startswith(inside):
                return

    def _is_from(self, around: Shape, need: Need) -> bool:
        key = around.keys.get(need.key)
        return key is not None and self.context.keys.get(need.key) is key

    def provide(
        self,
        provided: Shape,
        *,
        policy: MergePolicy = "override",
        when: Sequence[str] = (),
        or_exit: str | None = None,
    ) -> Flow:
        """Return the flow after a step that provides `provided`.

        Args:
          provided: what it provides if all goes well.
          policy: what happens to keys that are already there.
          when: what has to hold for it to provide anything: `CONDITION`, `SUCCEEDS` (``on_error="continue"``),
            `ADMITTED` (a breaker that skips).
          or_exit: the full name of the step, if it has ``on_error="skip-remaining"``.
        """
        for reason in when:
            provided = provided.only_if(reason)
        written = self._written(provided) if policy == "skip" else provided
        return self._after(merge((self.context, provided), policy), merge((self.patch, written), policy), or_exit)

    def _written(self, provided: Shape) -> Shape:
        """Return the part of `provided` that takes effect when earlier keys win."""
        keys: dict[str, Key] = {}
        for name, key in provided.keys.items():
            there = self.context.keys.get(name)
            if there is None or not there.definite or name in self.patch.keys:
                keys[name] = key if there is None and not self.context.anything else key.untyped()
        return attrs.evolve(provided, keys=keys)

    def replace(self, provided: Shape, step: str, *, when: Sequence[str] = (), or_exit: str | None = None) -> Flow:
        """Return the flow after a transform, which provides the whole context; `when` and `or_exit` as in `provide`."""
        if not when:
            return self._after(provided, provided, or_exit)
        done, undone = " and ".join(when), f"transform {step!r} does not replace it"
        return self._after(
            alternatives([(provided, done), (self.context, undone)]),
            alternatives([(provided, done), (self.patch, undone)]),
            or_exit,
        )

    def _after(self, context: Shape, patch: Shape, or_exit: str | None) -> Flow:
        exits = self.exits
        if or_exit is not None:
            exits = (*exits, (self.context, self.patch, or_exit))
        return attrs.evolve(self, context=context, patch=patch, exits=exits)

    @property
    def result(self) -> Shape:
        """What the pipeline returns."""
        return self._ended(self.context, [(context, step) for context, _, step in self.exits])

    @property
    def output(self) -> Shape:
        """What the pipeline gives to its parent when it is nested."""
        return self._ended(self.patch, [(patch, step) for _, patch, step in self.exits])

    def _ended(self, end: Shape, exits: list[tuple[Shape, str]]) -> Shape:
        for early, step in reversed(exits):
            end = alternatives([(end, f"step {step!r} does not fail"), (early, f"step {step!r} fails")])
        return end

    def prove(self, done: object) -> None:
        """Check that the pipeline returns everything that `done` declares.

        Raises:
          ConfigError: it does not, or `done` is not a type that declares keys.
        """
        fields = fields_of(done)
        if fields is None:
            raise ConfigError(
                f"outputs({type_name(done)}): give a TypedDict, an attrs class, a dataclass, a pydantic model or a "
                "msgspec struct, whose fields are the keys of the result"
            )
        result = self.result
        if not is_typed_dict(get_origin(done) or done):
            fields = {key: Field(given.type, given.required) for key, given in arguments_of(done).items()}
        for name, field in fields.items():
            key = result.keys.get(name)
            what = f"outputs({type_name(done)}): the result"
            if key is None:
                if field.required and not result.anything:
                    raise ConfigError(f"{what} has no {name!r}{among(name, result)}")
            elif field.required and not key.definite and not result.anything:
                raise ConfigError(
                    f"{what} may have no {name!r}: {_whence(key)}; declare it NotRequired, or provide it always"
                )
            elif not fits(key.type, field.type):
                raise ConfigError(
                    f"{what} has {name!r} as {type_name(key.type)}, not {type_name(field.type)}: {_whence(key)}"
                )


def for_each(
    flow: Flow,
    needs: Sequence[Need],
    returns: object,
    step: str,
    *,
    over: str,
    each: str,
    into: str,
    settle: bool = False,
) -> tuple[Flow, Shape]:
    """Return the flow after a function or pipeline is run for each element of `over`, and what that provides.

    Args:
      flow: what is known.
      needs: what is needed from the context, which has the element under `each`.
      returns: the type of one result.
      step: the name of the step.
      over: the key of the collection.
      each: the key of the element.
      into: the key of the results.
      settle: whether the results are `SettleResult`s.

    Raises:
      ConfigError: `each` is already a key; `over` can't be there or holds no collection; or something else that is
        needed can't be there.
    """
    if each in flow.context.keys:
        raise ConfigError(
            f"for_each {step!r}: each={each!r} would hide the key {each!r} of the context: "
            f"{_whence(flow.context.keys[each])}; "
            "give the parameter another name"
        )
    flow = flow.require([*(need for need in needs if need.key != each), Need(over, step)])
    key = flow.context.keys.get(over)
    if key is None:
        return flow, _collected(UNKNOWN, returns, step, into, settle)
    kinds = [kind for kind in members(key.type) if any(fits(kind, collection) for collection in (list, tuple, Mapping))]
    others = [kind for kind in members(key.type) if kind not in kinds and is_ordered(get_origin(kind) or kind)]
    if not kinds and not others:
        raise ConfigError(
            f"for_each {step!r}: over={over!r} has to hold a list, a tuple or a mapping, not {type_name(key.type)}: "
            f"{_whence(key)}"
        )
    for need in needs:
        element: Any = need.type if need.key == each else UNKNOWN
        if not others and not any(
            fits(kind, union((list[element], tuple[element, ...], Mapping[Any, element]))) for kind in kinds
        ):
            raise ConfigError(
                f"for_each {need.step!r} takes {each!r} as {type_name(element)}, but {over!r} is "
                f"{type_name(key.type)}: {_whence(key)}"
            )
    return flow, _collected(key.type, returns, step, into, settle)


def _collected(collection: object, returns: Any, step: str, into: str, settle: bool) -> Shape:
    """Return what a for_each provides: a dict with the same keys for a mapping, and otherwise a list."""
    result: Any = returns
    if settle:
        result = Fulfilled[result] | Rejected
    kinds: list[object] = []
    ordered = any(is_ordered(get_origin(kind) or kind) for kind in members(collection))
    if ordered or fits(collection, list) or fits(collection, tuple):
        kinds.append(list[result])
    if fits(collection, Mapping):
        kinds.append(dict[Any, result])
    return Shape({into: Key(union(kinds), (Source(step),))})


def _is_from_outside(context: Shape, need: Need, strict: bool) -> bool:
    """Check `need` against `context`, and tell whether the input has to meet it."""
    key = context.keys.get(need.key)
    required = need.required and (strict or not need.wrapped)
    if key is None:
        if context.open:
            return False
        if context.outside:
            return True
        if required:
            hint = (
                f"; if a decorator passes {need.key!r}, its signature has to say which parameters are left, because "
                "the pipeline is strict: it has just *args, **kwargs"
            )
            whole = f"; the whole context goes to a positional-only parameter: lambda {need.key}, /: …"
            raise ConfigError(
                f"step {need.step!r} needs {need.key!r}, which nothing provides{among(need.key, context)}"
                + (hint if need.wrapped else whole if need.key in WHOLE else "")
            )
        return False
    if required and not key.definite and not context.anything:
        raise ConfigError(
            f"step {need.step!r} needs {need.key!r}, but {_whence(key)}; "
            f"give the parameter a default if it can do without: {need.key}=None"
        )
    if not fits(key.type, need.type):
        raise ConfigError(
            f"step {need.step!r} takes {need.key!r} as {type_name(need.type)}, but it is {type_name(key.type)}: "
            f"{_whence(key)}"
        )
    return not key.definite and context.outside and not context.open


def _whence(key: Key) -> str:
    return ", and ".join(map(str, key.sources))


def among(key: str, context: Shape) -> str:
    """List the keys in `context`, for a message about `key`, which is not among them."""
    close = difflib.get_close_matches(key, context.keys, 1)
    return (f"; did you mean {close[0]!r}?" if close else ".") + f" Known keys: {context}"
