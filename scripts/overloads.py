"""The overloads of `fork`, `race`, `gather`, `settle` and `stream`: ``python scripts/overloads.py [--check]``.

They say the same thing for each number of paths, for async paths and sync ones, for each mode, and for each form of
`merge`. This writes them between ``# fmt: off`` and ``# fmt: on`` in the modules that have them. With ``--check`` it
changes nothing, and exits with 1 if they are not what it would write; a test runs that.

Their order matters, and why is said at the top of these modules.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FORKS = Path(__file__).parent.parent / "trio_steps" / "_fork"
BLOCK = re.compile(r"(?<=# fmt: off\n).*?(?=^ *# fmt: on$)", re.DOTALL | re.MULTILINE)
WIDTH = 120
KINDS = ("Path", "AnyPath")  # async ones come first: a coroutine would pass for the value of a sync path
LETTERS = "ABCDEFGHJMNP"


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
    return "@overload\n" + "\n".join(lines) + "\n"


def _fits(line: str, text: str, returns: str) -> bool:
    return len(f"{line}{text}) -> {returns}: ...") <= WIDTH


def union(count: int) -> str:
    return " | ".join(LETTERS[:count])


def settled(count: int) -> str:
    return ", ".join(f"Settled[{letter}]" for letter in LETTERS[:count])


def options(what: str, name: str = "Options") -> str:
    return f"**options: Unpack[{name}[{what}]]"


# On the spot


def accepting(paths: Sequence[str], what: str, *rest: str, name: str = "Options") -> list[str]:
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


def race() -> Iterator[str]:
    head = "async def race"
    for kind in KINDS:
        for count in range(1, FEW + 1):
            yield overload(head, accepting(arms(kind, count), union(count)), union(count))
        yield overload(head, accepting(more_arms(kind, FEW + 1), union(FEW + 1)), EVERY)
        yield overload(head, accepting([f"paths: Mapping[str, {kind}[T]] | {iterable(kind)}", "/"], "T"), "T")


def gather() -> Iterator[str]:
    yield from _all_of("gather", lambda count: ", ".join(LETTERS[:count]), "{}")


def settle() -> Iterator[str]:
    yield from _all_of("settle", settled, "Settled[{}]")


def _all_of(name: str, results: Callable[[int], str], result: str) -> Iterator[str]:
    head = f"async def {name}"
    one = result.format("T")
    yield overload(head, accepting([], "object"), "tuple[()]")
    for kind in KINDS:
        for count in range(1, 9):
            yield overload(head, accepting(arms(kind, count), union(count)), f"tuple[{results(count)}]")
        yield overload(head, accepting(more_arms(kind, 9), union(9)), f"tuple[{result.format(EVERY)}, ...]")
    for kind in KINDS:
        yield overload(head, accepting([f"paths: Mapping[K, {kind}[T]]", "/"], "T"), f"dict[K, {one}]")
        yield overload(head, accepting([f"paths: {iterable(kind)}", "/"], "T"), f"tuple[{one}, ...]")


def stream() -> Iterator[str]:
    for kind in KINDS:
        for count in range(1, FEW + 1):
            yield from _streams(arms(kind, count), union(count), union(count))
        yield from _streams(more_arms(kind, FEW + 1), union(FEW + 1), EVERY)
        yield from _streams([f"paths: Mapping[str, {kind}[T]] | {iterable(kind)}", "/"], "T", "T")


def _streams(paths: list[str], taken: str, what: str) -> Iterator[str]:
    for mode, result in (('Literal["settle"] = "settle"', f"Settled[{what}]"), ('Literal["all"]', what)):
        parameters = accepting(paths, taken, f"mode: {mode}", name="StreamOptions")
        yield overload("def stream", parameters, f"Stream[{result}]")


# Built beforehand

TUPLES = {
    "Any": ("TupleOf", 2),
    "Many": ("LongTupleOf", 7),
}  # what they are called, and how many paths they have at least


def tuples() -> Iterator[str]:
    """Write what a tuple of paths is, whatever their number: to mypy an arm that is not there gives nothing."""
    for name, least in TUPLES.values():
        for kind in KINDS:
            yield f"    {name}{kind}s: TypeAlias = (\n"
            for count in range(least, len(LETTERS) + 1):
                paths = [f"{kind}[X, {letter}]" for letter in LETTERS[:count]]
                yield _wrapped(f"        {'| ' if count > least else ''}tuple[", paths)
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
    rest = options(what) if what else "**options: Unpack[PlainOptions]"
    parameters = ["id: str", "*", f"mode: {mode}", *need, f"paths: {paths}", *merges, rest]
    return overload("def fork", parameters, f"Fork[In, {result}]")


def named(mode: str) -> str:
    return f'Literal["{mode}"]'


def forks() -> Iterator[str]:
    yield "# A mapping of ids to paths: the result has the same keys\n\n"
    for kind in KINDS:
        yield from _mappings(
            f"Mapping[K, {kind}[In, T]]", ("Awaitable[R]", "R") if kind == "Path" else ("Awaitable[R] | R",)
        )
    yield "\n\n# A tuple, path by path\n\n"
    for kind in KINDS:
        for mode in ("all", "settle"):
            for count in range(2, 7):
                paths = ", ".join(f"{kind}[In, {letter}]" for letter in LETTERS[:count])
                results = settled(count) if mode == "settle" else ", ".join(LETTERS[:count])
                yield fork(named(mode), f"tuple[{paths}]", f"tuple[{results}]", what=union(count))
    yield "\n\n# A tuple, of which what comes back is a union\n\n"
    for kind in KINDS:
        for mode, alias, result in (
            ("race", "Any", EVERY),
            ("quorum", "Any", f"tuple[{EVERY}, ...]"),
            ("all", "Many", f"tuple[{EVERY}, ...]"),
            ("settle", "Many", f"tuple[Settled[{EVERY}], ...]"),
        ):
            paths = f"{TUPLES[alias][0]}{kind}s[In, {', '.join(LETTERS)}]"
            # `accept` and `dispose` must not name an arm that is not there: see `more_arms`
            yield fork(named(mode), paths, result, what="")
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
            yield fork(named(mode), "AnyPaths[In, T]", "R", merge=f"Callable[[list[{value}]{scope}], Awaitable[R] | R]")
        if not scope:
            yield from _own_modes("AnyPaths[In, T]")


def _mappings(paths: str, merges: Sequence[str]) -> Iterator[str]:
    yield fork(named("race"), paths, "T")
    for mode, value in (("all", "T"), ("settle", "Settled[T]")):
        yield fork(named(mode), paths, f"dict[K, {value}]")
        for merged in merges:
            yield fork(named(mode), paths, "R", merge=f"Callable[[dict[K, {value}]], {merged}]")
    yield fork(named("quorum"), paths, "tuple[T, ...]")


def _own_modes(paths: str) -> Iterator[str]:
    for ledger in ("[Ledger[T]]", "[]"):
        yield fork(f"Callable[{ledger}, Mode[T, R]]", paths, "R")


MODULES = {"race.py": (race, gather, settle, stream), "fork.py": (tuples, forks)}


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
