"""What leaves the agent holds no secret, in no form of it, and is otherwise what it was."""

import base64
import json
import random
import string
import time
import urllib.parse
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from agent.redaction.redactor import Redactor, _is_like_json
from tests.support import places

TOKEN = "q7Zr+Xk/2vLw9TbN=4mYd"
MASK = "[redacted]"
TRANSCRIPTS = sorted(places.TRANSCRIPTS.glob("*.jsonl"))
KEY = "\n".join(
    ["-----BEGIN RSA PRIVATE KEY-----", *(f"{i}abCdEfGh" * 6 for i in range(5)), "-----END RSA PRIVATE KEY-----"]
)


def ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def short_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def php_json(text: str) -> str:
    return short_json(text).replace("/", "\\/")


def html_safe_json(text: str) -> str:
    return "".join(f"\\u{ord(c):04X}" if c in "<>&'+=\"" else short_json(c) for c in text)


def spelled_json(text: str) -> str:
    units = text.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def url_lower(text: str) -> str:
    quoted = urllib.parse.quote(text, safe="")
    return "".join(f"%{p[:2].lower()}{p[2:]}" if i else p for i, p in enumerate(quoted.split("%")))


def to_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ENCODINGS = {
    "raw": str,
    "json": short_json,
    "json, ascii": ascii_json,
    "json, \\/": php_json,
    "json, html-safe": html_safe_json,
    "json, spelled": spelled_json,
    "json in json": lambda text: short_json(short_json(text)),
    "json in json in json": lambda text: short_json(ascii_json(html_safe_json(text))),
    "url": lambda text: urllib.parse.quote(text, safe=""),
    "url, lower": url_lower,
    "url, form": lambda text: urllib.parse.quote_plus(text),
    "url, path": lambda text: urllib.parse.quote(text),
    "url, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "url in json in json": lambda text: short_json(php_json(urllib.parse.quote(text))),
    "json in url": lambda text: urllib.parse.quote(short_json(text)),
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
}  # fmt: skip

#: Values as they come from generators of passwords, nasty ones included. What is trimmed is in test_secret_forms.
values = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=6, max_size=48),
    st.text("aB3-_./+=%\\\"'<>&@:$ n", min_size=8, max_size=24),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=6, max_size=12),
    st.text("ab", min_size=6, max_size=8),
).filter(lambda value: value == value.strip() and "[" not in value and "]" not in value)
prose = st.text(string.ascii_letters + ' .,\n"\\/%é😀', max_size=20)


def check(redactor: Redactor, secret: str, text: str, encoded: str) -> None:
    """Redact `text`, which contains `encoded`, in every way that it may go out."""
    assert encoded not in redactor.text(text)
    assert encoded.encode() not in redactor.bytes(text.encode())
    for document in ({"a": [text, 1]}, {text: None}, {"x": json.dumps({"y": json.dumps([text])})}):
        for data in (msgspec.json.encode(document), json.dumps(document).encode()):
            redacted = redactor.json(data)
            assert encoded not in innermost(json.loads(redacted))
            assert redactor.json(redacted) == redacted


def innermost(document: object) -> str:
    """All strings of `document` and of the JSON within them, one after another."""
    if isinstance(document, dict):
        return "\0".join(map(innermost, [*document, *document.values()]))
    if isinstance(document, list):
        return "\0".join(map(innermost, document))
    if not isinstance(document, str):
        return ""
    try:
        inner = json.loads(document)
    except ValueError:
        return document
    return document + "\0" + innermost(inner)


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=60, deadline=None)
@given(values, prose, prose)
@example(TOKEN, "", "")
@example('a"b"c"d"e', "", "")
@example("%41bc%64", "x", "y")
@example("DOMAIN\\user1\\n", "", "")
@example("correct horse battery", "", "")
@example("ünïcödé", "", "")
@example("密码密码密码", "", "")
def test_no_encoding_of_a_secret_goes_out(encoding: str, secret: str, before: str, after: str) -> None:
    redactor = Redactor({"X": secret})
    assume(not redactor.skipped)
    encoded = ENCODINGS[encoding](secret)
    assume(encoded not in MASK)
    check(redactor, secret, before + "|" + encoded + "|" + after, encoded)


