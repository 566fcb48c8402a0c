"""A crawler in a dozen lines, over real sockets: a path of the fork adds the pages that it finds.

    python examples/crawler.py

It serves a small site on the loopback interface and crawls it politely, with a limit on requests at a time and per
second. It prints each page with its status, and what the site has seen of its visitor.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import attrs
import httpx
import trio

from trio_steps import RateLimit, current_scope, settle, step

if TYPE_CHECKING:
    from trio_steps import SettleResult

LINK = re.compile(r'href="([^"]+)"')


async def crawl(client: httpx.AsyncClient, start: str, *, at_once: int, rate: RateLimit) -> list[SettleResult[str]]:
    """Visit all pages of the site that `start` is a page of, and return what became of each."""
    seen = {start}

    async def visit(path: str) -> str:
        answer = (await client.get(path)).raise_for_status()
        for link in LINK.findall(answer.text):
            if link.startswith("/") and link not in seen:
                seen.add(link)
                current_scope().add(step(partial(visit, link), id=link))
        return answer.text

    first = step(partial(visit, start), id=start)
    return [*await settle([first], growing=True, concurrency=at_once, rate=rate)]


# The site


@attrs.define
class Site:
    """Pages that link to each other, and a dead link.

    Attributes:
      requests: the number of requests.
      most: the most requests at one time.
    """

    requests: int = 0
    open: int = 0
    most: int = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one request; the answer takes a while."""
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        path = request.split()[1].decode()
        self.requests += 1
        self.open += 1
        self.most = max(self.most, self.open)
        await trio.sleep(0.1)
        self.open -= 1
        page = PAGES.get(path)
        status = "404 Not Found" if page is None else "200 OK"
        body = "".join(f'<a href="{link}">{link}</a>\n' for link in page or ()).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        await stream.send_all(head.encode() + body)


PAGES = {
    "/": ("/docs", "/blog", "https://elsewhere.example/"),
    "/docs": ("/", "/docs/fork", "/docs/race"),
    "/docs/fork": ("/docs", "/docs/race"),
    "/docs/race": ("/docs/fork", "/docs/moved"),
    "/blog": ("/", "/blog/1", "/blog/2"),
    "/blog/1": ("/blog/2",),
    "/blog/2": ("/blog/1", "/"),
}


async def main() -> None:
    """Serve the site, crawl it, and print what was found."""
    site = Site()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, site.serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            results = await crawl(client, "/", at_once=3, rate=RateLimit(40, per=1.0, burst=1))
        nursery.cancel_scope.cancel()
    for result in sorted(results, key=lambda result: result.step_id):
        match result.error:
            case None:
                print(f"200  {result.step_id}")
            case httpx.HTTPStatusError(response=response):
                print(f"{response.status_code}  {result.step_id}")
            case error:
                print(f"{type(error).__name__}  {result.step_id}")
    print(f"the site has seen {site.requests} requests, and never more than {site.most} at once")


if __name__ == "__main__":
    trio.run(main)
