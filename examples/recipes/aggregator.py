"""An httpx aggregator: limits, hedging, a breaker and a rate, one option each."""

from __future__ import annotations

from functools import partial

import httpx
import trio

from trio_steps import CircuitBreaker, ForkPartialError, RateLimit, Retry, race, settle, step

AT_ONCE = trio.CapacityLimiter(4)
"""The limit on requests at one time, for all services together."""


class Service:
    """The requests to one service, which share a breaker and a rate."""

    def __init__(self, client: httpx.AsyncClient, name: str, mirrors: tuple[str, ...]) -> None:
        self.name = name
        self.mirrors = mirrors
        self.get = step(
            partial(self._get, client),
            id=name,
            total_timeout=5,
            limiter=AT_ONCE,
            retry=Retry(3, backoff="exponential", delay=0.05, on=(httpx.TransportError, httpx.HTTPStatusError)),
            circuit_breaker=CircuitBreaker(3, cooldown=30, on=(httpx.TransportError, httpx.HTTPStatusError)),
            rate=RateLimit(50, per=1.0),
            timeout=2,
        )

    @staticmethod
    async def _get(client: httpx.AsyncClient, url: str) -> str:
        return (await client.get(url)).raise_for_status().text

    async def fastest(self) -> str:
        """Ask the first mirror, and the next one after a quarter of a second, or at once if the first fails."""
        return await race([step(partial(self.get, url), id=url) for url in self.mirrors], stagger=0.25)


async def answer(stream: trio.SocketStream, seen: list[str]) -> None:
    """Serve one request: /slow takes its time, /down is down, /flaky fails once."""
    request = await stream.receive_some()
    path = request.split()[1].decode()
    seen.append(path)
    if path == "/slow":
        await trio.sleep(30)
    failed = path == "/down" or (path == "/flaky" and seen.count("/flaky") == 1)
    status = "503 Service Unavailable" if failed else "200 OK"
    body = f"{path[1:]} says hello".encode()
    await stream.send_all(
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    )


async def main() -> None:
    seen: list[str] = []
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, partial(answer, seen=seen), 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url) as client:
            services = [
                Service(client, "weather", ("/slow", "/near")),  # hedged
                Service(client, "news", ("/flaky",)),  # tried again
                Service(client, "stocks", ("/down",)),  # given up
            ]
            results = await settle([step(service.fastest, id=service.name) for service in services], timeout=10)
            for result in results:
                print(f"{result.step_id}: {result.value or result.kind}")
            print("requests for /down:", seen.count("/down"))

            (again,) = await settle(services[2].fastest)
            if isinstance(again.error, ForkPartialError):
                print("again:", type(again.error.exceptions[0]).__name__)
            print("requests for /down:", seen.count("/down"))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
