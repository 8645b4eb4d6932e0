"""Tokens, cookies and guesses."""

from __future__ import annotations

import pytest

from agent.hub.access import Guesses, Right, Tokens, bearer, host_of, is_loopback

TOKENS = Tokens(agents="a", watchers="w", operators="o")


def test_each_token_has_its_right():
    assert TOKENS.right("w") is Right.READ
    assert TOKENS.right("o") is Right.COMMAND
    assert TOKENS.right("a") is TOKENS.right("") is TOKENS.right("é") is Right.NOTHING
    assert TOKENS.admits_agent("a")
    assert not TOKENS.admits_agent("o")
    assert Tokens(watchers="w").right("") is Right.NOTHING


def test_without_tokens_a_visitor_reads_and_commands_only_if_told_so():
    assert Tokens(open=True).everybody is Right.READ
    assert Tokens(open=True, commands=True).everybody is Right.COMMAND
    assert Tokens(agents="a").everybody is Right.NOTHING
    assert not Tokens(agents="a").readable


def test_a_cookie_proves_its_right_until_it_ends_or_the_token_changes():
    cookie = TOKENS.cookie(Right.READ, 1000)
    assert TOKENS.session(cookie, 999) is Right.READ
    assert TOKENS.session(cookie, 1001) is Right.NOTHING
    assert Tokens(watchers="new", operators="o").session(cookie, 999) is Right.NOTHING
    assert "w" not in cookie
    command = TOKENS.cookie(Right.COMMAND, 1000)
    assert TOKENS.session(command, 999) is Right.COMMAND


@pytest.mark.parametrize(
    "cookie",
    ["", "1", "1.", "2.1000.", "0.1000.", "3.1000.x", "1.x.y", "1.-5.y", "1.99999999999999.y", "1.²000.x", "é.é.é"],
)
def test_a_forged_cookie_proves_nothing(cookie: str):
    assert TOKENS.session(cookie, 0) is Right.NOTHING
    assert Tokens(agents="a").session(cookie, 0) is Right.NOTHING


def test_a_cookie_of_a_watcher_is_none_of_an_operator():
    _, until, signature = TOKENS.cookie(Right.READ, 1000).split(".")
    assert TOKENS.session(f"2.{until}.{signature}", 0) is Right.NOTHING


def test_guesses_are_counted_by_address_and_forgotten():
    notes: list[str] = []
    guesses = Guesses(2, 60.0, 5.0, capacity=2, note=notes.append)
    assert [guesses.wrong("a", now) for now in (0.0, 1.0, 2.0, 59.0)] == [0, 0, 5, 5]
    assert guesses.wrong("b", 20.0) == 0
    assert guesses.wrong("a", 60.0) == 0
    for address in "bcd":
        guesses.wrong(address, 1.0)
    assert len(guesses._wrong) == 2
    assert [note.partition(" ")[0] for note in notes] == ["a", "b", "a", "c", "d"], "once in a window, and no more"


def test_headers():
    assert bearer({"authorization": "bearer  x "}) == "x"
    assert bearer({"authorization": "Basic x"}) == bearer({}) == ""
    assert [host_of(host) for host in ("a:1", "a", "[::1]:8080", "[::1]", "")] == ["a", "a", "[::1]", "[::1]", ""]
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("", "0.0.0.0", "evil.example", "localhost.evil.example", "10.0.0.1")))
