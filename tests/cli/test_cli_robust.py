"""The command line where little can be taken for granted: streams that can't take everything, files, users."""

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
"""


@pytest.fixture
def command(shop):
    """Run a command line in a process of its own, and return its exit status and what it wrote, as bytes."""
    write(shop / "names.py", NAMES)

    def command(*arguments, program=("-m", "trio_steps"), **environment):
        variables = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "-W", "error", *program, *arguments],
            env={**variables, **environment},
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
    assert command("check", "names", PYTHONIOENCODING=encoding)[::2] == (0, b"")
    status, out, err = command("graph", "names:naive", PYTHONIOENCODING=encoding)
    assert (status, err) == (0, b"")
    assert b"%s %s" % (name, arrow) in out
    run = ("run", "names:failing", "--input", '{"x": 1}', "--store", "runs.db", "--run-id", "1")
    status, out, err = command(*run, PYTHONIOENCODING=encoding)
    assert (status, out) == (1, b"")
    assert b"%s %s" % (name, arrow) in err
    status, out, err = command("runs", "--store", "runs.db", PYTHONIOENCODING=encoding)
    assert (status, err) == (0, b"")
    assert b"caf" + {"ascii": rb"\xe9", "cp1252": b"\xe9"}[encoding] in out


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
    """None of these processes has one."""
    program = ("-c", "import os, sys; sys.exit('HOME' in os.environ)")
    assert command(program=program)[0] == 0
    run = ("run", "names:naive", "--input", '{"x": 1}', "--store", "runs.db", "--run-id", "1", "--timeline", "t.html")
    status, out, _ = command(*run)
    assert (status, json.loads(out.decode())) == (0, {"x": 1, "y": "ß"})


def test_nothing_is_written_beside_the_package(command) -> None:
    def files() -> set[Path]:
        package = Path(trio_steps.__file__).parent
        return {path for path in package.rglob("*") if path.suffix not in ("", ".pyc")}

    before = files()
    assert command("run", "names:naive", "--input", '{"x": 1}', "--store", "runs.db", "--run-id", "1")[0] == 0
    assert files() == before


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
    """Let nobody write there, root neither."""
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
    with TemporaryDirectory() as name:  # root shows nobody the other one
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
