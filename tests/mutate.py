"""Mutation testing: which changes to the code do the tests of its package notice? ``python tests/mutate.py --seed 1``.

The mutations are those of Cosmic Ray, plus one of our own, which leaves out a statement. Cosmic Ray's command line is
not used: it tries every mutation in place, one after another, and there are thousands, each of which takes seconds.
Here a sample is drawn, the same one for the same seed. Each worker has its own copy of the sources, in which it changes
one thing, runs tests until the first one fails, and changes it back.

Which tests? Those of the package run once with coverage, which records which tests reach each line. The tests that
reach the changed line run first, fastest first. Only if they pass do all tests of the package run.

Only code that runs here is mutated: annotations, code for type checkers or for another Python, and the texts of
messages are left alone. A comparison with a word is not mutated to one of their order. A test that takes far longer
than before has noticed the mutation too. A mutation that was not noticed is printed as a diff, unless
`tests/unnoticed.toml` says why it changes nothing. The exit status is 1 if there is such a diff, or if more than
``--allowed`` of the sample changes nothing. It is 2 if the tests of a package fail without any mutation: then the
package is left out, and the test that failed is named.

It needs the extras `test` and `mutation`.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import difflib
import itertools
import json
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import attrs
import coverage
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import ExprStmt, Keyword

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
UNNOTICED = Path(__file__).with_name("unnoticed.toml")
PUBLIC = "core/test_public.py"  # it imports every package
PACKAGES = {
    "core": ("_core", ["core"]),
    "fork": ("_fork", ["fork", "drawing", PUBLIC]),
    "pipeline": ("_pipeline", ["pipeline", "durable", "drawing", PUBLIC]),
    "values": ("_values", ["values", PUBLIC]),
    "durable": ("_durable", ["durable", "testing/test_conformance.py", PUBLIC]),
    "absurd": ("_durable/absurd", ["durable"]),
    "observers": ("_observers", ["observers", PUBLIC]),
    "testing": ("testing", ["testing", PUBLIC]),
}
"""Each package that can be mutated, and where its tests are, including those of durable runs and of drawings.

`absurd` is the part of `_durable` that only tests with PostgreSQL reach. It is left out where PGHOST names no server.
"""

_LEFT_OUT = re.compile(r"Variable|_Is_Eq|_IsNot_NotEq")
"""Operators that need a variable's name, and ``==`` for ``is``: the same for classes, enum members and None."""

_ORDERS = re.compile(r"_(Eq|NotEq)_(Lt|Gt)E?$")
"""Operators that ask for an order instead of for equality."""


