"""Options of `agent serve`."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import AgentError
from agent.exits import Exit
from agent.hub.notify import Target
from agent.hub.options import parse
from agent.hub.retention import Keep


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        (["--host", "0.0.0.0"], {}, "--host 0.0.0.0 can be reached from other machines and needs a token"),
        (["--host", "::"], {}, "needs a token"),
        (["--host", "example.org"], {}, "needs a token"),
        (["--token-file", "/nonexistent"], {}, "--token-file /nonexistent cannot be read"),
        (["--token-file", "/dev/null"], {}, "--token-file /dev/null holds no token"),
        (["--token-file", "/dev/null"], {"SERVE_TOKEN": "s3cret"}, "both --token-file and SERVE_TOKEN"),
        ([], {"SERVE_TOKEN": ""}, "SERVE_TOKEN holds no token"),
        ([], {"SERVE_TOKEN": "s3cret "}, "SERVE_TOKEN holds no token"),
        ([], {"SERVE_TOKEN": "s3crét"}, "SERVE_TOKEN holds no token"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(argv: list[str], environ: dict[str, str], message: str):
    with pytest.raises(AgentError) as caught:
        parse(argv, environ)
    assert message in str(caught.value)
    assert "s3cr" not in str(caught.value)
    assert caught.value.exit == Exit.CONFIG


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--port", "70000"], "--port 70000 is not between 0 and 65535"),
        (["--port", "x"], "invalid int value"),
        (["--tls-key", "k"], "--tls-key needs --tls-cert"),
    ],
)
def test_wrong_usage(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse(argv, {})
    assert caught.value.code == 64
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_token(host: str):
    assert parse(["--host", host], {}).tokens.agents is None


def test_a_token_from_a_file_loses_one_newline(tmp_path: Path):
    (tmp_path / "token").write_text("s3cret\n")
    options = parse(["--host", "0.0.0.0", "--token-file", str(tmp_path / "token")], {})
    assert options.tokens.agents == "s3cret"


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        ([], {"SERVE_TOKEN": "a", "SERVE_WATCH_TOKEN": "a"}, "two tokens are equal"),
        (["--allow-commands"], {"SERVE_TOKEN": "a"}, "--allow-commands is for a hub without tokens"),
        ([], {"SERVE_WATCH_TOKEN_FILE": "/nonexistent"}, "SERVE_WATCH_TOKEN_FILE /nonexistent cannot be read"),
        (["--host", "0.0.0.0"], {"SERVE_WATCH_TOKEN": "w"}, "needs a token: set SERVE_TOKEN"),
    ],
)
def test_tokens_that_make_no_sense_are_refused(argv: list[str], environ: dict[str, str], message: str):
    with pytest.raises(AgentError, match=message):
        parse(argv, environ)


def test_tokens_come_from_files_and_variables(tmp_path: Path):
    (tmp_path / "w").write_text("watch\n")
    environ = {"SERVE_TOKEN": "write", "SERVE_WATCH_TOKEN_FILE": str(tmp_path / "w"), "SERVE_COMMAND_TOKEN": "command"}
    tokens = parse(["--host", "0.0.0.0"], environ).tokens
    assert (tokens.agents, tokens.watchers, tokens.operators) == ("write", "watch", "command")
    assert not tokens.open
    assert parse([], {}).tokens.open
    assert not parse([], {}).tokens.commands
    assert parse(["--allow-commands"], {}).tokens.commands
    assert not parse([], {"SERVE_TOKEN": "a"}).tokens.open


def test_ages_and_sizes():
    options = parse(["--store", "x", "--keep", "30d", "--keep-size", "20GiB"], {})
    assert options.keep == Keep(30 * 86400, 20 << 30)
    assert parse(["--store", "x"], {}).keep == Keep()
    assert parse([], {}).keep == Keep(None, 1 << 30)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--keep", "30d"], "--keep needs --store"),
        (["--store", "x", "--keep", "30"], "--keep must be a whole number above 0 with m, h, d, w"),
        (["--store", "x", "--keep-size", "0GiB"], "--keep-size must be a whole number above 0 with MiB, GiB, TiB"),
        (["--connections", "0"], "--connections 0 is not above 0"),
        (["--notify", "ftp://x"], "must begin with http:// or https://"),
    ],
)
def test_wrong_values(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse(argv, {})
    assert message in capsys.readouterr().err


def test_a_notification_has_its_address_and_secret(tmp_path: Path):
    (tmp_path / "url").write_text("https://chat.example/hook")
    environ = {"SERVE_NOTIFY_URL_FILE": str(tmp_path / "url"), "SERVE_NOTIFY_SECRET": "k"}
    assert parse(["--public-url", "https://hub.example"], environ).notify == Target(
        "https://chat.example/hook", "k", "https://hub.example"
    )
    assert parse([], {}).notify is None
    with pytest.raises(AgentError, match="both --notify and SERVE_NOTIFY_URL"):
        parse(["--notify", "https://x"], environ)
