"""How heavy each page is, and when a reader can read it: a table, measured in Chromium.

    python -m tools.page_weight              all pages of the table of contents, bytes and times
    python -m tools.page_weight --bytes      bytes alone, without the slowed loads
    python -m tools.page_weight 01 api       some of them, by a part of the name
    python -m tools.page_weight --html DIR   another build's pages

Bytes are those that a first visit loads, compressed by gzip as a server would; "text" leaves out pictures and films,
also those inside the page. Times run from the request to the first paint and to the moment when all formulas stand
there in their fonts, on a processor slowed down four times, over a line of 1.6 Mbit/s (150 ms there and back) and one
of 9 Mbit/s (50 ms). They depend on what else the machine does: compare two builds in turn, on the same machine.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from playwright.sync_api import Browser

from . import ROOT, book, browser, option_parser

LINES = {"1.6 Mbit/s": (1.6e6 / 8, 150), "9 Mbit/s": (9e6 / 8, 50)}  # bytes per second, milliseconds
PICTURES = {".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp", ".ico"}
PACKED = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".woff2"}  # a server sends these as they are
INSIDE = re.compile(rb"data:image/[\w+.-]+;base64,[A-Za-z0-9+/=]*")
READABLE = """() => {
  const waiting = setInterval(() => {
    if (document.readyState === "loading" || document.fonts.status !== "loaded") return;
    const set = (formula) => formula.querySelector("mjx-container, .katex");
    if (![...document.querySelectorAll(".math")].every(set)) return;
    clearInterval(waiting);
    window.readable = performance.now();
  }, 20);
}"""


class Compressing(http.server.SimpleHTTPRequestHandler):
    """Serves files as a host of static pages does: compressed, and never from its own cache."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        body = packed(path)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(body)))
        if path.suffix not in PACKED:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *arguments):
        pass


@functools.cache
def packed(path: Path) -> bytes:
    body = path.read_bytes()
    return body if path.suffix in PACKED else gzip.compress(body)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(Compressing, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def requests(page_browser: Browser, address: str) -> list[str]:
    """The paths of all files that a first visit loads, as far as its window shows them."""
    asked: list[str] = []
    window = page_browser.new_context(viewport={"width": 1280, "height": 800})
    page = window.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address, wait_until="networkidle")
    window.close()
    return [unquote(urlsplit(url).path).lstrip("/") for url in asked if url.startswith("http")]


def sizes(folder: Path, paths: list[str]) -> tuple[int, int, int]:
    """(bytes, bytes compressed, bytes compressed without pictures and films) of these files."""
    raw = small = text = 0
    for path in (folder / name for name in paths):
        if path.is_file():
            raw += path.stat().st_size
            small += len(packed(path))
            if path.suffix == ".html":
                text += len(gzip.compress(INSIDE.sub(b"", path.read_bytes())))
            elif path.suffix not in PICTURES:
                text += len(packed(path))
    return raw, small, text


def times(page_browser: Browser, address: str, line: tuple[float, int]) -> tuple[float, float]:
    """Seconds to the first paint and to all formulas in their fonts, on a slow line and a slow processor."""
    speed, latency = line
    window = page_browser.new_context(viewport={"width": 1280, "height": 800})
    page = window.new_page()
    tools = window.new_cdp_session(page)
    tools.send("Network.enable")
    conditions = {"offline": False, "latency": latency, "downloadThroughput": speed, "uploadThroughput": speed}
    tools.send("Network.emulateNetworkConditions", conditions)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.add_init_script(f"({READABLE})()")
    page.goto(address, wait_until="commit")
    page.wait_for_function("window.readable", timeout=120_000, polling=200)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN")
    readable = page.evaluate("window.readable")
    window.close()
    return paint / 1000, max(paint, readable) / 1000


def pages(wanted: list[str]) -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    every = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"]), "search"]
    return [name for name in every if not wanted or any(part in name for part in wanted)]


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("names", nargs="*", help="parts of pages' names; all pages where none is given")
    parser.add_argument("--bytes", action="store_true", help="bytes alone, no times")
    parser.add_argument("--html", type=Path, default=book.HTML, help="a folder with built pages")
    options = parser.parse_args()
    if browser.installed() is None:
        sys.exit(f"No browser found: install Chromium or Chrome ({', '.join(browser.NAMES)}).")
    folder = options.html.resolve()
    heads = ["page", "requests", "kB", "kB, gzip", "kB of text, gzip"]
    heads += [] if options.bytes else [f"{what}, {name}" for name in LINES for what in ("paint", "readable")]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    with served(folder) as host, browser.started() as started:
        for name in pages(options.names):
            address = f"{host}/{name}.html"
            files = requests(started, address)
            raw, small, text = sizes(folder, files)
            row = [name, len(files), *(f"{size / 1000:,.0f}" for size in (raw, small, text))]
            if not options.bytes:
                for line in LINES.values():
                    row += [f"{seconds:.1f} s" for seconds in times(started, address, line)]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()
