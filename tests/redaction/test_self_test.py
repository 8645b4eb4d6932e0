"""A redactor that does not mask is found out before it is relied on, and one that does is never refused."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.redaction import redactor as redaction
from agent.redaction import self_test
from agent.redaction.credential_formats import CredentialFormat
from agent.redaction.redactor import Redactor
from agent.redaction.self_test import PlainRedactor, Unprotected, find_leaks, verified_redactor

TOKEN = "q7Zr+Xk/2vLw9TbN=4mYd"
SECRETS = {"API_KEY": TOKEN, "SHORT": "abc", "QUOTED": 'a"b\\c\nd e f g 1'}


def test_a_redactor_that_masks_passes() -> None:
    assert find_leaks(Redactor(SECRETS), SECRETS) == []
    assert verified_redactor(SECRETS).text(TOKEN) == "[redacted]"
    assert verified_redactor({}).skipped == ()


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.text(max_size=3), st.text(st.characters(), max_size=40), max_size=4))
@example({"A": "self-test", "B": "example.com1", "C": "-----BEGIN RSA", "D": "edacte", "E": "text"})
@example({"A": "pa55word", "B": "Bearer", "C": "eyJzdWIiOiIxMjM0In0", "D": "\\u0041\\n\\", "E": '","', "F": "a\n" * 9})
@example({"A": "caf\udce9-au-lait", "B": "x" * 5000, "C": '{"a": "hunter2-hunter2"}', "D": "\ud83d" * 8})
def test_no_secret_makes_it_refuse(secrets: dict[str, str]) -> None:
    verified_redactor(secrets)


def _private_key_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "FORMATS", [f for f in redaction.FORMATS if f.name != "private key"])


def _a_format_that_matches_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(format: CredentialFormat) -> CredentialFormat:
        if format.name != "private key":
            return format
        return format._replace(regex=re.compile(format.regex.pattern.replace(b"{40,})+", b"{40,})")))

    monkeypatch.setattr(redaction, "FORMATS", [short(format) for format in redaction.FORMATS])


def _cut_lines_taken_for_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_is_like_json", lambda data: True)


def _nothing_suspicious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction.Search, "finds_any", lambda self, data: False)


def _json_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Redactor, "json", lambda self, data: data)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (_private_key_unseen, "a private key"),
        (_a_format_that_matches_too_little, "a private key"),  # as CPython 3.11.2 did
        (_cut_lines_taken_for_json, "a registered value in a line that is cut off"),  # so did it, too
        (_nothing_suspicious, "a token"),
        (_json_let_through, "a registered value"),
    ],
)
def test_a_redactor_that_leaks_is_refused(monkeypatch: pytest.MonkeyPatch, fault, told: str) -> None:
    fault(monkeypatch)
    with pytest.raises(Unprotected, match=told) as refusal:
        verified_redactor(SECRETS)
    assert refusal.value.exit == 78
    assert TOKEN not in str(refusal.value)
    assert len(refusal.value.problems) == 1
    substitute = refusal.value.substitute
    assert substitute.text(f"<{TOKEN}>") == "<[redacted]>"
    assert substitute.json(b'{"a": "a\\"b\\\\c\\nd e f g 1"}') == b'{"a": "[redacted]"}'


def test_the_substitute_needs_nothing_that_was_tested() -> None:
    plain = PlainRedactor(SECRETS)
    assert plain.skipped == ("SHORT",)
    assert plain.suspicious(TOKEN.encode())
    assert plain.bytes(b"see " + TOKEN.encode()) == b"see [redacted]"
    assert plain.text("abc") == "abc"
    assert plain.text("caf\udce9") == "caf\udce9"
    assert not plain.suspicious(b"nothing")


def test_only_some_secrets_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    many = {str(number): f"value-{number * 7919}-x" for number in range(100)}
    redactor, asked = Redactor(many), []
    monkeypatch.setattr(redactor, "text", lambda text: asked.append(text) or "")
    find_leaks(redactor, many)
    assert asked[0].count("value-") == self_test._TESTED
