"""A sign-up, as a pipeline: some ten steps over real input, each of which asks a service or decides something.

    python examples/signup.py examples/signup.json
    python examples/signup.py examples/signup.json --stop-after plan --checkpoint half.json
    python examples/signup.py --resume half.json
    python examples/signup.py --mermaid

It takes a second and needs nothing but this machine. The first half is what you would write: the steps, the pipeline,
and a program around it. The second half is what you would already have: the services, and a way to talk to them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import shutil
import signal
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import trio

from trio_steps import (
    Checkpoint,
    CheckpointError,
    Event,
    Pipeline,
    Recorder,
    Retry,
    StepCancelled,
    StepCompletion,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepSucceeded,
    otherwise,
    step,
    when,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from trio_steps import Observer

# ---- The steps: functions of the keys that they name ----


class ServiceError(Exception):
    """A service replied that it can't help."""


class Signup(TypedDict):
    """The input of a sign-up, from the file."""

    name: str
    email: str
    plan: str
    photos: list[str]


class Welcome(TypedDict):
    """The result of a sign-up."""

    account: str
    greeting: str
    benefits: list[str]
    thumbnails: list[str]
    verdict: str
    sent_by: str


class Person(TypedDict):
    """The person, with names and addresses in one form."""

    name: str
    email: str


def tidy(name: str, email: str) -> Person:
    """Bring names and addresses into one form."""
    return {"name": " ".join(name.split()).title(), "email": email.strip().lower()}


async def open_account(email: str) -> str:
    """Return the number of a new account."""
    return await ask("accounts", email)


async def look_up_risk(email: str) -> int:
    """Return how likely this is a bot, in per cent."""
    return int(await ask("risk", email))


async def look_up_company(email: str) -> str:
    """Return the person's employer."""
    return await ask("companies", email)


async def look_up_referrer(email: str) -> str:
    """Return who told the person about us. That service has a bad day."""
    return await ask("referrers", email)


def is_risky(risk: int = 100) -> bool:
    """Tell whether a colleague should have a look."""
    return risk >= 50


async def review(email: str, risk: int = 100) -> str:
    """Return the colleague's verdict."""
    return await ask("reviewers", f"{email} {risk}")


def is_premium(plan: str) -> bool:
    """Tell whether the person pays."""
    return plan == "premium"


def is_trial(plan: str) -> bool:
    """Tell whether the person may pay one day."""
    return plan == "trial"


async def bill(account: str) -> str:
    """Return the number of the first bill."""
    return await ask("billing", account)


def premium_benefits(bill: str, company: str = "friends") -> list[str]:
    """Return what a premium account comes with."""
    return ["all features", f"a desk for {company}", f"bill {bill}"]


def trial_benefits() -> list[str]:
    """Return what a trial comes with."""
    return ["all features, for a month"]


def basic_benefits() -> list[str]:
    """Return what everyone gets."""
    return ["some features"]


async def make_thumbnail(photo: str, account: str) -> str:
    """Return the address of a small copy of `photo`."""
    return await ask("thumbnails", f"{account}/{photo}")


def write_mail(name: str, benefits: list[str], referrer: str = "A friend") -> str:
    """Return the mail that welcomes the person."""
    return f"Welcome, {name}! {referrer} told you about us. You have {', '.join(benefits)}."


async def send_by_post(email: str, mail: str) -> str:
    """Send the mail with the first provider."""
    return await ask("post", f"{email} {mail}")


async def send_by_pigeon(email: str, mail: str) -> str:
    """Send the mail with the second provider."""
    return await ask("pigeon", f"{email} {mail}")


def sum_up(
    account: str,
    mail: str,
    benefits: list[str],
    thumbnails: list[str],
    sent_by: str,
    verdict: str = "nobody had to look",
) -> Welcome:
    """Return what the caller wants to know, and nothing else."""
    return {
        "account": account,
        "greeting": mail.partition(".")[0],
        "benefits": benefits,
        "thumbnails": thumbnails,
        "verdict": verdict,
        "sent_by": sent_by,
    }


# ---- The pipeline: what is wrong with it is an error at its line, before anything runs ----

premium = (
    Pipeline("premium")
    .step("bill", bill, provides="bill")
    .step("benefits", premium_benefits, provides="benefits")
)  # fmt: skip

