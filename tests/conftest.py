from __future__ import annotations

import signal

import pytest

from tests.support.purity import forbid_io

forbid_io()

# Whoever starts the suite in the background of a script, or with nohup, ignores these on behalf of all its children.
for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGQUIT, signal.SIG_DFL),
                        (signal.SIGINT, signal.default_int_handler)):  # fmt: skip
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden instead of comparing with it")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