@settings(max_examples=150, deadline=None)
@given(values, st.binary(max_size=4), st.binary(max_size=4), st.booleans(), st.integers(0, 3))
@example("abcdef", b"", b"", False, 0)
def test_base64_goes_out_at_no_offset(secret: str, before: bytes, after: bytes, urlsafe: bool, depth: int) -> None:
    redactor = Redactor({"X": secret})
    assume(not redactor.skipped)
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    text = "<" + encode(before + secret.encode() + after).decode() + ">"
    for _ in range(depth):
        text = php_json(text)
    redacted = redactor.text(text)
    assert MASK in redacted
    left = redacted.replace("\\", "").partition("[")[0].strip("<>")
    # All that is left holds the bytes before the secret, and not one bit of it.
    assert len(left) * 6 <= len(before) * 8 or secret.encode() * 2 in before + secret.encode() + after
    assert len(redacted.replace("\\", "").rpartition("]")[2].strip("<>=")) * 6 <= len(after) * 8 + 6


@pytest.mark.parametrize("secret", [TOKEN, "abcdefgh12345678", KEY, "x1" * 60, "s3cr3t-" + "é" * 40])
@pytest.mark.parametrize("columns", [64, 76])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n    "])
def test_wrapped_base64_does_not_go_out(secret: str, columns: int, newline: str) -> None:
    redactor = Redactor({"X": secret})
    for offset in range(90):
        wrapped = to_base64("\0" * offset + secret)
        text = newline.join(wrapped[at : at + columns] for at in range(0, len(wrapped), columns))
        for redacted in (redactor.text(text), json.loads(redactor.json(json.dumps({"a": text}).encode()))["a"]):
            joined = redacted.replace(newline, "")
            assert to_base64(secret)[-20:-4] not in joined
            assert joined.count(MASK) == 1
            assert set(joined.partition("[")[0]) <= set("A")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("ab1", min_size=6, max_size=9), min_size=1, max_size=4), st.text("ab1", max_size=60))
@example(["ghp_ghp_XYZ123"], "ghp_ghp_ghp_XYZ123")
@example(["abcdef", "defabc"], "abcdefabc")
@example(["defabc", "abcdef"], "abcdefabc")
@example(["aaaaaab"], "aaaaaaab")
@example(["aaaaaa"], "aaaaaaaaaa")
def test_overlapping_secrets_are_covered_completely(secrets: list[str], text: str) -> None:
    redactor = Redactor({str(i): secret for i, secret in enumerate(secrets)})
    registered = [secret for i, secret in enumerate(secrets) if str(i) not in redactor.skipped]
    covered = {
        at
        for secret in registered
        for start in range(len(text))
        if text.startswith(secret, start)
        for at in range(start, start + len(secret))
    }
    redacted = redactor.text(text)
    assert redacted.replace(MASK, "") == "".join(char for at, char in enumerate(text) if at not in covered)
    assert json.loads(redactor.json(json.dumps([text]).encode())) == [redacted]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.text("xyz\n ", max_size=30))
