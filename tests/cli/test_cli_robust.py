"""The command line under difficult conditions: limited encodings, missing permissions, no home."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from modules import write

import trio_steps

NAMES = """
    import trio
    from trio_steps import Pipeline

    async def ask(x):
        raise ValueError("café not found")

    naive = Pipeline("naïve").step("größe →", lambda x: {"y": "ß"})
    failing = Pipeline("p").step("größe →", ask)
    again = Pipeline("p").repeat("größe →", lambda p: p.step("ask", ask), until=lambda x: x, at_most=2)
"""


@pytest.fixture
def command(shop):
    """Run a command line in a new process, and return its exit status and what it wrote, as bytes."""
    write(shop / "names.py", NAMES)

    def command(*arguments, program=("-m", "trio_steps"), input="", **environment):
        variables = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-W", "error", *program, *arguments],
            env={**variables, **environment},
            input=input.encode(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr

    return command


@pytest.mark.parametrize(
    ("encoding", "name", "arrow"),
    [("ascii", rb"gr\xf6\xdfe", rb"\u2192"), ("cp1252", "größe".encode("cp1252"), rb"\u2192")],
)
def test_what_standard_output_can_not_take_is_escaped(command, encoding, name, arrow) -> None:
    status, out, err = command("check", "names", PYTHONIOENCODING=encoding)
    assert (status, err) == (0, b"")
    assert b"%s %s" % (name, arrow) in out
    run = ("run", "names:failing", "--input", '{"x": 1}', "--store", "runs.db", "--run-id", "1")
    status, out, err = command(*run, PYTHONIOENCODING=encoding)
    assert (status, out) == (1, b"")
    assert b"%s %s" % (name, arrow) in err
    status, out, err = command("runs", "--store", "runs.db", PYTHONIOENCODING=encoding)
    assert (status, err) == (0, b"")
    assert b"caf" + {"ascii": rb"\xe9", "cp1252": b"\xe9"}[encoding] in out


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "C"],
)
def test_what_we_write_ourselves_is_spelled_in_ascii(command, environment) -> None:
    status, out, err = command("check", "names", **environment)
    assert (status, err) == (0, b"")
    assert out.splitlines()[:4] == [
        b"names:naive",
        b"  takes {...}",
        rb"  na\xefve",
        rb"    gr\xf6\xdfe \u2192",
    ]


@pytest.mark.parametrize(
    ("format", "title"),
    [
        ("mermaid", b'"gr#246;#223;e #8594; #183; until #955;(x) #183; 2 rounds at most"'),
        ("dot", b"<gr&#246;&#223;e &#8594; &#183; until &#955;(x) &#183; 2 rounds at most>"),
    ],
)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_diagram_that_standard_output_can_not_take_has_entities(command, format, title, encoding) -> None:
    status, out, err = command("graph", "names:again", "--format", format, PYTHONIOENCODING=encoding)
    assert (status, err) == (0, b"")
    assert out.isascii()
    assert title in out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_on_standard_input_is_utf_8_whatever_the_encoding_is(command, encoding) -> None:
    run = ("run", "names:naive", "--input", "-", "--quiet")
    status, out, _ = command(*run, input='{"x": "ß→"}', PYTHONIOENCODING=encoding)
    assert status == 0
    assert json.loads(out.decode(encoding)) == {"x": "ß→", "y": "ß"}


def test_json_on_a_standard_output_that_can_not_take_it_is_still_json(command) -> None:
    status, out, _ = command("run", "names:naive", "--input", '{"x": 1}', "--quiet", PYTHONIOENCODING="ascii")
    assert status == 0
    assert json.loads(out.decode("ascii")) == {"x": 1, "y": "ß"}


def test_input_file_may_begin_with_a_mark_of_its_encoding(run, shop) -> None:
    (shop / "order.json").write_text('{"order": 3}', encoding="utf-8-sig")
    status, out, _ = run("run", "shop:checkout", "--input", "@order.json")
    assert status == 0
    assert json.loads(out)["paid"] == 3


def test_commands_need_no_home(command) -> None:
    """None of these processes has a HOME."""
    program = ("-c", "import os, sys; sys.exit('HOME' in os.environ)")
    assert command(program=program)[0] == 0
    run = ("run", "names:naive", "--input", '{"x": 1}', "--store", "runs.db", "--run-id", "1", "--timeline", "t.html")
    status, out, _ = command(*run)
    assert (status, json.loads(out.decode())) == (0, {"x": 1, "y": "ß"})


GUARDED = """
import os, runpy, sys

