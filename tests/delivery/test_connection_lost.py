"""One sentence for whatever may be raised, and what it says about another attempt."""

import socket
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import h11
import pytest
import trio
from trio_websocket import ConnectionRejected, ConnectionTimeout

from agent.delivery.connection_lost import ConnectionLost, explain, is_library_error

DATE = b"Wed, 21 Oct 2026 07:27:45 GMT"


def group(*errors: BaseException) -> BaseExceptionGroup:
    return BaseExceptionGroup("", [BaseExceptionGroup("", list(errors))])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (socket.gaierror(-2, "Name or service not known"), "its host cannot be resolved: Name or service not known"),
        (OSError(), "OSError"),
        (h11.LocalProtocolError("garbage"), "does not speak WebSocket"),
        (ssl.SSLEOFError(8, "EOF in violation of protocol"), "TLS failed"),
        (ConnectionLost("as it is"), "as it is"),
    ],
)
def test_sentences(error, text) -> None:
    assert is_library_error(error)
    assert text in str(explain(group(error)))


@pytest.mark.parametrize(
    ("status", "headers", "refused", "retry_after"),
    [
        (401, (), True, None),
        (403, (), True, None),
        (429, ((b"retry-after", b"7"),), False, 7.0),
        (503, ((b"retry-after", b"Wed, 21 Oct 2026 07:28:00 GMT"), (b"date", DATE)), False, 15.0),
        (503, ((b"retry-after", b"Wed, 21 Oct 2026 07:28:00 -0000"), (b"date", DATE)), False, 15.0),
        (503, ((b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT"),), False, 0.0),
        (503, ((b"retry-after", b"Wed, 99 Oct 2026 07:28:00 GMT"),), False, None),
        (503, ((b"retry-after", b"\xff soon"),), False, None),
        (503, ((b"retry-after", b"-5"),), False, 0.0),
        (301, (), False, None),
    ],
)
def test_rejections(status, headers, refused, retry_after) -> None:
    lost = explain(group(ConnectionRejected(status, headers, b"")))
    assert (lost.refused, lost.retry_after) == (refused, retry_after)
    assert str(status) in str(lost)


def test_a_date_counts_from_our_clock_where_the_server_does_not_tell_its_own() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True).encode()
    lost = explain(group(ConnectionRejected(503, ((b"retry-after", date),), b"")))
    assert lost.retry_after is not None
    assert 90 < lost.retry_after <= 100


@pytest.mark.parametrize(
    ("error", "unheard"),
    [
        (ConnectionRefusedError(111, "Connection refused"), True),
        (TimeoutError(110, "Connection timed out"), True),
        (OSError(113, "No route to host"), True),
        (ConnectionResetError(104, "Connection reset by peer"), False),
        (ConnectionRejected(503, (), b""), False),
        (ssl.SSLEOFError(8, "EOF in violation of protocol"), False),
    ],
)
def test_whether_anything_listens(error, unheard) -> None:
    assert explain(group(error)).unheard == unheard


def test_the_cause_behind_trio_s_words_counts() -> None:
    broken = trio.BrokenResourceError()
    broken.__cause__ = ConnectionResetError(104, "Connection reset by peer")
    assert "reset" in str(explain(group(broken)))


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("x"), RuntimeError("bug")])
def test_a_bug_of_ours_is_not_the_network_s(error) -> None:
    assert not is_library_error(error)


def test_timeouts_of_the_library_are_its_own() -> None:
    assert is_library_error(ConnectionTimeout())