patient = Retry(4, backoff="exponential", delay=0.05, on=ServiceError)

welcome = (
    Pipeline("welcome")
    .step("write", write_mail, provides="mail")
    .step(
        "send",
        step(send_by_post, id="post", provides="sent_by"),
        step(send_by_pigeon, id="pigeon", provides="sent_by"),
        mode="race",
    )
)

signup = (
    Pipeline("signup", inputs=Signup)
    .step("tidy", tidy)
    .step("open-account", open_account, provides="account", retry=patient)
    .step(
        "look-up",
        step(look_up_risk, id="risk", provides="risk"),
        step(look_up_company, id="company", provides="company"),
        step(look_up_referrer, id="referrer", provides="referrer"),
        mode="settle",
        timeout=0.5,
    )
    .step("review", review, provides="verdict", condition=is_risky)
    .branch_on(
        "plan",
        when(is_premium, premium),
        when(is_trial, lambda p: p.step("benefits", trial_benefits, provides="benefits"), name="trial"),
        otherwise(lambda p: p.step("benefits", basic_benefits, provides="benefits"), name="basic"),
    )
    .for_each("thumbnails", make_thumbnail, over="photos", each="photo", into="thumbnails", concurrency=2)
    .step("welcome", welcome)
    .transform("sum-up", sum_up)
    .outputs(Welcome)
)


# ---- The program: run the pipeline, stop it at a step, continue from there ----


def tell(event: Event) -> None:
    """Print what happens, as it happens."""
    match event:
        case StepSucceeded():
            line = f"✓ {event.name}"
        case StepFailed(error=error):
            line = f"✗ {event.name}: {error!r}"
        case StepRetrying(error=error, delay=delay):
            line = f"↻ {event.name}: {error!r}, once more in {delay:g} s"
        case StepSkipped(reason=reason):
            line = f"» {event.name}: {reason}"
        case StepCancelled(reason=reason):
            line = f"⊘ {event.name}: {reason}"
        case _:
            return
    print(line, flush=True)


async def main(options: argparse.Namespace) -> int:
    """Run the services, and the pipeline against them; return the exit code."""
    recorder = Recorder()
    watchers: list[Observer] = [tell, recorder]
    stopped = False

    def stop_there(event: StepCompletion) -> None:
        nonlocal stopped
        stopped = stopped or event.name == options.stop_after
        if stopped:  # members beside that step still end, and are in the file
            options.checkpoint.write_text(event.checkpoint.to_json(), encoding="utf-8")
            event.stop()

    run: Coroutine[object, object, Welcome]
    if options.resume:
        run = signup.resume(options.resume, observers=watchers, on_step_complete=stop_there)
    else:
        run = signup.run(options.input, observers=watchers, on_step_complete=stop_there)
    result: Welcome | None = None
    async with trio.open_nursery() as nursery:
        await start_services(nursery, options.slow)
        with trio.CancelScope() as scope:
            await nursery.start(cancel_on_ctrl_c, scope)
            try:
                result = await run
            finally:
                color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
                width = shutil.get_terminal_size((100, 24)).columns
                print(f"\n{recorder.render(width=width, color=color)}\n")
        nursery.cancel_scope.cancel("the services have nothing left to do")

    if options.mermaid:
        print(recorder.to_mermaid(signup), end="\n\n")
    if result is None:
        print("interrupted")
        return 130
    if stopped:
        print(f"stopped after {options.stop_after!r}; to go on: --resume {options.checkpoint}")
    else:
        print(json.dumps(result, indent=2))
    return 0


async def cancel_on_ctrl_c(scope: trio.CancelScope, task_status: trio.TaskStatus[None]) -> None:
    """Let Ctrl-C cancel what runs, so that it can clean up."""
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel("Ctrl-C")