def refuse(event, args):
    if event == "open":
        path, _, flags = args
        changes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    else:
        path, changes = args[0] if args else None, event in {"os.mkdir", "os.remove", "os.rename", "sqlite3.connect"}
    if changes and isinstance(path, (str, bytes)) and os.fsdecode(path).startswith(site + os.sep):
        refused.append(path)
        raise PermissionError(13, "Permission denied", path)

site, refused = sys.argv.pop(1), []
sys.path.insert(0, site)
sys.addaudithook(refuse)
try:
    runpy.run_module("trio_steps", run_name="__main__", alter_sys=True)
finally:
    assert refused, "nothing was to be compiled: it is not the copy that has run"
"""


@pytest.fixture
def site(shop):
    """A copy of the package without bytecode."""
    package = Path(trio_steps.__file__).parent
    site = shop / "site-packages"
    shutil.copytree(package, site / "trio_steps", ignore=shutil.ignore_patterns("__pycache__"))
    return site


def test_commands_need_no_write_access_to_site_packages(command, site) -> None:
    """Not even bytecode can be written there."""
    before = sorted(site.rglob("*"))
    run = ("run", "names:naive", "--input", '{"x": 1}', "--store", "runs.db", "--run-id", "1", "--timeline", "t.html")
    for arguments in (run, ("runs", "--store", "runs.db")):
        status, _, err = command(str(site), *arguments, program=("-c", GUARDED))
        assert status == 0, err.decode()
    assert sorted(site.rglob("*")) == before


def test_runs_of_a_database_that_can_only_be_read_are_listed(command, run, shop, monkeypatch) -> None:
    connect = sqlite3.connect

    def read_only(path, **options):
        return connect(f"{Path(path).as_uri()}?mode=ro", uri=True, **options)

    assert command("run", "names:failing", "--input", '{"x": 1}', "--store", "runs.db", "--run-id", "one")[0] == 1
    monkeypatch.setattr(sqlite3, "connect", read_only)
    status, out, err = run("runs", "--store", "runs.db", "--json")
    assert (status, [record["run_id"] for record in json.loads(out)], err) == (0, ["one"], "")
    assert run("show", "one", "--store", "runs.db")[::2] == (0, "")
    status, out, err = run("cancel", "one", "--store", "runs.db")
    assert (status, out) == (1, "")
    where = str(shop / "runs.db")
    assert err == f"trio-steps: OperationalError: attempt to write a readonly database\nin the store {where!r}\n"


@contextmanager
def only_read(directory):
    """Make a directory read-only, even for root."""
    directory.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(0o700)


def test_runs_in_a_directory_that_can_only_be_read_are_an_error_that_says_so(run, shop) -> None:
    assert run("run", "shop:empty", "--store", "runs.db", "--run-id", "one")[0] == 0
    with TemporaryDirectory() as name:  # tmp_path of root is not readable for others
        store = Path(name).resolve() / "runs.db"
        shutil.copy("runs.db", store)
        assert run("runs", "--store", store)[0] == 0
        with only_read(store.parent):
            status, out, err = run("runs", "--store", store)
    assert (status, out) == (1, "")
    where = repr(str(store))
    assert (
        err == f"trio-steps: SQLite has to make files next to {where}, even to read it, and can't: use a copy of it\n"
    )
