"""Sentry gets what a program would only log: a retry as a breadcrumb, a dropped error and a failed fork as issues."""

from __future__ import annotations

from typing import Any

import sentry_sdk
import trio
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from trio_steps import (
    ErrorDiscarded,
    Event,
    ForkPartialError,
    Retry,
    StepRetrying,
    gather,
    observing,
    race,
    step,
)


def report(event: Event) -> None:
    """Tell Sentry about errors that are not raised."""
    match event:
        case StepRetrying(name=name, error=error, attempt=attempt):
            sentry_sdk.add_breadcrumb(
                category="retry", message=f"{name}, attempt {attempt}: {error!r}", level="warning"
            )
        case ErrorDiscarded(name=name, error=error):
            with sentry_sdk.new_scope() as scope:
                scope.set_tag("step", name)
                scope.capture_exception(error)
        case _:
            pass


class StandIn(Transport):
    """Keeps what would go to the server. Leave `transport` out, and give `dsn`, to send it there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event: Any = envelope.get_event()
        if event is not None:
            kinds = [value["type"] for value in event["exception"]["values"]]
            crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"] if crumb["category"] == "retry"]
            self.seen.append(f"{' + '.join(kinds)}, step {event.get('tags', {}).get('step')}, {crumbs}")


async def wins() -> str:
    await trio.sleep(0.01)
    return "done"


async def stumbles() -> str:
    try:
        await trio.sleep(1)
    finally:
        raise ConnectionResetError("while it was cancelled")


tries = iter([OSError("busy")])


async def flaky() -> None:
    raise next(tries, ValueError("no such order"))


async def main() -> None:
    transport = StandIn()
    sentry_sdk.init(
        dsn="http://key@127.0.0.1/1", transport=transport, default_integrations=False, auto_enabling_integrations=False
    )
    with observing(report):
        print(await race(wins, stumbles))
        try:
            await gather(step(flaky, retry=Retry(2, on=OSError)), wins)
        except ForkPartialError as error:
            sentry_sdk.capture_exception(error)
    print(*transport.seen, sep="\n")


if __name__ == "__main__":
    trio.run(main)
