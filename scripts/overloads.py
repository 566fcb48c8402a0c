"""The overloads of `fork`, `race`, `gather`, `settle` and `stream`: ``python scripts/overloads.py [--check]``.

They say the same thing for each number of paths, for async paths and sync ones, for each mode, and for each form of
`merge`, in the types of ``_fork/arms.py``. This writes them between ``# fmt: off`` and ``# fmt: on`` in the modules
that have them. With ``--check`` it changes nothing, and exits with 1 if they are not what it would write; a test runs
that.

Their order matters, and why is said at the top of these modules.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORKS = Path(__file__).parent.parent / "trio_steps" / "_fork"
BLOCK = re.compile(r"(?<=# fmt: off\n).*?(?=^ *# fmt: on$)", re.DOTALL | re.MULTILINE)
WIDTH = 120
# Async ones come first: a coroutine would pass for the value of a sync path.
KINDS = ("Path", "AnyPath")
READY = ("Ready", "AnyReady")  # those of a fork on the spot, which need nothing
ARMS = {"Path": "Arm", "AnyPath": "AnyArm"}  # those of a tuple, with `accept` or `dispose`
LETTERS = "ABCDEFGHJMNPSUVW"  # the arms that have a type of their own


def overload(head: str, parameters: Sequence[str], returns: str) -> str:
    """Write one overload, within the width: `head` is all up to the parenthesis."""
    lines = [f"{head}("]
    for number, parameter in enumerate(parameters, 1):
        text = parameter + (", " if number < len(parameters) else "")
        if len(lines[-1] + text.rstrip()) > WIDTH or (
            number == len(parameters) and not _fits(lines[-1], text, returns)
        ):
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * (len(head) + 1))
        lines[-1] += text
    end = f") -> {returns}: ..."
    lines += [end] if len(lines[-1] + end) > WIDTH else []
    if lines[-1] != end:
        lines[-1] += end
    inner = " " * (len(head) + 1 + len("paths: tuple["))
    return "@overload\n" + "\n".join(textwrap.fill(line, WIDTH, subsequent_indent=inner) for line in lines) + "\n"


def _fits(line: str, text: str, returns: str) -> bool:
    return len(f"{line}{text}) -> {returns}: ...") <= WIDTH


def union(count: int) -> str:
    return " | ".join(LETTERS[:count])


def settled(count: int) -> str:
    return ", ".join(f"Settled[{letter}]" for letter in LETTERS[:count])


def options(what: str, name: str) -> str:
    return f"**options: Unpack[{name}[{what}]]"


# On the spot


def accepting(paths: Sequence[str], what: str, *rest: str, name: str = "SpotOptions") -> list[str]:
    """Return the parameters, of which `accept` is named: beside `dispose`, pyright would take a ``""`` for its type."""
    star = [] if paths and paths[-1].startswith("*") else ["*"]
    return [*paths, *star, *rest, f"accept: Callable[[{what}], bool] | None = None", options(what, name)]


def arms(kind: str, count: int) -> list[str]:
    return [*(f"{letter.lower()}: {kind}[{letter}]" for letter in LETTERS[:count]), "/"]


def more_arms(kind: str, least: int) -> list[str]:
    """Return arms of which those after `least` may be left out, and more of what the last one gives.

    What is left out gives nothing, so this is one overload for many numbers of arms. `accept` and `dispose` must not
    name it: mypy would take it for all that they take, and pyright would show it in the parameter of a lambda.
    """
    more = [f"{letter.lower()}: {kind}[{letter}] = ..." for letter in LETTERS[least:]]
    return [*arms(kind, least)[:-1], *more, "/", f"*more: {kind}[{LETTERS[-1]}]"]


def iterable(kind: str) -> str:
    return f"Iterable[{kind}[T]] | AsyncIterable[{kind}[T]]"


FEW = 5  # arms that a race or a stream has overloads for, one for each number of them
EVERY = union(len(LETTERS))


def tupled(kind: str, *rest: str, name: str = "SpotOptions") -> Iterator[list[str]]:
    """Yield the parameters for a tuple of paths that is given instead of the paths, without `accept` and with it."""
    letters = ", ".join(LETTERS)
    star = ["*"] if rest else []
    yield [f"paths: TupleOf{kind}[{letters}]", "/", *star, *rest, f"**options: Unpack[Plain{name}]"]
    first, *others = LETTERS
    arms = f"paths: TupleOf{kind}Arms[{', '.join([first, 'T', *others])}]"
    yield accepting([arms, "/"], "T", *rest, name=name)


def race() -> Iterator[str]:
    head = "async def race"
    for kind in READY:
        for count in range(1, FEW + 1):
            yield overload(head, accepting(arms(kind, count), union(count)), union(count))
        yield overload(head, accepting(more_arms(kind, FEW + 1), union(FEW + 1)), EVERY)
        for parameters in tupled(kind):
            yield overload(head, parameters, EVERY)
        yield overload(head, accepting([f"paths: Mapping[str, {kind}[T]] | {iterable(kind)}", "/"], "T"), "T")


def gather() -> Iterator[str]:
    yield from _all_of("gather", lambda count: ", ".join(LETTERS[:count]), "{}")


def settle() -> Iterator[str]:
    yield from _all_of("settle", settled, "Settled[{}]")


def _all_of(name: str, results: Callable[[int], str], result: str) -> Iterator[str]:
    head = f"async def {name}"
    one = result.format("T")
    yield overload(head, accepting([], "object"), "tuple[()]")
    for kind in READY:
        for count in range(1, 9):
            yield overload(head, accepting(arms(kind, count), union(count)), f"tuple[{results(count)}]")
        yield overload(head, accepting(more_arms(kind, 9), union(9)), f"tuple[{result.format(EVERY)}, ...]")
    for kind in READY:
        yield overload(head, accepting([f"paths: Mapping[K, {kind}[T]]", "/"], "T"), f"dict[K, {one}]")
        for parameters in tupled(kind):
            yield overload(head, parameters, f"tuple[{result.format(EVERY)}, ...]")
        yield overload(head, accepting([f"paths: {iterable(kind)}", "/"], "T"), f"tuple[{one}, ...]")


def stream() -> Iterator[str]:
    for kind in READY:
        for count in range(1, FEW + 1):
            yield from _streams(arms(kind, count), union(count), union(count))
        yield from _streams(more_arms(kind, FEW + 1), union(FEW + 1), EVERY)
        for mode, result in STREAM_MODES.items():
            for parameters in tupled(kind, f"mode: {mode}", name="StreamOptions"):
                yield overload("def stream", parameters, f"Stream[{result.format(EVERY)}]")
        yield from _streams([f"paths: Mapping[str, {kind}[T]] | {iterable(kind)}", "/"], "T", "T")


STREAM_MODES = {'Literal["settle"] = "settle"': "Settled[{}]", 'Literal["all"]': "{}"}


def _streams(paths: list[str], taken: str, what: str) -> Iterator[str]:
    for mode, result in STREAM_MODES.items():
        parameters = accepting(paths, taken, f"mode: {mode}", name="StreamOptions")
        yield overload("def stream", parameters, f"Stream[{result.format(what)}]")


# Built beforehand

SHORT, LONG = 2, 7  # how many paths tuples have at least; the long ones have no overloads for each length


def letters() -> Iterator[str]:
    for letter in LETTERS:
        yield f'    {letter} = TypeVar("{letter}", default=Never)\n'


def tuples() -> Iterator[str]:
    """Write what a tuple of paths is, whatever their number: to mypy an arm that is not there gives nothing."""
    for kind, arm in ARMS.items():
        for path, form in ((kind, "[X, {}]"), (arm, "[X, {}, T]")):
            yield from _tuples(f"TupleOf{path}s", path + form, SHORT)
            yield from _tuples(f"LongTupleOf{path}s", path + form, LONG)
    for kind in READY:
        yield from _tuples(f"TupleOf{kind}", kind + "[{}]", SHORT)
        yield from _tuples(f"TupleOf{kind}Arms", kind + "Arm[{}, T]", SHORT)


def _tuples(name: str, path: str, least: int) -> Iterator[str]:
    yield f"    {name}: TypeAlias = (\n"
    for count in range(least, len(LETTERS) + 1):
        yield _wrapped(f"        {'| ' if count > least else ''}tuple[", [path.format(arm) for arm in LETTERS[:count]])
    yield "    )\n"


def _wrapped(head: str, parts: Sequence[str]) -> str:
    lines = [head]
    for number, part in enumerate(parts, 1):
        text = part + (", " if number < len(parts) else "]")
        if len(lines[-1] + text.rstrip()) > WIDTH:
            lines[-1] = lines[-1].rstrip()
            lines.append(" " * len(head))
        lines[-1] += text
    return "\n".join(lines) + "\n"


def fork(mode: str, paths: str, result: str, *, merge: str = "", what: str = "T") -> str:
    need = ["need: int"] if "quorum" in mode else []
    merges = [f"merge: {merge}"] if merge else []
    rest = options(what, "Options") if what else "**options: Unpack[PlainOptions]"
    parameters = ["id: str", "*", f"mode: {mode}", *need, f"paths: {paths}", *merges, rest]
    return overload("def fork", parameters, f"Fork[In, {result}]")


def named(mode: str) -> str:
    return f'Literal["{mode}"]'


def forks() -> Iterator[str]:
    yield "# A mapping of ids to paths: the result has the same keys\n\n"
    for kind in KINDS:
        yield from _mappings(f"Mapping[K, {kind}[In, T]]")
    # Nothing is known of a lambda. If it fits several overloads that differ in what it takes and in what they return,
    # mypy says Any. So to mypy what the lambdas of `Arm` take is what those of any source take: what all arms have in
    # common. What takes less than that fits `WideArm`, and a lambda does not. With sync paths, no lambda fits those of
    # any source.
    yield "\n\n# A tuple, path by path\n\n"
    for kind in KINDS:
        for mode in ("all", "settle"):
            for count in range(SHORT, LONG):
                results = settled(count) if mode == "settle" else ", ".join(LETTERS[:count])
                for path, what in (
                    (("Path[In, {}]", ""), ("Arm[In, {}, T]", "T"), ("WideArm[In, {}, T]", "T"))
                    if kind == "Path"
                    else (("AnyPath[In, {}]", union(count)),)
                ):
                    paths = ", ".join(path.format(letter) for letter in LETTERS[:count])
                    yield fork(named(mode), f"tuple[{paths}]", f"tuple[{results}]", what=what)
    yield "\n\n# A tuple, of which what comes back is a union\n\n"
    for kind, arm in ARMS.items():
        for mode, alias, result in (
            ("race", "TupleOf", EVERY),
            ("quorum", "TupleOf", f"tuple[{EVERY}, ...]"),
            ("all", "LongTupleOf", f"tuple[{EVERY}, ...]"),
            ("settle", "LongTupleOf", f"tuple[Settled[{EVERY}], ...]"),
        ):
            first, *others = LETTERS
            for path, what, arguments in ((kind, "", LETTERS), (arm, "T", [first, "T", *others])):
                yield fork(named(mode), f"{alias}{path}s[In, {', '.join(arguments)}]", result, what=what)
    for title, paths, path in (
        ("take the input", "UnaryPaths[In, T]", "[In]"),
        ("take none", "NullaryPaths[T, In]", "[]"),
    ):
        yield f"\n\n# Any source of async paths that {title}\n\n"
        yield fork(named("race"), paths, "T")
        for mode, value in (("all", "T"), ("settle", "Settled[T]"), ("quorum", "T")):
            yield fork(named(mode), paths, f"tuple[{value}, ...]")
            for merged in ("Awaitable[R]", "R"):
                yield fork(named(mode), paths, "R", merge=f"Callable[[list[{value}]], {merged}]")
        yield from _own_modes(f"PathsOf[Callable[{path}, Awaitable[T]], In]")
    yield "\n\n# Any source of async paths, and a merge that takes the scope\n\n"
    for mode, value in (("all", "T"), ("settle", "Settled[T]"), ("quorum", "T")):
        for merged in ("Awaitable[R]", "R"):
            yield fork(named(mode), "Paths[In, T]", "R", merge=f"Callable[[list[{value}], Scope], {merged}]")
    yield "\n\n# Any source of paths of which some or all are sync\n\n"
    yield fork(named("race"), "AnyPaths[In, T]", "T")
    for scope in ("", ", Scope"):
        for mode, value in (("all", "T"), ("settle", "Settled[T]"), ("quorum", "T")):
            if not scope:
                yield fork(named(mode), "AnyPaths[In, T]", f"tuple[{value}, ...]")
            for merged in ("Awaitable[R]", "R"):
                yield fork(named(mode), "AnyPaths[In, T]", "R", merge=f"Callable[[list[{value}]{scope}], {merged}]")
        if not scope:
            yield from _own_modes("AnyPaths[In, T]")


def _mappings(paths: str) -> Iterator[str]:
    yield fork(named("race"), paths, "T")
    for mode, value in (("all", "T"), ("settle", "Settled[T]")):
        yield fork(named(mode), paths, f"dict[K, {value}]")
        for merged in ("Awaitable[R]", "R"):
            yield fork(named(mode), paths, "R", merge=f"Callable[[dict[K, {value}]], {merged}]")
    yield fork(named("quorum"), paths, "tuple[T, ...]")


def _own_modes(paths: str) -> Iterator[str]:
    for ledger in ("[Ledger[T]]", "[]"):
        yield fork(f"Callable[{ledger}, Mode[T, R]]", paths, "R")


MODULES = {"arms.py": (letters, tuples), "race.py": (race, gather, settle, stream), "fork.py": (forks,)}


def rewritten(name: str) -> tuple[str, str]:
    """Return what the module is, and what it should be."""
    text = (FORKS / name).read_text(encoding="utf-8")
    blocks = iter(["".join(make()) for make in MODULES[name]])
    return text, BLOCK.sub(lambda _: next(blocks), text)


def main(arguments: Sequence[str]) -> int:
    status = 0
    for name in MODULES:
        now, right = rewritten(name)
        if now != right and "--check" in arguments:
            print(f"{name}: its overloads are not those of scripts/overloads.py; run that")
            status = 1
        elif now != right:
            (FORKS / name).write_text(right, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