class LeaveOut(Operator):
    """Leave out an assignment to an attribute or an item, or a call whose value is not used."""

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
    """Return the lines that are not worth mutating: those that never run here, and those that only hold a message."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        parts: list[ast.AST | None] = []
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines.update(range(node.lineno, node.body[0].lineno))  # the signature: it has few defaults
            if any(isinstance(one, ast.Name) and one.id == "overload" for one in node.decorator_list):
                parts = [node, *node.decorator_list]
            if isinstance(node.body[-1], ast.Expr) and ast.unparse(node.body[-1]) == "...":  # a method of a protocol
                parts = [node, *node.decorator_list]
        elif isinstance(node, ast.ClassDef):
            parts = [one for one in node.decorator_list if ast.unparse(one).endswith(("final", "(kw_only=True)"))]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation] if node.value is not None else [node]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            parts = [node.test, *node.body]
        elif isinstance(node, ast.If) and ast.unparse(node.test).startswith(("sys.version_info ", "sys.platform ")):
            is_here = eval(ast.unparse(node.test), {"sys": sys})
            parts = [node.test, *(node.orelse if is_here else node.body)]
        elif isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr)):
            parts = [node]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("cast", "TypeVar"):
            parts = [node.args[0]]
        for part in parts:
            if part is not None:
                lines.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))  # type: ignore[attr-defined]
    return lines


def is_python(mutation: Mutation) -> bool:
    """Tell whether the mutated file still compiles."""
    try:
        code = mutation.apply((ROOT / mutation.file).read_text(encoding="utf-8"))
    except AttributeError:  # Cosmic Ray offers to replace a.b in except (a.b, c), but fails to
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(code, mutation.file.name, "exec")
        except SyntaxError:
            return False
    return True


def mutations(package: str, only: str = "*") -> Iterator[Mutation]:
    """Yield every mutation of a package, or of its files that match a pattern."""
    names = [*(name for name in operator_names() if not _LEFT_OUT.search(name)), "leave out"]
    for file in sorted((ROOT / "trio_steps" / PACKAGES[package][0]).rglob("*.py")):
        if ("absurd" in file.parts and package != "absurd") or not file.match(only):
            continue
        code = file.read_text(encoding="utf-8")
        alone = left_alone(code)
        lines = code.splitlines()
        nodes = list(ast_nodes(get_ast(code)))
        for name in names:
            operator = operator_of(name)
            positions = [position for node in nodes for position in operator.mutation_positions(node)]
            for occurrence, ((line, _), (last, end)) in enumerate(positions):
                # No one asks for the order of words, and of a few words, one is the first and one is the last.
                is_word = lines[last - 1][end:].lstrip().startswith('"')
                if line not in alone and not (is_word and _ORDERS.search(name)):
                    yield Mutation(file.relative_to(ROOT), name, occurrence, line, package)


class FailedError(Exception):
    """A test fails without any mutation."""


@attrs.frozen
class Tests:
    """The tests of a package: how long each takes, and which of them reach each line of the code."""

    package: str
    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    @classmethod
    def measure(cls, copy: Path, package: str) -> Tests:
        """Run them all with coverage.

        Raises:
          FailedError: one of them fails.
        """
        with tempfile.TemporaryDirectory() as folder:
            times, data = Path(folder) / "times.xml", Path(folder) / "coverage"
            settings = Path(folder) / "coveragerc"
            settings.write_text("[run]\nbranch = true\nsource = trio_steps\n", encoding="utf-8")
            options = [f"--cov-config={settings}", "--cov", "--cov-context=test", "--cov-report="]
            options += [f"--junitxml={times}", *all_of(package)]
            if failure := run_tests(copy, options, COVERAGE_FILE=data):
                raise FailedError(failure)
            seconds = {
                f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}": float(case.attrib["time"])
                for case in ET.parse(times).iter("testcase")
            }
            measured = coverage.CoverageData(str(data))
            measured.read()
            lines = {
                Path(name).relative_to(copy).as_posix(): {
                    line: sorted({context.rpartition("|")[0] for context in contexts} & seconds.keys())
                    for line, contexts in measured.contexts_by_lineno(name).items()
                }
                for name in measured.measured_files()
            }
        return cls(package, seconds, lines)

    def that_come_to(self, file: Path, line: int) -> list[str]:
        """Return the tests that reach the statement at a line, fastest first."""
        first = last = line
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
                body: list[ast.stmt] = getattr(node, "body", [])
                if not body or line < body[0].lineno:  # in the header of a compound statement, not in its block
                    first, last = node.lineno, body[0].lineno - 1 if body else node.end_lineno or line
        lines = self.lines.get(file.as_posix(), {})
        found = {test for one in range(first, max(first, last) + 1) for test in lines.get(one, ())}
        return sorted(found, key=lambda test: (self.seconds[test], test))


def all_of(package: str) -> list[str]:
    return marked(package, *(f"tests/{folder}" for folder in PACKAGES[package][1]))


def marked(package: str, *tests: str) -> list[str]:
    return [*tests, "-m", "postgresql"] if package == "absurd" else [*tests]


def run_tests(copy: Path, arguments: list[str], **environment: object) -> str:
    """Run tests in a copy of the sources until the first one fails. Return which one failed, or "" if none did."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--steps-budget=5", *arguments]
    variables = {
        "PYTHONPATH": os.pathsep.join([str(copy), str(copy / "tests")]),
        "PYTHONDONTWRITEBYTECODE": "",
        **{name: str(value) for name, value in environment.items()},
    }
    done = subprocess.run(
        command,
        cwd=copy,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return "\n".join(failed) or f"exit status {done.returncode}\n{done.stdout}{done.stderr}"


def write(file: Path, code: str) -> None:
    """Write a file with a new mtime: cached bytecode is reused if size and mtime, in whole seconds, are the same."""
    file.write_text(code, encoding="utf-8")
    moment = next(_moments)
    os.utime(file, (moment, moment))


_moments = itertools.count(1_000_000_000)


def try_out(mutation: Mutation, copy: Path, tests: Tests) -> str:
    """Return the verdict of the package's tests on a mutation: "passed", "failed", or "too long"."""
    file = copy / mutation.file
    code = file.read_text(encoding="utf-8")
    seconds, too_long, names = copy / "seconds.json", copy / "too_long.txt", copy / "chosen.txt"
    seconds.write_text(json.dumps(tests.seconds), encoding="utf-8")
    limit = {"MUTATE_SECONDS": seconds, "MUTATE_TOO_LONG": too_long}
    chosen = tests.that_come_to(mutation.file, mutation.line)
    names.write_text("\n".join(chosen), encoding="utf-8")
    write(file, mutation.apply(code))
    try:
        for which in [marked(mutation.package, f"@{names}")] * bool(chosen) + [all_of(mutation.package)]:
            if run_tests(copy, ["-p", "mutate_limit", *which], **limit):
                return "too long" if too_long.stat().st_size else "failed"
        return "passed"
    finally:
        write(file, code)


def diff(mutation: Mutation, context: int) -> list[str]:
    before = (ROOT / mutation.file).read_text(encoding="utf-8")
    after = mutation.apply(before)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=context, lineterm="")
    return list(lines)[2:]


