"""What the tests that need a browser share. Without Chromium or Chrome they are skipped, with a sentence.

def test_a_button(open_page, book_address):
    page = open_page(f"{book_address}/book/intro.html", width=360)
    page.click("button")
    assert page.record.messages == [] and page.record.requests == []
"""

import signal
from contextlib import ExitStack

import pytest
from matplotlib import pyplot as plt

from tools import book, browser


@pytest.fixture(autouse=True)
def no_figure_left():
    """Pyplot keeps the figures of a whole process: none of a test's is left to another."""
    yield
    plt.close("all")


@pytest.fixture(autouse=True)
def ctrl_c():
    """Ctrl-C as usual: background jobs ignore it, and so would what they start."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


@pytest.fixture(scope="session")
def built():
    """The folder of the built book's pages; they are built here where they are older than what they are made from."""
    book.ensure()
    return book.HTML


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests of a file."""
    if browser.installed() is None:
        pytest.skip(f"No browser found: install Chromium or Chrome ({', '.join(browser.NAMES)}).")
    with browser.started() as started:
        yield started


@pytest.fixture
def open_page(chromium):
    """open_page(address, width=1280, height=800, **context): a page, loaded; it closes when the test ends."""
    with ExitStack() as stack:
        yield lambda address, **context: stack.enter_context(browser.opened(chromium, address, **context))


@pytest.fixture(scope="module")
def book_on_disk(built):
    """The address of the built book, opened from disk."""
    return built.as_uri()


@pytest.fixture(scope="module")
def book_address(built):
    """The address of the built book over a server on this machine."""
    with browser.served(built) as address:
        yield address