def read_input(path: str) -> Signup:
    """Return the contents of the file, if that is a sign-up."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None
    match data:
        case {"name": str(name), "email": str(email), "plan": str(plan), "photos": [*photos]} if all(
            isinstance(photo, str) for photo in photos
        ):
            return {"name": name, "email": email, "plan": plan, "photos": photos}
        case _:
            pass
    form = '{"name": "…", "email": "…", "plan": "premium", "trial" or another, "photos": ["…", …]}'
    raise argparse.ArgumentTypeError(f"{path}: this is not a sign-up; write {form}")


def read_checkpoint(path: str) -> Checkpoint:
    """Return the checkpoint in the file."""
    try:
        return Checkpoint.from_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description="Run a sign-up, in steps.")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("input", nargs="?", type=read_input, help="a JSON file, such as examples/signup.json")
    begin.add_argument("--resume", metavar="FILE", type=read_checkpoint, help="go on from a checkpoint")
    parser.add_argument("--stop-after", metavar="STEP", choices=signup.step_names, help="stop when this step is done")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, help="where to write the checkpoint of that step")
    parser.add_argument("--mermaid", action="store_true", help="print the pipeline as Mermaid, coloured by a run")
    parser.add_argument("--slow", metavar="N", type=float, default=1.0, help="let the services take N times as long")
    return parser


# ---- The protocol: just enough HTTP. ----


class HungUpError(Exception):
    """The other end hung up in the middle of a message."""


async def ask(service: str, question: str) -> str:
    """Send `question` to a service, and return the answer."""
    async with await trio.open_tcp_stream("127.0.0.1", PORTS[service]) as stream:
        await stream.send_all(message("POST / HTTP/1.0", question))
        status, answer = await read_message(stream)
    if " 200 " not in status:
        raise ServiceError(answer)
    return answer


def message(first_line: str, body: str) -> bytes:
    """Return an HTTP message."""
    content = body.encode()
    return f"{first_line}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


async def read_message(stream: trio.SocketStream) -> tuple[str, str]:
    """Read an HTTP message, and return its first line and its body."""
    data = b""
    async for chunk in stream:
        data += chunk
        head, blank_line, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if blank_line and length and len(body) >= int(length[1]):
            return head.decode().splitlines()[0], body.decode()
    raise HungUpError


# ---- The services: some are slow, one is busy at first, one hangs. ----


class Service:
    """Answers after `delay` seconds: first as its first reply says, then as the next, then always as the last."""

    def __init__(self, delay: float, *replies: Callable[[str], str]) -> None:
        self.delay = delay
        self.replies = deque(replies)

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one connection."""
        with contextlib.suppress(trio.BrokenResourceError, HungUpError):  # a step that is cancelled hangs up
            _, question = await read_message(stream)
            reply = self.replies.popleft() if len(self.replies) > 1 else self.replies[0]
            await trio.sleep(self.delay)
            try:
                answer = message("HTTP/1.0 200 OK", reply(question))
            except ServiceError as error:
                answer = message("HTTP/1.0 503 Service Unavailable", str(error))
            await stream.send_all(answer)


def busy(_question: str) -> str:
    """Reply that it can't help now."""
    raise ServiceError("busy")


SERVICES = {
    "accounts": Service(0.05, busy, busy, lambda email: f"{email.partition('@')[0]}-1815"),
    "risk": Service(0.05, lambda email: "5" if email.endswith(".org") else "80"),
    "companies": Service(0.15, lambda _: "Analytical Engines"),
    "referrers": Service(math.inf, lambda _: "never sent"),
    "reviewers": Service(0.10, lambda _: "a person, I think"),
    "billing": Service(0.10, lambda account: f"{account}/1"),
    "thumbnails": Service(0.10, lambda path: f"https://thumbnails.example/{path}"),
    "post": Service(0.10, lambda _: "post"),
    "pigeon": Service(math.inf, lambda _: "never sent"),
}
PORTS: dict[str, int] = {}


async def start_services(nursery: trio.Nursery, slow: float) -> None:
    """Let each service listen on a free port of this machine, and take `slow` times its time."""
    for name, service in SERVICES.items():
        service.delay *= slow
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, service, listeners)
        PORTS[name] = listeners[0].socket.getsockname()[1]


if __name__ == "__main__":
    parser = command_line()
    options = parser.parse_args()
    if (options.stop_after is None) != (options.checkpoint is None):
        parser.error("--stop-after STEP and --checkpoint FILE go together")
    if options.input or options.resume:
        try:
            sys.exit(trio.run(main, options))
        except CheckpointError as error:
            parser.error(str(error))
    elif options.mermaid:
        print(signup.to_mermaid())
    else:
        parser.error("give an input file, or --resume FILE, or --mermaid")