def test_what_is_split_after_redaction_holds_no_secret_across_its_parts(size: int, around: str) -> None:
    redacted = Redactor({"X": TOKEN}).json(json.dumps({"t": around + TOKEN + around}).encode())
    parts = [redacted[at : at + size] for at in range(0, len(redacted), size)]
    assert TOKEN not in json.loads(b"".join(parts))["t"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n   ", "\\n", "\\r\\n"])
def test_a_key_is_masked_as_a_whole(newline: str) -> None:
    text = "before " + KEY.replace("\n", newline) + " after"
    redactor = Redactor({"KEY": KEY + "\n"})
    assert redactor.text(text) == "before [redacted] after"
    assert json.loads(redactor.json(json.dumps([text]).encode())) == ["before [redacted] after"]


def test_a_key_is_masked_line_by_line() -> None:
    redactor = Redactor({"KEY": KEY})
    first, *body, last = KEY.split("\n")
    assert [redactor.text(line) for line in body] == [MASK] * len(body)
    assert redactor.text(f"{first} {last}") == f"{first} {last}"  # says that it is a key, and nothing about it
    assert redactor.text("   12→" + body[0]) == "   12→" + MASK
    assert MASK in redactor.text(to_base64(body[2]))


@pytest.mark.parametrize("length", [1000, 1024, 1025, 3000, 10_000])
def test_a_long_secret_is_masked_as_a_whole(length: int) -> None:
    source = random.Random(length)
    secret = "".join(source.choices(string.ascii_letters + string.digits + "+/=", k=length))
    redactor = Redactor({"X": secret})
    for encode in (str, to_base64, ENCODINGS["hex"], ENCODINGS["json in json"], ENCODINGS["url"]):
        assert redactor.text(f"<{encode(secret)}>").strip("<=>") == MASK


def test_only_what_is_long_is_looked_for_across_lines() -> None:
    redactor = Redactor({"SHORT": "mainbranch1", "LONG": "mainbranch1-release2"})
    suspicious = "mainbranch1: the main\nbranch1 is"
    assert redactor.text(suspicious) == "[redacted]: the main\nbranch1 is"
    assert redactor.text("the mainbranch1-\n  release2 is") == "the [redacted] is"


def test_short_lines_are_masked_together() -> None:
    redactor = Redactor({"X": "tok1en\nse2cre"})
    assert redactor.text("a tok1en\r\nse2cre b") == "a [redacted] b"
    assert redactor.text("a tok1en b") == "a tok1en b"


def test_leaves_of_a_json_document_are_secrets() -> None:
    document = {"type": "service_account", "private_key": KEY, "nested": [{"id": "9f8e7d6c5b4a"}], "n": 123456789}
    redactor = Redactor({"GOOGLE": json.dumps(document)})
    assert redactor.text("id=9f8e7d6c5b4a") == "id=[redacted]"
    assert redactor.text(KEY) == MASK
    assert redactor.text("a service_account") == "a service_account"
    assert redactor.text(json.dumps(document)) == MASK
    line = json.dumps({"input": document}).encode()
    assert b"9f8e7d" not in redactor.json(line)
    assert json.loads(redactor.json(line))["input"]["n"] == 123456789


def test_names_what_is_not_masked() -> None:
    secrets = {"SHORT": "abc", "BRANCH": "main", "FLAG": "true", "PORT": "8080", "EMPTY": "", "REAL": TOKEN}
    assert Redactor(secrets).skipped == ("SHORT", "BRANCH", "FLAG", "PORT", "EMPTY")
    assert Redactor(secrets).text("main is true on 8080, abc") == "main is true on 8080, abc"


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@settings(max_examples=150, deadline=None)
@given(documents, documents, st.booleans())
def test_json_keeps_all_but_the_secret(before: object, after: object, ensure_ascii: bool) -> None:
    line = json.dumps([before, f"x{TOKEN}y", {f"k{TOKEN}": after}], ensure_ascii=ensure_ascii)
    data = line.encode("utf-8", "surrogatepass")
    expected = [before, "x[redacted]y", {"k[redacted]": after}]
    assert Redactor({"X": TOKEN}).json(data) == json.dumps(expected, ensure_ascii=ensure_ascii).encode(
        "utf-8", "surrogatepass"
    )


def test_json_outside_of_the_masked_strings_is_kept_to_the_byte() -> None:
    rest = rb' {"a" : 1e400,"a":-0.0, "big":123456789012345678901234567890, "s":"\u00e9\/\ud800 A", "t":[ ]}'
    data = b'["%s",' + rest + b"] "
    assert Redactor({"X": TOKEN}).json(data % TOKEN.encode()) == data % MASK.encode()


def test_an_escape_is_never_cut() -> None:
    redactor = Redactor({"X": "nabcdefgh", "Y": "u0041bcdefg", "Z": '","abcdef'})
    assert json.loads(redactor.json(rb'["\nabcdefgh", "\\nabcdefgh"]')) == ["\nabcdefgh", "\\[redacted]"]
    assert json.loads(redactor.json(rb'["\u0041bcdefg", "\ud83d\ude00nabcdefgh"]')) == ["Abcdefg", "😀[redacted]"]
    assert json.loads(redactor.json(rb'["xx","abcdefg"]')) == ["xx", "[redacted]g"]  # over several strings


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"", TOKEN.encode(), b'"\\u0041', b"ghp_" + b"a1" * 20, b"://a:b1@"]))
def test_takes_any_bytes(data: bytes, inserted: bytes) -> None:
    redactor = Redactor({"X": TOKEN})
    for middle in range(0, len(data) + 1, 8):
        line = data[:middle] + inserted + data[middle:]
        for method in (redactor.json, redactor.bytes):
            redacted = method(line)
            assert TOKEN.encode() not in redacted
            assert method(redacted) == redacted
            if MASK.encode() not in redacted:
                assert redacted == line


