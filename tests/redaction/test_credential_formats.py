"""Well-known credentials are masked although nobody registered them, and what only resembles them is not."""

import json
import subprocess
import sys

import pytest

from agent.redaction.credential_formats import FORMATS
from agent.redaction.redactor import Redactor

A = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9n"  # 40 characters
BODY = "\n".join([A + A[:24]] * 3 + [A[:20] + "="])
PEM = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY}\n-----END OPENSSH PRIVATE KEY-----"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{A}"

# Put together here, so that no scanner takes this file for a leak.
TOKENS = [
    *(f"gh{kind}_" + A[:36] for kind in "pousr"),
    "github_" + "pat_" + A[:22] + "_" + A,
    "sk-" + "ant-api03-" + A + "-_" + A,
    "sk-" + "proj-" + A,
    "sk_" + "live_" + A[:24],
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ASIA" + "Y34FZKBOKMUTVV7A",
    "xox" + "b-123456789012-" + A[:24],
    JWT,
    "glpat-" + A[:20],
    "npm_" + A[:36],
    "dckr_" + "pat_" + A[:27],
    "AIza" + A[:35],
    PEM,
    PEM.replace("OPENSSH ", ""),
    PEM.replace("\n", "\r\n"),
]  # fmt: skip

#: Text, and what of it is masked.
PARTIAL = [
    (f"Authorization: Bearer {A}", A),
    (f"authorization: basic {A}==", A + "=="),
    (f'{{"Authorization": "token {A}"}}', A),
    (f"AUTHORIZATION: basic {A}", A),
    ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("https://user:pa55word@example.com/x", "pa55word"),
    ("postgres://app:p%40ss@db:5432/x", "p%40ss"),
    (f"https://{A}@github.com/o/r", A),
    (f"https://{A}:x-oauth-basic@github.com/o/r", A + ":x-oauth-basic"),
    ("https://:onlypass1@host", "onlypass1"),
    (PEM.replace("\n", "\n   12\u2192"), PEM.replace("\n", "\n   12\u2192")),
    ("\n".join(PEM.split("\n")[:3]) + "\nThen it ended.", "\n".join(PEM.split("\n")[:3])),
]

ORDINARY = [
    "sk-", "task-force", "risk-averse", "eyJ", "eyJ.eyJ", "ghp_", "ghp_short", "github_pat_", "AKIA", "AKIAshort",
    "npm_config_registry", "xoxb-", "xoxo-hugs-and-kisses", "glpat-your-token",
    "528a7f2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f", "https://example.com:8080/a?b=c@d",
    "d94a8fcb-1b8c-4d0f-9a70-0d8d1c5d2b61", "git@github.com:o/r.git", "ssh://git@github.com/o/r",
    "https://git@github.com/o/r",
    "docker-pullable://nginx:1.21@sha256:6d701d83f2a1bb99efb7e6a60a1e4ba6c495bc5106c91709b0560d13a9bf8fb6",
    "https://user:$PASSWORD@host", "https://user:${TOKEN}@host", "https://user:<password>@host",
    "https://user:***@host", "http://localhost:3000", "file:///tmp/a@b",
    "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaP==",
    "claude-sonnet-4-5-20250929", "toolu_01A09q90qw90lq917835lq9", "msg_01XFDUDYJgAACzvnptvVoYEL",
]  # fmt: skip

PROSE = [
    "Authorization: Bearer <token>",
    "Authorization: Bearer $GITHUB_TOKEN", "Authorization: Basic authentication is used.",
    "the authorization: token of the user", "-----BEGIN PRIVATE KEY----- is the first line of a key.",
    "-----BEGIN CERTIFICATE-----\n" + BODY + "\n-----END CERTIFICATE-----",
]  # fmt: skip


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor({})


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:12])
def test_tokens_are_masked(redactor: Redactor, token: str) -> None:
    for text in (token, f"TOKEN={token}\nand more", f"'{token}',", f"({token})"):
        assert redactor.text(text) == text.replace(token, "[redacted]")
        for depth in range(3):
            line = text
            for _ in range(depth):
                line = json.dumps({"a": line})
            masked = redactor.json(json.dumps({"text": line}).encode())
            assert token.split("\n")[-1][:10] not in masked.decode().partition("-----END")[0]
            inner = json.loads(masked)["text"]
            for _ in range(depth):
                inner = json.loads(inner)["a"]
            assert inner == text.replace(token, "[redacted]")


@pytest.mark.parametrize(("text", "masked"), PARTIAL)
def test_credentials_are_masked_within_what_carries_them(redactor: Redactor, text: str, masked: str) -> None:
    expected = text.replace(masked, "[redacted]")
    assert redactor.text(text) == expected
    assert redactor.text(expected) == expected
    nested = json.dumps({"a": json.dumps({"b": text})})
    assert json.loads(json.loads(redactor.json(nested.encode()))["a"])["b"] == expected


@pytest.mark.parametrize("text", ORDINARY + PROSE)
def test_what_resembles_a_token_is_kept(redactor: Redactor, text: str) -> None:
    for line in (text, f"see {text}, or not"):
        assert redactor.text(line) == line
        data = json.dumps({"text": line}).encode()
        assert redactor.json(data) == data


def test_a_registered_prefix_breaks_nothing() -> None:
    redactor = Redactor({"A": "github_pat_", "B": "sk-ant-", "C": "-----BEGIN", "D": "Authorization"})
    for token in TOKENS:
        assert redactor.text(f"<{token}>") == "<[redacted]>"


def test_slashes_may_be_escaped(redactor: Redactor) -> None:
    assert redactor.json(rb'{"a":"https:\/\/me:pa55word@host\/x"}') == rb'{"a":"https:\/\/me:[redacted]@host\/x"}'


def test_each_format_has_a_prefix_that_its_matches_contain() -> None:
    texts = [text.encode() for text in [*TOKENS, *(text for text, _ in PARTIAL)]]
    for format in FORMATS:
        matches = [match for text in texts if (match := format.regex.search(text))]
        assert matches, format.regex
        assert all(any(prefix in match[0] for prefix in format.prefixes) for match in matches)


def test_the_source_of_the_standard_library_is_kept(redactor: Redactor) -> None:
    source = subprocess.run([sys.executable, "-c", "import inspect, json, http.client, email.message, subprocess as s;"
        "print(*map(inspect.getsource, (json, http.client, email.message, s)))"], check=True, capture_output=True,
        text=True).stdout  # fmt: skip
    assert redactor.text(source) == source
