"""What a whole run talks to: a server that keeps what it gets, and a mock of the Messages API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.collector import Collector, collecting
from tests.support.mock_api import MockApi


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as collector:
        yield collector


@pytest.fixture
def api() -> Iterator[MockApi]:
    with MockApi() as server:
        yield server
