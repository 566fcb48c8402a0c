"""The example of a crawler: each page is visited once, under the limit, over real sockets."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from places import EXAMPLES

ENVIRONMENT = {**os.environ, "PYTHONUTF8": "1", "PYTHONWARNINGS": "error"}


def test_crawler_visits_each_page_once_and_keeps_to_its_limit() -> None:
    command = [sys.executable, EXAMPLES / "crawler.py"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env=ENVIRONMENT, timeout=60, check=False)
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