@settings(deadline=None)
@given(st.text(st.characters(), max_size=20))
def test_takes_any_text(text: str) -> None:
    redactor = Redactor({"X": TOKEN, "Y": text, "Z": "caf\udce9-au-lait"})
    assert redactor.text(f"{TOKEN}|") == MASK + "|"
    assert redactor.bytes(b"caf\xe9-au-lait") == MASK.encode()
    assert isinstance(redactor.text(text + TOKEN + text), str)
    assert Redactor({"X": TOKEN}).text(text) == text


@pytest.mark.parametrize(
    "line", [b'{"a":"' + TOKEN.encode(), TOKEN.encode() + b'"', b'{"a":" ' + TOKEN.encode() + b"\\"]
)
def test_what_is_not_json_is_masked_as_text(line: bytes) -> None:
    assert Redactor({"X": TOKEN}).json(line) == line.replace(TOKEN.encode(), MASK.encode())


@pytest.mark.parametrize("seed", range(20))
def test_no_secret_leaves_a_line_that_is_cut_or_broken(seed: int) -> None:
    """A line that is cut off within a string is no JSON; Python 3.11.2 took it for JSON and kept its last string."""
    chance = random.Random(seed)
    redactor = Redactor({"X": TOKEN})
    fillers = ["", "a", '"', "\\", "\n", "é", "[{", 'x": "y', '\\"', ", "]
    for _ in range(150):
        strings = ["".join(chance.choices(fillers, k=chance.randrange(6))) for _ in range(3)]
        strings[chance.randrange(3)] += TOKEN + chance.choice(fillers)
        line = json.dumps({"type": strings[0], "n": chance.random(), "message": [strings[1], {"text": strings[2]}]})
        end = line.index(TOKEN) + len(TOKEN)
        cut = line[: chance.randrange(end, len(line) + 1)]
        at = chance.randrange(len(line) + 1)
        broken = line[:at] + chance.choice('"\\{x\n') + line[at:]
        for sent in (line, cut, broken):
            masked = redactor.json(sent.encode())
            assert TOKEN.encode() not in masked
            assert TOKEN not in sent or MASK.encode() in masked


@pytest.mark.parametrize(
    ("data", "like"),
    [
        (b'{"a": [1.5e-3, true, null, "x"]}', True), (b"", True), (b'"\\""', True), (b'"\\\\"', True),
        (b'"\\\\\\""', True),
        (b'{"a": "b', False), (b'{"a": "b\\"', False), (b'{"a": "b\\\\\\"}', False), (b'x"a"', False),
        (b'\\"a"', False), (b'\\\\"a"', False), (b'"a"\\', False), (b"<a>", False), (b'"\xff"', True), (b"\xff", False),
    ],
)  # fmt: skip
def test_what_is_taken_for_json(data: bytes, like: bool) -> None:
    assert _is_like_json(data) is like


def test_deep_nesting_is_not_walked() -> None:
    depth = 200_000
    line = b"[" * depth + b'"' + TOKEN.encode() + b'"' + b"]" * depth
    assert Redactor({"X": TOKEN}).json(line) == b"[" * depth + b'"[redacted]"' + b"]" * depth
    assert Redactor({"DEEP": "[" * depth}).skipped == ("DEEP",)
    assert Redactor({"DEEP": "[" * 5000 + TOKEN}).skipped == ()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("[]redact1x", min_size=6, max_size=12), max_size=3), st.text("[]redact1x", max_size=60))
@example(["]abcdef1"], "]abcdef1abcdef1abcdef1")
@example(["redacted", "[redacted]"], "[redacted] redacted")
@example(["edacted"], "[redacted] edacted")
def test_masks_are_not_masked_again(secrets: list[str], text: str) -> None:
    redactor = Redactor({str(i): secret for i, secret in enumerate(secrets)})
    once = redactor.text(text)
    assert redactor.text(once) == once
    assert redactor.text(MASK) == MASK


