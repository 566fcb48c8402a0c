"""Mutation testing: which changes of the code do the tests of its package notice? ``python tests/mutate.py --seed 1``.

The mutations are those of Cosmic Ray, and one of our own, which leaves out a statement. Its command line is not used.
It tries every mutation there is, one after another and in place; there are thousands, and each takes seconds. Here,
a sample is drawn, the same one for the same seed. Each worker has a copy of the sources, in which it changes one thing,
runs the tests of that package until the first one fails, and changes it back.

What is mutated is what runs: annotations, what is for type checkers only, and the texts of messages are left alone.
Timing out counts as noticed. What was not noticed is printed as a diff, and the exit status is 1 if it is more than
``--allowed`` of the sample.

It needs the extras `test` and `mutation`.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import difflib
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import ExprStmt, Keyword

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "core": "_core",
    "fork": "_fork",
    "pipeline": "_pipeline",
    "values": "_values",
    "durable": "_durable",
    "observers": "_observers",
    "testing": "testing",
}
"""The folder of the tests of each package that can be mutated."""


class LeaveOut(Operator):
    """Leave out an assignment to an attribute or an item, or a call whose value nobody takes."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.parent is not None and node.parent.type == "simple_stmt" and node.parent.children[0] is node:
            called = node.type in ("atom_expr", "power") and str(node.children[-1].get_code()).startswith("(")
            awaited = node.type == "await_expr" or node.get_first_leaf().value == "await"
            changed = isinstance(node, ExprStmt) and node.children[0].type in ("power", "atom_expr")
            if called or awaited or changed:
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        return Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


@attrs.frozen
class Mutation:
    """One change: the `occurrence`-th place in a file where `operator` can change something."""

    file: Path
    operator: str
    occurrence: int
    line: int
    package: str

    def apply(self, code: str) -> str:
        mutated = mutate_code(code, operator_of(self.operator), self.occurrence)
        assert mutated is not None
        return str(mutated)


def operator_of(name: str) -> Operator:
    return LeaveOut() if name == "leave out" else get_operator(name)()


def left_alone(code: str) -> set[int]:
    """Return the lines that nothing runs, or that only say something: they are no place for a mutation."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        parts: list[ast.AST | None] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines.update(range(node.lineno, node.body[0].lineno))  # the signature: its defaults are few
            if any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list):
                parts = [node]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation] if node.value is not None else [node]
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            parts = [node.test, *node.body]
        elif isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)):
            parts = [node]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("cast", "TypeVar"):
            parts = [node.args[0]]
        for part in parts:
            if part is not None:
                lines.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))  # type: ignore[attr-defined]
    return lines


def mutations(package: str) -> Iterator[Mutation]:
    """Yield every mutation of a package."""
    names = [*(name for name in operator_names() if "Variable" not in name), "leave out"]  # those ask which one
    for file in sorted((ROOT / "trio_steps" / PACKAGES[package]).rglob("*.py")):
        code = file.read_text(encoding="utf-8")
        alone = left_alone(code)
        nodes = list(ast_nodes(get_ast(code)))
        for name in names:
            operator = operator_of(name)
            positions = [position for node in nodes for position in operator.mutation_positions(node)]
            for occurrence, ((line, _), _) in enumerate(positions):
                if line not in alone:
                    yield Mutation(file.relative_to(ROOT), name, occurrence, line, package)


def run_tests(copy: Path, package: str, seconds: float | None) -> bool:
    """Run the tests of a package in a copy of the sources; return whether they pass."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--steps-budget=5",
        f"tests/{package}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def is_noticed(mutation: Mutation, copy: Path, seconds: float) -> bool:
    file = copy / mutation.file
    code = file.read_text(encoding="utf-8")
    file.write_text(mutation.apply(code), encoding="utf-8")
    try:
        return not run_tests(copy, mutation.package, seconds)
    finally:
        file.write_text(code, encoding="utf-8")


def diff(mutation: Mutation) -> str:
    code = (ROOT / mutation.file).read_text(encoding="utf-8")
    lines = difflib.unified_diff(
        code.splitlines(), mutation.apply(code).splitlines(), mutation.file.as_posix(), mutation.operator, "", "", 1, ""
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(PACKAGES)}; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60, help="how many mutations of each package; %(default)s")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no mutation after so many")
    parser.add_argument("-n", "--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--allowed", type=float, default=0.03, help="the share that may go unnoticed; %(default)s")
    options = parser.parse_args()
    began = time.monotonic()
    tried: Counter[str] = Counter()
    missed: list[Mutation] = []
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        for worker in range(options.workers):
            copy = Path(folder) / str(worker)
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".*_cache", "__pycache__", "_build"))
            copies.put(copy)

        def try_out(mutation: Mutation, seconds: float) -> None:
            if time.monotonic() - began > options.seconds:
                return
            copy = copies.get()
            try:
                noticed = is_noticed(mutation, copy, seconds)
            finally:
                copies.put(copy)
            tried[mutation.package] += 1
            if not noticed:
                missed.append(mutation)
                print(f"not noticed:\n{diff(mutation)}\n", flush=True)

        samples: list[tuple[Mutation, float]] = []
        for package in options.packages or PACKAGES:
            start = time.monotonic()
            copy = copies.get()
            if not run_tests(copy, package, None):
                print(f"the tests of {package} fail without any mutation")
                return 2
            copies.put(copy)
            seconds = 30 + 5 * (time.monotonic() - start)
            everything = list(mutations(package))
            sample = random.Random(f"{options.seed} {package}").sample(everything, min(options.count, len(everything)))
            print(f"{package}: {len(sample)} of {len(everything)} mutations, {seconds:.0f} s each at most", flush=True)
            samples += [(mutation, seconds) for mutation in sample]
        random.Random(options.seed).shuffle(samples)  # so that a run that is cut short has some of each package
        with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
            for result in [pool.submit(try_out, *sample) for sample in samples]:
                result.result()
    for package, count in tried.items():
        print(f"{package}: {count - sum(one.package == package for one in missed)} of {count} noticed")
    print(f"all: {tried.total() - len(missed)} of {tried.total()} noticed")
    return int(len(missed) > options.allowed * tried.total())


if __name__ == "__main__":
    sys.exit(main())
