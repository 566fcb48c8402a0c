"""The crawler example: each page is visited once, under the limit, over real sockets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from places import EXAMPLES

if TYPE_CHECKING:
    from warm import Interpreter


def test_crawler_visits_each_page_once_and_keeps_to_its_limit(python: Interpreter) -> None:
    done = python.run(EXAMPLES / "crawler.py")
    assert (done.returncode, done.stderr) == (0, "")
    *pages, seen = done.stdout.splitlines()
    assert pages == [
        "200  /",
        "200  /blog",
        "200  /blog/1",
        "200  /blog/2",
        "200  /docs",
        "200  /docs/fork",
        "404  /docs/moved",
        "200  /docs/race",
    ]
    found = re.fullmatch(r"the site has seen 8 requests, and never more than (\d) at once", seen)
    assert found
    assert int(found[1]) <= 3
