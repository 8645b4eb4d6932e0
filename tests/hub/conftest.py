"""A hub, a browser and agents for the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import ServedHub, open_browser, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[ServedHub]:
    hub = ServedHub(tmp_path / "runs")
    hub.start()
    yield hub
    hub.kill()


@pytest.fixture
def page(browser: Browser, hub: ServedHub) -> Iterator[Page]:
    with open_page(browser) as page:
        yield page


@pytest.fixture
def agents() -> Iterator[ExitStack]:
    """Connections of agents that stay until the test ends."""
    with ExitStack() as stack:
        yield stack
