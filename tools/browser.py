"""A browser for tests, measurements and the PDF: the system's Chromium or Chrome, steered by Playwright (no download).

Every request to the outside is refused, and recorded.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HERE = ("127.0.0.1", "localhost", "")  # hosts that are this machine; a page from disk has none


def installed() -> str | None:
    """The path of the system's browser, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def find() -> str:
    """The same, or a RuntimeError that says what to install."""
    found = installed()
    if found is None:
        raise RuntimeError(f"No browser found. Install Chromium or Chrome (one of {', '.join(NAMES)}).")
    return found


@contextmanager
def started(*arguments: str) -> Iterator[Browser]:
    """A browser that finds no host but this machine; `arguments` are more of Chromium's own switches."""
    path = find()
    switches = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", *arguments]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=switches)
        try:
            yield browser
        finally:
            browser.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *arguments):
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address under which the files of `folder` are served to this machine, without a slash at its end."""
    handler = functools.partial(Quiet, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def outside(address: str) -> bool:
    """Whether a request for this address leaves the machine."""
    parts = urlsplit(address)
    return parts.scheme not in ("file", "data", "blob", "about") and parts.hostname not in HERE


class Record:
    """What a page did that it should not do: it grows while the page lives.

    `messages` holds what it wrote to the console as an error or a warning, and what it raised; `requests` the
    addresses outside this machine that it asked for.
    """

    def __init__(self, page: Page):
        self.messages: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._written)
        page.on("pageerror", self._raised)
        page.on("request", self._asked)

    def _written(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.messages.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _raised(self, error: Error) -> None:
        self.messages.append(f"raised: {error.message}")

    def _asked(self, request: Request) -> None:
        if outside(request.url):
            self.requests.append(request.url)


# Opens all that a page folds, in the page.
UNFOLD = "document.querySelectorAll('.deeper-fold[aria-expanded=false]').forEach(button => button.click())"


@contextmanager
def opened(browser: Browser, address: str, *, width: int = 1280, height: int = 800, **context) -> Iterator[Page]:
    """A page in a window of its own, loaded, with `page.record`; `context` goes to Playwright's new_context.

    color_scheme="dark" and reduced_motion="reduce" are what a reader's system asks for; java_script_enabled=False,
    has_touch=True and device_scale_factor=3 are a reader's machine.
    """
    window = browser.new_context(viewport={"width": width, "height": height}, **context)
    try:
        page = window.new_page()
        page.set_default_timeout(20_000)
        page.record = Record(page)  # pyright: ignore[reportAttributeAccessIssue]
        page.goto(address, wait_until="load")
        yield page
    finally:
        window.close()
