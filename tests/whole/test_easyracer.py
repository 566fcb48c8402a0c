"""The Easy Racer example, over real sockets: against a stand-in judge, and against broken servers.

Only the first tests take real time, because the course does.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import resource
import socket
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from easyracer_server import RIGHT, WRONG, Drop, Judge
from places import EXAMPLES

from trio_steps import ForkPartialError, StepTimeoutError, race, settle

EXAMPLE = EXAMPLES / "easyracer.py"
SERVER = Path(__file__).parent / "easyracer_server.py"
LOOPBACK = "127.0.0.1"
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error"}


def load():
    spec = importlib.util.spec_from_file_location("easyracer", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["easyracer"] = module
    spec.loader.exec_module(module)
    return module


easyracer = load()


# The course


@pytest.fixture(scope="module")
def course():
    """What the example printed when it ran the whole course, and what the judge saw."""
    command = [sys.executable, str(SERVER), "--backlog", "100", "--blocking", "5"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as server:
        try:
            port = server.stdout.readline().strip()
            if not port:
                pytest.fail(f"the stand-in server did not start: {server.stderr.read()}")
            done = subprocess.run(
                [sys.executable, str(EXAMPLE), LOOPBACK, port],
                capture_output=True,
                text=True,
                env=ENVIRONMENT,
                timeout=300,
                check=False,
            )
            connection = http.client.HTTPConnection(LOOPBACK, int(port), timeout=30)
            connection.request("GET", "/story")
            stories = json.load(connection.getresponse())
            connection.close()
        finally:
            server.kill()
    return done, dict(enumerate(stories, 1))


@pytest.fixture
def stories(course):
    return course[1]


@pytest.mark.long
def test_easyracer_is_right_in_all_eleven_scenarios(course):
    done, _ = course
    assert done.stdout.splitlines() == [f"scenario {number}: right" for number in range(1, 12)]
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
def test_easyracer_sends_no_request_too_many(stories):
    came = {number: story["came"] for number, story in stories.items() if number != 10}
    assert came == {1: 2, 2: 2, 3: 10_000, 4: 2, 5: 2, 6: 3, 7: 2, 8: 6, 9: 10, 11: 3}


@pytest.mark.long
def test_easyracer_has_all_racers_on_the_course_at_once(stories):
    together = {number: story["together"] for number, story in stories.items()}
    assert together == {1: 2, 2: 2, 3: 10_000, 4: 2, 5: 2, 6: 3, 7: 2, 8: 2, 9: 10, 10: 2, 11: 3}


@pytest.mark.long
def test_easyracer_hangs_up_on_those_who_lost(stories):
    hung_up = {number: len(story["hung_up"]) for number, story in stories.items()}
    assert hung_up == {1: 1, 2: 0, 3: 9_999, 4: 1, 5: 0, 6: 1, 7: 1, 8: 0, 9: 0, 10: 0, 11: 0}


@pytest.mark.long
def test_easyracer_leaves_no_request_open(stories):
    assert not any(story["open"] for story in stories.values())


@pytest.mark.long
def test_easyracer_starts_the_hedge_late(stories):
    [gap] = stories[7]["gaps"]
    assert gap > 2


@pytest.mark.long
def test_easyracer_gives_every_resource_back_once(stories):
    assert len(stories[8]["opened"]) == 2
    assert sorted(stories[8]["opened"]) == sorted(stories[8]["closed"])


@pytest.mark.long
def test_easyracer_reports_a_load_between_0_and_1(stories):
    assert all(0 <= load <= 1 for load in stories[10]["loads"])


# The judge: one that accepts everything proves nothing


async def test_judge_calls_an_early_hedge_wrong(autojump_clock):
    judge = Judge(None)

    async def hedge():
        await trio.sleep(2)
        return await judge.answer("/7")

    assert await race(partial(judge.answer, "/7"), hedge) == WRONG


async def test_judge_calls_a_late_hedge_right(autojump_clock):
    judge = Judge(None)

    async def hedge():
        await trio.sleep(2.5)
        return await judge.answer("/7")

    assert await race(partial(judge.answer, "/7"), hedge) == RIGHT


async def test_judge_never_answers_while_one_racer_is_missing(autojump_clock, monkeypatch):
    monkeypatch.setattr("easyracer_server.CROWD", 3)
    judge = Judge(None)
    with trio.move_on_after(1000):
        await race([partial(judge.answer, "/3")] * 2)
    assert trio.current_time() == 1000
    assert await race([partial(judge.answer, "/3")] * 3) == RIGHT


async def test_judge_answers_scenario_4_when_a_racer_hangs_up_and_not_before(autojump_clock):
    judge = Judge(None)

    async def quitter():
        with trio.move_on_after(7):
            await judge.answer("/4")
        raise ConnectionError

    assert await race(quitter, partial(judge.answer, "/4")) == RIGHT
    assert trio.current_time() == 7


async def test_judge_waits_for_the_close_of_the_resource_that_failed(autojump_clock):
    judge = Judge(None)

    async def use(id, patience):
        status, body = await judge.answer(f"/8?use={id}")
        if status != 200:
            await trio.sleep(patience)
            await judge.answer(f"/8?close={id}")
            raise ConnectionError
        return status, body

    assert await race(partial(use, "a", 5), partial(use, "b", 5)) == RIGHT
    assert trio.current_time() == 5


async def test_judge_drops_all_racers_of_scenario_11_but_one(autojump_clock):
    judge = Judge(None)
    ends = await settle([partial(judge.answer, "/11")] * 3)
    assert [type(end.error) for end in ends if end.error] == [Drop, Drop]
    assert [end.value for end in ends if end.value] == [RIGHT]


@pytest.mark.parametrize(
    ("loads", "answer"),
    [
        ([1, 1, 1, 1, 0.1], RIGHT),
        ([1, 1, 1, 1, 0.4], (302, "Load was still too high: 0.4")),
        ([0.5, 0.75, 0.75, 0.75, 0.1], (400, "A CPU was not near fully loaded - mean load = 0.6875")),
        ([1, 1, 1], (400, "Not enough readings")),
    ],
)
async def test_judge_wants_a_high_load_then_a_low_one(autojump_clock, loads, answer):
    judge = Judge(5)

    async def block():
        await judge.answer("/10?id")

    async def report():
        *before, last = loads
        for load in before:
            await trio.sleep(1)
            assert await judge.answer(f"/10?id={load}") == (302, "")
        await trio.sleep_until(5.5)
        return await judge.answer(f"/10?id={last}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(block)
        assert await report() == answer


# Broken servers


async def serve(replies, *, task_status):
    """Serve raw replies: `replies` gets a target and returns bytes, None to close, or "reset"."""

    async def handle(stream):
        try:
            async with stream:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = await stream.receive_some()
                    if not more:
                        return
                    data += more
                reply = replies(data.split()[1].decode())
                if reply == "reset":
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif reply is not None:
                    await stream.send_all(reply)
                    while await stream.receive_some():
                        pass
        except trio.BrokenResourceError:
            pass

    await trio.serve_tcp(handle, 0, host=LOOPBACK, task_status=task_status)


@pytest.fixture
async def start(nursery):
    """Start a server with raw replies, and return its port."""

    async def start(replies):
        [listener] = await nursery.start(partial(serve, replies))
        return listener.socket.getsockname()[1]

    return start


def reply(status, body):
    return b"HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


async def test_easyracer_says_which_scenario_was_wrong_and_why(start):
    words = [b"right", b"", b"", b"", b""]

    def replies(target):
        path, _, query = target.partition("?")
        if path == "/2":
            return None
        if path == "/5":
            return reply(200, b"wrong")
        if path == "/6":
            return reply(500, b"no\nluck")
        if path == "/9":
            return reply(200, words.pop()) if words else reply(500, b"wrong")
        if path == "/10" and "=" in query:
            return reply(400, b"Not enough readings")
        return reply(200, b"right")

    port = await start(replies)
    done = await trio.run_process(
        [sys.executable, str(EXAMPLE), LOOPBACK, str(port)],
        capture_stdout=True,
        capture_stderr=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.stdout.decode().splitlines() == [
        "scenario 1: right",
        "scenario 2: wrong: ConnectionError: GET /2: the server closed the connection without a response",
        "scenario 3: right",
        "scenario 4: right",
        "scenario 5: wrong: 'wrong'",
        "scenario 6: wrong: StatusError: 500 'no\\nluck'",
        "scenario 7: right",
        "scenario 8: right",
        "scenario 9: right",
        "scenario 10: wrong: StatusError: 400 'Not enough readings'",
        "scenario 11: right",
    ]
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    "arguments", [[], [LOOPBACK], [LOOPBACK, "http"], [LOOPBACK, "0"], [LOOPBACK, "65536"], [LOOPBACK, "80", "more"]]
)
def test_easyracer_exits_with_2_on_wrong_usage(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["easyracer.py", *arguments])
    with pytest.raises(SystemExit) as exit:
        easyracer.main()
    assert exit.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(r"usage: easyracer.py \[-h\] HOST PORT\n", printed.err)


async def test_easyracer_gives_up_on_a_server_that_never_answers(start, autojump_clock):
    port = await start(lambda _: b"")
    course = await easyracer.Course.find(LOOPBACK, port)
    with pytest.raises(StepTimeoutError, match="'scenario_1' timed out after 20 s"):
        await easyracer.scenario_1(course)


async def test_easyracer_fails_where_nobody_listens(autojump_clock):
    with socket.socket() as unheard:
        unheard.bind((LOOPBACK, 0))
        course = await easyracer.Course.find(LOOPBACK, unheard.getsockname()[1])
        with pytest.raises(ForkPartialError) as partial:
            await easyracer.scenario_1(course)
    assert [type(error) for error in partial.value.exceptions] == [ConnectionRefusedError] * 2


async def test_easyracer_takes_the_first_address_that_answers(start):
    port = await start(lambda _: reply(200, b"right"))
    with socket.socket() as unheard:
        unheard.bind((LOOPBACK, 0))
        addresses = [(LOOPBACK, unheard.getsockname()[1]), (LOOPBACK, port)]

        class Resolver(trio.abc.HostnameResolver):
            async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

            async def getnameinfo(self, sockaddr, flags):
                raise NotImplementedError

        trio.socket.set_custom_hostname_resolver(Resolver())
        course = await easyracer.Course.find("course.example", 1)
        assert await course.get("/1") == "right"


# HTTP

CHUNKED = b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n2\r\nri\r\n3;x=y\r\nght\r\n0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        reply(200, b"right"),
        b"HTTP/1.1 200 OK\r\ncontent-length:5\r\nCONNECTION: Keep-Alive\r\n\r\nright",
        CHUNKED,
        b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED,
        b"HTTP/1.1 200\r\nContent-Length: 7\r\n\r\nright\r\n",
    ],
)
async def test_get_returns_the_body_whatever_its_framing(start, raw):
    course = await easyracer.Course.find(LOOPBACK, await start(lambda _: raw))
    assert await course.get("/1") == "right"


async def test_get_reads_a_body_that_ends_with_the_connection(nursery):
    async def handle(stream):
        async with stream:
            await stream.receive_some()
            for byte in b"HTTP/1.0 200 OK\r\n\r\nright":
                await stream.send_all(bytes([byte]))

    [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host=LOOPBACK))
    course = await easyracer.Course.find(LOOPBACK, listener.socket.getsockname()[1])
    assert await course.get("/1") == "right"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "GET /1: the server closed the connection without a response"),
        ("reset", "GET /1: socket connection broken"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "GET /1: illegal status line"),
        (reply(200, bytes(1 << 17)), "GET /1: the response does not end"),
    ],
)
async def test_get_raises_a_connection_error_when_there_is_no_good_response(start, raw, message):
    course = await easyracer.Course.find(LOOPBACK, await start(lambda _: raw))
    with pytest.raises(ConnectionError, match=message):
        await course.get("/1")


async def test_get_raises_a_connection_error_when_the_body_is_cut_short(nursery):
    async def handle(stream):
        async with stream:
            await stream.receive_some()
            await stream.send_all(reply(200, b"right")[:-2])

    [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host=LOOPBACK))
    course = await easyracer.Course.find(LOOPBACK, listener.socket.getsockname()[1])
    with pytest.raises(ConnectionError, match="GET /1: peer closed connection without sending complete message body"):
        await course.get("/1")


async def test_get_sends_the_host_as_it_was_given(start, nursery):
    requests = []

    async def handle(stream):
        async with stream:
            requests.append(await stream.receive_some())
            await stream.send_all(reply(200, b"right"))

    [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host=LOOPBACK))
    port = listener.socket.getsockname()[1]
    course = easyracer.Course("course.example", 8080, socket.AF_INET, (LOOPBACK, port))
    await course.get("/1")
    assert requests[0].startswith(b"GET /1 HTTP/1.1\r\nHost: course.example:8080\r\n")


async def test_cancelled_get_ends_when_the_server_has_seen_it(nursery):
    story = []
    came = trio.Event()

    async def handle(stream):
        async with stream:
            await stream.receive_some()
            came.set()
            while await stream.receive_some():
                pass
            await trio.testing.wait_all_tasks_blocked()
            story.append("the server has seen it")

    [listener] = await nursery.start(partial(trio.serve_tcp, handle, 0, host=LOOPBACK))
    course = await easyracer.Course.find(LOOPBACK, listener.socket.getsockname()[1])
    async with trio.open_nursery() as racers:
        racers.start_soon(course.get, "/1")
        await came.wait()
        racers.cancel_scope.cancel()
    story.append("the racer has ended")
    assert story == ["the server has seen it", "the racer has ended"]


async def test_resource_is_given_back_when_its_user_is_cancelled(start):
    targets = []
    using = trio.Event()

    def replies(target):
        targets.append(target)
        if "use" in target:
            using.set()
            return b""
        return reply(200, b"a b")

    course = await easyracer.Course.find(LOOPBACK, await start(replies))
    async with trio.open_nursery() as racers:
        racers.start_soon(easyracer.scenario_8, course)
        await using.wait()
        await trio.testing.wait_all_tasks_blocked()
        racers.cancel_scope.cancel()
    assert sorted(targets) == ["/8?close=a%20b"] * 2 + ["/8?open"] * 2 + ["/8?use=a%20b"] * 2


async def test_resource_is_given_back_when_its_user_is_cancelled_before_it_has_it(start):
    targets = []
    user = trio.CancelScope()

    def replies(target):
        targets.append(target)
        if target == "/8?open":
            user.cancel()
        return reply(200, b"id")

    course = await easyracer.Course.find(LOOPBACK, await start(replies))
    with user:
        async with easyracer.resource(course):
            await trio.lowlevel.checkpoint()
    assert targets == ["/8?open", "/8?close=id"]


async def test_process_load_is_measured_over_each_second_and_stays_between_0_and_1(autojump_clock, monkeypatch):
    busy = iter([7.0, 7.25, 10.0, 9.5])  # several threads, then one that has ended
    wall = iter([100.0, 101.0, 102.0, 103.0])
    monkeypatch.setattr(easyracer, "busy_seconds", lambda: next(busy))
    monkeypatch.setattr(easyracer.time, "perf_counter", lambda: next(wall))
    load = easyracer.ProcessLoad()
    assert [(await load.next(), trio.current_time()) for _ in range(3)] == [(0.25, 1.0), (1.0, 2.0), (0.0, 3.0)]


async def test_process_load_makes_up_for_slow_answers(autojump_clock):
    load = easyracer.ProcessLoad()
    await load.next()
    await trio.sleep(0.75)
    await load.next()
    assert trio.current_time() == 2


async def test_hashing_stops_when_its_task_is_cancelled():
    started = trio.Event()

    async def compute():
        started.set()
        await trio.to_thread.run_sync(easyracer.hash_until_cancelled)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(compute)
        await started.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


def test_file_limit_that_is_too_low_is_said_plainly(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(OSError, match=r"needs 10200 open files, but the hard limit \(ulimit -Hn\) is 4096"):
        easyracer.allow_open_files(10_000)


def test_file_limit_is_raised_no_further_than_needed(monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    easyracer.allow_open_files(10_000)
    assert limits == [(10_200, resource.RLIM_INFINITY)]


def test_file_limit_that_suffices_is_left_alone(monkeypatch):
    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20_000, 20_000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    easyracer.allow_open_files(10_000)
    assert limits == []


def test_many_like_errors_are_told_once():
    errors = [OSError("full")] * 9999 + [ValueError("odd")]
    group = ForkPartialError("fork", [ForkPartialError("inner", errors), KeyError("k"), IndexError("i")])
    assert easyracer.in_short(group) == "OSError: full; ValueError: odd; KeyError: 'k'; ..."
