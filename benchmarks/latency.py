"""What races, hedges, quorums and deadlines buy: ``python -m benchmarks.latency``.

Requests meet services whose times are drawn from a seeded, heavy-tailed distribution, on Trio's virtual clock: a study
of minutes of waiting takes seconds, and the same seed gives the same numbers on every Python and every machine. For
that, the distribution needs nothing but `random.Random.random`, which is the same everywhere, and exact arithmetic;
every delay is a whole number of ticks of 2⁻²⁰ s, so that the clock adds without rounding; and the delay of a hedge
lies half a tick off, so that no answer ties with it.

Every plan meets the same services: request number n of each draws the same times.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing

from trio_steps import fork

from . import svg

TICK = 2.0**-20
"""Seconds."""

QUANTILES = (0.5, 0.9, 0.99, 0.999)
HEDGES = (0.5, 0.8, 0.9, 0.95, 0.99)
"""The quantiles of a plain request after which a second one is sent."""

BASE = 0.010
"""Seconds that every request takes."""
BODY = 0.010
"""Seconds of the usual spread on top of it."""
STALLED = 0.04
"""The part of all requests that meet a stall: a collection, a full queue, a lost packet."""
STALL = 0.020
"""Seconds that a stall takes at least; the probability of one that takes longer than x falls like 1 / x."""
WORST = 2.0
"""Seconds after which the service itself gives up stalling."""
DEADLINE = 0.050
"""Seconds that a settle with a deadline has."""

REPLICAS = 3


def draw(source: random.Random) -> float:
    """Draw the seconds that a service takes."""
    ticks = BASE + BODY * (source.random() + source.random()) / 2
    if source.random() < STALLED:
        ticks += min(STALL / (1.0 - source.random()), WORST)
    return round(ticks / TICK) * TICK


@attrs.define(eq=False)
class Services:
    """Replicas of a service; `times` are how long each takes for the present request."""

    times: Sequence[float] = ()
    sent: int = 0

    def replica(self, number: int) -> Callable[[], Awaitable[int]]:
        async def replica() -> int:
            self.sent += 1
            await trio.sleep(self.times[number])
            return number

        return replica


Request = Callable[[], Awaitable[int]]
"""Does one request; returns how many answers came of it."""


@attrs.frozen(kw_only=True)
class Plan:
    """A way to send a request.

    Attributes:
      needed: how many requests it would take if nothing ever stalled.
      make: gets the services, and returns what does one request.
    """

    name: str
    needed: int
    make: Callable[[Services], Request]


@attrs.frozen(kw_only=True)
class Study:
    """What became of many requests.

    Attributes:
      sent: requests that were sent to services, for each request that somebody made.
      extra: how many of them more than needed, as a part of those needed.
      missing: the part of the answers that did not make the deadline.
      times: the sorted seconds to the result.
    """

    name: str
    sent: float
    extra: float
    missing: float
    times: tuple[float, ...] = attrs.field(repr=False)

    def quantile(self, q: float) -> float:
        """Return the seconds in which the part `q` of all requests had their results."""
        return self.times[min(int(q * len(self.times)), len(self.times) - 1)]


def plans(hedge_after: Callable[[float], float]) -> list[Plan]:
    """Return the plans to study; `hedge_after` gives the quantile of a plain request, in seconds."""

    def one(services: Services) -> Request:
        replica = services.replica(0)

        async def request() -> int:
            await replica()
            return 1

        return request

    def forked(count: int, read: Callable[[Any], int], **options: Any) -> Callable[[Services], Request]:
        def make(services: Services) -> Request:
            run = fork("request", paths=[services.replica(number) for number in range(count)], **options)

            async def request() -> int:
                return read(await run())

            return request

        return make

    def one_value(_value: object) -> int:
        return 1

    def fulfilled(results: Sequence[Any]) -> int:
        return sum(result.status == "fulfilled" for result in results)

    found = [
        Plan(name="plain", needed=1, make=one),
        Plan(name="race of 2", needed=1, make=forked(2, one_value, mode="race")),
        Plan(name="all of 3", needed=3, make=forked(3, len, mode="all")),
        Plan(name="quorum 2 of 3", needed=2, make=forked(3, len, mode="quorum", need=2)),
        Plan(
            name=f"settle 3, {DEADLINE * 1000:.0f} ms deadline",
            needed=3,
            make=forked(3, fulfilled, mode="settle", timeout=DEADLINE),
        ),
    ]
    found[2:2] = [
        Plan(
            name=f"hedge at p{q * 100:.0f}",
            needed=1,
            make=forked(2, one_value, mode="race", stagger=hedge_after(q) + TICK / 2),
        )
        for q in HEDGES
    ]
    return found


def study_one(plan: Plan, requests: int, seed: int) -> Study:
    """Send `requests` requests, one after the other, in virtual time."""
    source = random.Random(seed)
    services = Services()
    times: list[float] = []
    answers = 0

    async def main() -> None:
        nonlocal answers
        request = plan.make(services)
        for _ in range(requests):
            services.times = [draw(source) for _ in range(REPLICAS)]
            start = trio.current_time()
            answers += await request()
            times.append(trio.current_time() - start)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return Study(
        name=plan.name,
        sent=services.sent / requests,
        extra=services.sent / requests / plan.needed - 1,
        missing=1 - answers / (plan.needed * requests),
        times=tuple(sorted(times)),
    )


def study(requests: int, seed: int) -> list[Study]:
    """Study all plans with as many requests each."""
    studies: list[Study] = []
    for number in range(len(plans(lambda _q: 0.0))):
        (plan,) = plans(studies[0].quantile if studies else lambda _q: 0.0)[number : number + 1]
        studies.append(study_one(plan, requests, seed))
    return studies


def table(studies: Sequence[Study], seed: int) -> str:
    """Return the numbers as text."""
    head = f"{'milliseconds to the result':<28}" + "".join(f"{f'p{q * 100:g}':>9}" for q in QUANTILES)
    lines = [f"{head}{'sent':>8}{'extra':>8}{'missing':>9}"]
    for one in studies:
        times = "".join(f"{one.quantile(q) * 1000:9.1f}" for q in QUANTILES)
        missing = f"{one.missing:9.2%}" if "deadline" in one.name else f"{'—':>9}"
        lines.append(f"{one.name:<28}{times}{one.sent:8.3f}{one.extra:8.1%}{missing}")
    requests = len(studies[0].times)
    lines.append(f"{requests:,} requests each, {requests * len(studies):,} in all; seed {seed}")
    return "\n".join(lines)


def as_json(studies: Sequence[Study], seed: int) -> dict[str, Any]:
    """Return the numbers as what JSON can hold."""
    return {
        "seed": seed,
        "requests": len(studies[0].times),
        "plans": [
            {
                "name": one.name,
                "sent": one.sent,
                "extra": one.extra,
                "missing": one.missing,
                "seconds": {f"p{q * 100:g}": one.quantile(q) for q in QUANTILES},
            }
            for one in studies
        ],
    }


SEED = 20
REQUESTS, QUICK_REQUESTS = 10_000, 1_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each plan")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them there")
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    studies = study(options.requests, options.seed)
    print(table(studies, options.seed))
    print(
        f"{sum(sum(one.times) for one in studies) / 60:,.0f} minutes of waiting, in {time.perf_counter() - start:.1f} s"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(studies, options.seed), indent=2) + "\n", encoding="utf-8")
    if options.svg is not None:
        options.svg.write_text(svg.latency(studies), encoding="utf-8")


if __name__ == "__main__":
    main()
