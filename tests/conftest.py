from __future__ import annotations

import os
import signal
from collections.abc import Generator
from typing import TypeVar

import hypothesis
import pytest

from tests.support import lanes
from tests.support.purity import forbid_io

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

forbid_io()

# Whoever starts the suite in the background of a script, or with nohup, ignores these on behalf of all its children.
for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGQUIT, signal.SIG_DFL),
                        (signal.SIGINT, signal.default_int_handler)):  # fmt: skip
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# A failure prints what reproduces it; and a busy machine fails no example, since no test is about time.
hypothesis.settings.register_profile("suite", hypothesis.settings.default, print_blob=True, deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden instead of comparing with it")
    parser.addoption(
        "--lane",
        action="append",
        choices=[lanes.FAST, *lanes.LANES],
        help="run only the tests of this lane (see tests/support/lanes.py); may be given several times",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--lane")
    if chosen:
        others = [item for item in items if lanes.lane_of(item) not in chosen]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if lanes.lane_of(item) in chosen]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    lanes.begins(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    _name_what_is_missing(call)
    report = yield
    return report if item.get_closest_marker("may_skip") else _fail_when_skipped_in_ci(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _fail_when_skipped_in_ci((yield))


def _name_what_is_missing(call: pytest.CallInfo[None]) -> None:
    """pytest-trio takes a skip out of the exception group of a nursery, but without its reason."""
    skipped = call.excinfo.value if call.excinfo else None
    if isinstance(skipped, pytest.skip.Exception) and not skipped.msg:
        first = skipped.__context__
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        skipped.msg = getattr(first, "msg", None)


def _fail_when_skipped_in_ci(report: Report) -> Report:
    """CI installs everything, so a test that skips there would silently stop being one."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"CI has to run this test, but it was skipped: {reason}"
    return report


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
