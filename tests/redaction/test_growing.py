"""A text that grows shows its beginning early, and never a part of a secret: however it is cut into pieces."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

import pytest

from agent.redaction.growing import GrowingText
from agent.redaction.redactor import Redactor
from tests.support.canaries import canary, encodings

WORDS = "the tests of this module fail since a line-break, or two of them: see `git log -p` (again). sk- - //".split()  # noqa: SIM905
PHRASE = "correct horse battery staple, with Y3llow paint on it"
LINES = "\n".join(f"{canary(str(i))}{canary('x' + str(i))}"[:64] for i in range(30))
HEADERS = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES, {'A' * 60}"
KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{HEADERS}\n\n{LINES}\n-----END RSA PRIVATE KEY-----"
NUMBERED = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(KEY.splitlines(), 1))
SECRETS = {"TOKEN": canary("growing"), "PHRASE": PHRASE, "DOCUMENT": json.dumps({"key": LINES, "a": "x y z"}, indent=2)}
FOUND = [
    "Authorization: Bearer abcdefghijklmnop-Q1", "aws_secret_access_key =  '" + "aB3/" * 10 + "'",
    "https://user:pa55word@example.com/x", "ghp_" + "a1B2" * 9, KEY, NUMBERED, json.dumps(KEY), LINES,
]  # fmt: skip


def grown(redactor: Redactor, pieces: Iterable[str], limit: int = 10**6) -> list[str]:
    text = GrowingText(redactor, limit)
    shown = []
    for piece in pieces:
        text.add(piece)
        shown.append(text.take())
    return shown


def cut_up(text: str, chance: random.Random) -> list[str]:
    most, pieces, at = chance.choice((40, 300, 3000)), [], 0
    while at < len(text):
        size = chance.randint(1, most)
        pieces.append(text[at : at + size])
        at += size
    return pieces


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_beginning_of_the_redacted_whole(seed: int) -> None:
    chance = random.Random(seed)
    secrets = dict(chance.sample(sorted(SECRETS.items()), chance.randint(0, 3)))
    redactor = Redactor(secrets)
    hidden = [form for value in secrets.values() for form in encodings(value)] + FOUND

    def prose() -> str:
        return chance.choice((" ", " ", "\n\n  ")).join(chance.choices(WORDS, k=chance.choice((0, 1, 30, 400))))

    text = (
        "".join(f"{prose()}{chance.choice(('', ' ', chr(10)))}{found}" for found in chance.sample(hidden, 4)) + prose()
    )
    shown = "".join(grown(redactor, cut_up(text, chance)))
    assert redactor.text(text).startswith(shown)


def test_prose_is_shown_all_but_its_end_while_it_comes() -> None:
    text = "It grows word by word, as long as it likes. " * 100
    shown = grown(Redactor({"TOKEN": canary("growing")}), [text[at : at + 20] for at in range(0, len(text), 20)])
    assert len("".join(shown)) > len(text) - 200
    assert sum(map(bool, shown)) > len(shown) - 10


def test_half_a_secret_never_shows_and_the_whole_is_masked() -> None:
    secret = canary("growing")
    shown = grown(Redactor({"TOKEN": secret}), ["The token is ", secret[:20], secret[20:], " and that was it. " * 200])
    assert shown[:3] == ["", "", ""]
    assert shown[3].startswith("The token is [redacted] and")


def test_what_cannot_be_cut_is_given_up_in_bounded_memory() -> None:
    redactor = Redactor({})
    shown = grown(redactor, ["x" * 1000] * 20 + ["many words " * 1000], limit=10_000)
    assert "".join(shown) == ""
    assert grown(redactor, ["x" * 1000] * 5 + ["many words " * 1000], limit=10_000)[-1].startswith("xxx")
