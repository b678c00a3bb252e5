"""A running app with a tiny model, and Chromium in front of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser.running_app import RunningApp, running_app
from browser.visitor import Visitor, Watched
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
MILLISECONDS_TO_WAIT = 20_000  # two cores may be shared with other work
LAPTOP = {"width": 1366, "height": 900}

expect.set_options(timeout=MILLISECONDS_TO_WAIT)


@pytest.fixture(scope="session")
def app(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    with running_app(tmp_path_factory.mktemp("app"), tiny_model) as served:
        yield served


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    system = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=system, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(
    app: RunningApp, chromium: Browser, tmp_path: Path
) -> Iterator[Callable[..., Visitor]]:
    """`open_page(**options of a browser context)`: a new visitor on the page.

    Every journey is watched: it asks no other host, logs no error, opens no dialog.
    """
    contexts: list[BrowserContext] = []
    watched = Watched()

    def opened(**options: object) -> Visitor:
        context = chromium.new_context(**{"viewport": LAPTOP, **options})
        contexts.append(context)
        context.set_default_timeout(MILLISECONDS_TO_WAIT)
        watched.listen_to(context)
        visitor = Visitor(context.new_page(), app.url, watched)
        visitor.arrive()
        return visitor

    yield opened
    for context in contexts:
        context.close()
    assert watched == Watched()


@pytest.fixture
def visitor(open_page: Callable[..., Visitor]) -> Visitor:
    """Somebody at a laptop."""
    return open_page()