def key_of(mutation: Mutation) -> tuple[str, str, str]:
    """Return how `tests/unnoticed.toml` identifies a mutation: its file, and the lines before and after it."""
    lines = diff(mutation, 0)
    before, after = ("\n".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return mutation.file.as_posix(), before, after


def reasons() -> dict[tuple[str, str, str], str]:
    """Return, for each mutation in `tests/unnoticed.toml`, why it changes nothing."""
    entries = tomllib.loads(UNNOTICED.read_text(encoding="utf-8"))["unnoticed"]
    return {(entry["file"], entry["before"].strip(), entry["after"].strip()): entry["why"] for entry in entries}


def read(results: Path | None) -> dict[tuple[str, str, str, int], str]:
    """Return the verdict on each mutation that was tried, by file, lines before and after, and line number."""
    if results is None or not results.exists():
        return {}
    lines = map(json.loads, results.read_text(encoding="utf-8").splitlines())
    return {(file, before, after, line): verdict for file, before, after, line, verdict in lines}


def sample_of(package: str, seed: int, count: int, only: str) -> list[Mutation]:
    everything = list(mutations(package, only))
    shuffled = iter(random.Random(f"{seed} {package}").sample(everything, len(everything)))
    sample = list(itertools.islice(filter(is_python, shuffled), count))
    print(f"{package}: {len(sample)} of {len(everything)} mutations", flush=True)
    return sample


def those_of(package: str, keys: set[tuple[str, str, str]]) -> list[Mutation]:
    """Find mutations by their keys. Lines may have moved since, and several operators may make the same change."""
    found: dict[tuple[str, str, str], Mutation] = {}
    for mutation in mutations(package):
        line = (ROOT / mutation.file).read_text(encoding="utf-8").splitlines()[mutation.line - 1].strip()
        file = mutation.file.as_posix()
        if any(file == where and line in before for where, before, _ in keys) and is_python(mutation):
            found.setdefault(key_of(mutation), mutation)
    return [mutation for key, mutation in found.items() if key in keys]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", help=f"of {', '.join(PACKAGES)}; by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60, help="how many mutations of each package; %(default)s")
    parser.add_argument("--only", default="*", metavar="GLOB", help="mutate only files like trio_steps/_fork/*.py")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no mutation after so many")
    parser.add_argument("-n", "--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--allowed", type=float, default=0.03, help="the share that may go unnoticed; %(default)s")
    parser.add_argument("--results", type=Path, help="a file for what is found; what it holds is not tried again")
    parser.add_argument("--again", type=Path, help="such a file: try what was not noticed then, too")
    options = parser.parse_args()
    began = time.monotonic()
    known = reasons()
    found = read(options.results)
    unnoticed = {key[:3] for key, verdict in read(options.again).items() if verdict == "passed"}
    everywhere = [package for package in PACKAGES if package != "absurd" or "PGHOST" in os.environ]
    verdicts: dict[str, Counter[str]] = {package: Counter() for package in options.packages or everywhere}
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        for worker in range(options.workers):
            copy = Path(folder).resolve() / str(worker)
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".*_cache", "__pycache__", "_build"))
            copies.put(copy)

        def judge(mutation: Mutation, tests: Tests) -> None:
            file, before, after = key = key_of(mutation)
            identity = (file, before, after, mutation.line)
            if key in known:
                verdict = "known"
            elif identity in found:
                verdict = found[identity]
            elif time.monotonic() - began > options.seconds:
                return
            else:
                copy = copies.get()
                try:
                    verdict = try_out(mutation, copy, tests)
                finally:
                    copies.put(copy)
                if options.results is not None:
                    with options.results.open("a", encoding="utf-8") as results:
                        results.write(json.dumps([*identity, verdict]) + "\n")
            verdicts[mutation.package][verdict] += 1
            if verdict == "passed":
                shown = "\n".join(diff(mutation, 1))
                print(f"not noticed: {mutation.operator} in {mutation.file.as_posix()}\n{shown}\n", flush=True)

        def measured(package: str) -> Tests | None:
            copy = copies.get()
            try:
                return Tests.measure(copy, package)
            except FailedError as error:
                print(f"{package} is left out: its tests fail without any mutation\n{error}", flush=True)
                return None
            finally:
                copies.put(copy)

        with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
            tests_by_package = dict(zip(verdicts, pool.map(measured, verdicts), strict=True))
        samples: list[tuple[Mutation, Tests]] = []
        for package, tests in tests_by_package.items():
            if tests is not None:
                sample = sample_of(package, options.seed, options.count, options.only) + those_of(package, unnoticed)
                samples += [(mutation, tests) for mutation in sample]
        random.Random(options.seed).shuffle(samples)  # so that a run that is cut short has covered every package
        with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
            for result in [pool.submit(judge, *sample) for sample in samples]:
                result.result()
    verdicts["all"] = sum(verdicts.values(), Counter())
    for package, counts in verdicts.items():
        noticed = counts["failed"] + counts["too long"]
        print(
            f"{package}: {noticed} of {counts.total()} noticed, {counts['too long']} of them by a time limit; ", end=""
        )
        print(f"{counts['known']} are known to change nothing")
    if None in tests_by_package.values():
        return 2
    counts = verdicts["all"]
    return int(counts["passed"] > 0 or counts["known"] > options.allowed * counts.total())


if __name__ == "__main__":
    sys.exit(main())
