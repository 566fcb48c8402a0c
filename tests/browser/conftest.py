"""A browser for tests: headless Chromium, driven by the DevTools protocol over a pair of pipes.

It needs no driver and no library. ``CHROMIUM`` names the browser, if ``chromium`` on the path is not the one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Chromium reads commands from file descriptor 3 and answers on 4; this puts the pipes there and becomes Chromium.
BECOME = """
import os, sys
read, write, *command = sys.argv[1:]
# first out of the way, for either may be 3 or 4, which the third copy is not
read, write = (os.dup(os.dup(os.dup(int(fd)))) for fd in (read, write))
os.dup2(read, 3)
os.dup2(write, 4)
os.execvp(command[0], command)
"""


class Browser:
    """Chromium, and the events it has sent so far."""

    def __init__(self, profile: Path) -> None:
        for_commands, commands = os.pipe()
        answers, for_answers = os.pipe()
        arguments = (
            os.environ.get("CHROMIUM", "chromium"),
            "--headless",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            f"--user-data-dir={profile}",
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", BECOME, str(for_commands), str(for_answers), *arguments],
            pass_fds=(for_commands, for_answers),
            stderr=subprocess.DEVNULL,
        )
        os.close(for_commands)
        os.close(for_answers)
        self._commands = os.fdopen(commands, "wb", buffering=0)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._unread = b""
        self._last_id = 0
        self.events: list[dict[str, Any]] = []

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            data = self._answers.read(65536)
            if not data:
                raise EOFError("Chromium has gone; does it start by itself?")
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def send(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call `method` of the protocol, and return its result."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._commands.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait(self, method: str, session: str) -> None:
        """Wait for this event, unless it has already come."""
        while not any(event["method"] == method and event.get("sessionId") == session for event in self.events):
            self.events.append(self._read())

    def close(self) -> None:
        self.send("Browser.close")
        self._process.wait()
        self._commands.close()
        self._answers.close()


class Page:
    """A tab with a page in it."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.resize(1280, 900)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call `method` of the protocol for this page."""
        return self._browser.send(method, session=self._session, **params)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window, in pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, file: Path) -> None:
        """Show `file`, and wait until it is loaded. Forget the events of the previous page."""
        self._browser.events = [event for event in self._browser.events if event.get("sessionId") != self._session]
        self.send("Page.navigate", url=file.as_uri())
        self._browser.wait("Page.loadEventFired", self._session)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """Press a key such as Tab or Enter, as a person does."""
        codes = {"Tab": 9, "Enter": 13}
        text = {"text": "\r"} if key == "Enter" else {}
        code = codes[key]
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """Return the parameters of the events of these kinds, so far."""
        self.run("new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)))")  # events that are due
        return [
            event["params"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] in methods
        ]

    def complaints(self) -> list[dict[str, Any]]:
        """Return everything that would be in its console."""
        return self.told("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Page:
    return Page(browser)