def test_a_mask_may_complete_a_credential() -> None:
    redactor = Redactor({"X": "pa/ss/word1"})
    once = redactor.text("https://me:1pa/ss/word12@example.com ghp_" + "a1" * 18)
    assert once == "https://me:[redacted]@example.com [redacted]"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_recorded_runs_hold_nothing_to_mask(path: Path) -> None:
    source = random.Random(1)
    redactor = Redactor({str(i): "".join(source.choices(string.ascii_letters, k=30)) for i in range(20)})
    for line in path.read_bytes().splitlines():
        assert redactor.json(line) is line


@pytest.mark.parametrize("count", [1, 5, 30, 120])
def test_each_of_many_secrets_is_found(count: int) -> None:
    source = random.Random(count)
    secrets = ["".join(source.choices(string.ascii_letters, k=24)) for _ in range(count)]
    redactor = Redactor({str(i): secret for i, secret in enumerate(secrets)})
    for secret in secrets:
        for encode in (str, to_base64, ENCODINGS["HEX"]):
            assert redactor.text(f"<{encode(secret)}>") == f"<{MASK}>"


@pytest.mark.parametrize("count", [1, 20, 100])
def test_a_secret_within_the_slashes_of_a_url_is_not_hidden_by_it(count: int) -> None:
    secrets = ["/,;x1!!+", *(f"key{number:04}-{number * 7919}" for number in range(count))]
    redactor = Redactor(dict(zip(map(str, range(len(secrets))), secrets, strict=True)))
    assert redactor.text("http://,;x1!!+.com") == "http:/[redacted].com"


@pytest.mark.parametrize("slashes", ["//", r"\/\/", r"/\/", r"\//"])
def test_a_password_is_found_among_urls_that_have_none(slashes: str) -> None:
    plain = "https://example.com/a " * 100
    said = Redactor({}).text(f"{plain} https:{slashes}me:pa55word@example.com {plain}")
    assert "pa55word" not in said
    assert said.count("https://example.com/a ") == 200


def test_a_line_without_a_secret_is_returned_as_it_is() -> None:
    redactor = Redactor({"X": TOKEN})
    for text in ("see https://example.com/a?b=c@d", "git@github.com:o/r.git", "a \u001b[31mred\u001b[0m é"):
        assert redactor.text(text) is text
        line = json.dumps({"t": text}).encode()
        assert redactor.json(line) is line


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["\\" * 10**6, "%25" * 300_000, "\\n" * 500_000, "\n" * 10**6, '\\"' * 500_000, "ghp_" * 250_000, "eyJ." * 250_000,
     "://" * 300_000, "://a:" * 200_000, "-----BEGIN PRIVATE KEY-----\n" * 30_000, "Authorization: Bearer " * 40_000,
     "xoxb-" * 200_000, TOKEN * 40_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_time_is_linear(text: str) -> None:
    redactor = Redactor({"X": TOKEN})
    started = time.process_time()
    assert TOKEN not in redactor.text(text + TOKEN)
    assert time.process_time() - started < 10, "a tenth of this is usual; quadratic is an hour"


def test_a_renewed_secret_is_masked_beside_the_old_one() -> None:
    redactor = Redactor({"T": "old-value-aaaaaaaa"})
    json, text = redactor.json, redactor.text
    redactor.learn({"T": "new-value-bbbbbbbb"})
    redactor.learn({"T": "third-value-cccccc"})
    line = b'{"a":"old-value-aaaaaaaa new-value-bbbbbbbb third-value-cccccc"}'
    assert json(line) == b'{"a":"[redacted] [redacted] [redacted]"}'
    assert "value" not in text(line.decode())


def test_the_beginning_of_a_secret_at_the_end_of_a_text_is_told() -> None:
    redactor = Redactor({"TOKEN": TOKEN, "SHORT": "hunter2"})
    for form in (TOKEN, to_base64(TOKEN), TOKEN.encode().hex()):
        for at in range(len(form)):
            assert redactor.may_begin(f"before {form[:at]}") == (at >= 4), form[:at]
            assert redactor.may_begin(f"{form[:at]}\n  {form[at : at + 1]}") == (4 <= at + 1 < len(form))
        assert not redactor.may_begin(f"{form[:10]} and")
    assert not redactor.may_begin("hunt"), "too short to be wrapped"
    assert not Redactor({}).may_begin(TOKEN[:10])
