"""Single values: what parses, what does not, and that no message repeats the value."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import parsers as values

PARSERS = [
    values.boolean, values.integer, values.amount, values.duration, values.positive_duration, values.optional_duration,
    values.size(1024, 1 << 30), values.path, values.directory, values.program, values.uuid, values.ref, values.labels,
    values.branch_template, values.environment, values.word, values.token, values.known_hosts,
    values.identifier, values.choice("a", "b"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1", 0.001), ("0", 0), ("90000", 90), ("90s", 90), ("30m", 1800), ("1h", 3600), ("1100", 1.1)],
)
def test_duration(value, seconds):
    assert values.duration(value) == seconds


@pytest.mark.parametrize(
    "value", ["abc", "-1", "NaN", "inf", "1.5", "30 m", "30M", "30min", "1e3", "٣٠", "9" * 5000, "", "s", "$(date)"]
)
def test_duration_refuses(value):
    with pytest.raises(ValueError, match="must be milliseconds"):
        values.duration(value)


def test_durations_that_may_not_be_zero():
    with pytest.raises(ValueError, match="longer than zero"):
        values.positive_duration("0s")
    assert values.optional_duration("off") is values.optional_duration("0") is None
    assert values.optional_duration("10m") == 600


@pytest.mark.parametrize(
    ("value", "number"), [("65536", 65536), ("64KiB", 65536), ("1MiB", 1 << 20), ("1GiB", 1 << 30)]
)
def test_size(value, number):
    assert values.size(1024, 1 << 30)(value) == number


@pytest.mark.parametrize("value", ["64MB", "64M", "64 MiB", "1023", "2GiB", "-1", "1.5MiB", "0", "9" * 99])
def test_size_refuses(value):
    with pytest.raises(ValueError, match="must be"):
        values.size(1024, 1 << 30)(value)


@pytest.mark.parametrize("value", ["5x", "0", "-1", "1.0", " 1", "٣", "1_000", "9" * 10])
def test_integer_refuses(value):
    with pytest.raises(ValueError, match="whole number above 0"):
        values.integer(value)


@pytest.mark.parametrize("value", ["0", "0.0", "-1", "1e3", "nan", "inf", ".5", "1,5", "$5"])
def test_amount_refuses(value):
    with pytest.raises(ValueError, match="number above 0"):
        values.amount(value)


def test_boolean():
    assert all(values.boolean(value) for value in ("1", "true", "YES", "on"))
    assert not any(values.boolean(value) for value in ("0", "False", "no", "off"))
    with pytest.raises(ValueError, match="1 or 0"):
        values.boolean("2")


def test_choice_takes_any_case_and_gives_the_right_one():
    assert values.choice("acceptEdits", "plan")("ACCEPTedits") == "acceptEdits"
    with pytest.raises(ValueError, match="one of acceptEdits, plan"):
        values.choice("acceptEdits", "plan")("yolo")


@pytest.mark.parametrize("value", ["main", "v1.0", "feature/x-1", "a" * 40, "release-2", "über"])
def test_ref(value):
    assert values.ref(value) == value


@pytest.mark.parametrize(
    "value", ["--upload-pack=x", "-b", "a b", "a..b", "a~1", "a^", "a:b", "a@{1}", "/a", "a/", "a.lock", "a*", "a\\b"]
)
def test_ref_refuses(value):
    with pytest.raises(ValueError, match="not the name of a branch"):
        values.ref(value)


def test_branch_template():
    assert values.branch_template("claude/{date}-{run}") == "claude/{date}-{run}"
    for value in ("claude/{user}", "-{run}", "{run}..x"):
        with pytest.raises(ValueError, match=r"may hold|not the name"):
            values.branch_template(value)


def test_directory():
    assert values.directory("/workspace") == Path("/workspace")
    for value in ("/", "//", "x", "./x", "~/x", "/a/../.."):
        with pytest.raises(ValueError, match="must be"):
            values.directory(value)


def test_program():
    assert values.program("claude") == "claude"
    assert values.program("/opt/claude") == "/opt/claude"
    for value in ("./claude", "bin/claude", "-c"):
        with pytest.raises(ValueError, match="must"):
            values.program(value)


def test_labels():
    assert values.labels("team=web, url=a=b ,empty=") == {"team": "web", "url": "a=b", "empty": ""}
    for value in ("team", "=web", "a=1,a=2", "a=1,,b=2", "sp ace=1"):
        with pytest.raises(ValueError, match="pair"):
            values.labels(value)


def test_environment_splits_at_real_newlines():
    assert values.environment("A: 1\n# no\n\nURL: http://x:80\nPATTERN: a\\nb") == {
        "A": "1", "URL": "http://x:80", "PATTERN": "a\\nb",
    }  # fmt: skip


def test_environment_splits_at_literal_ones_where_there_is_no_real_one():
    assert values.environment("A: 1\\nB: 2\n") == {"A": "1", "B": "2"}


def test_environment_names_the_line_and_not_what_it_holds():
    with pytest.raises(ValueError, match="line 2 is not one") as caught:
        values.environment("A: 1\nhunter2\n")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValueError, match="line 1"):
        values.environment("1A: x")


@pytest.mark.parametrize("value", ["a\nb", "a\x1b[0m", "a\x7f", "a\x85b", "\0"])
def test_line_refuses_control_characters(value):
    with pytest.raises(ValueError, match="holds"):
        values.line(value, 100)


def test_line_drops_the_white_space_around():
    assert values.line(" x y\r\n", 100) == "x y"


def test_text_keeps_everything_but_what_cannot_be_passed_on():
    assert values.text(" x\n\t\x1b[1mü\n", 100) == " x\n\t\x1b[1mü\n"
    for value, message in (("\0", "NUL"), ("\udcff", "UTF-8"), ("ü" * 51, "longer than 100 bytes")):
        with pytest.raises(ValueError, match=message):
            values.text(value, 100)


@given(st.sampled_from(PARSERS), st.text(min_size=12))
def test_parsers_raise_only_ValueError_and_never_repeat_the_value(parse, value):
    message = None
    try:
        parse(value)
    except ValueError as error:
        message = str(error)
    assert message is None or (value not in message and re.match(r"(must|is|has|holds|names|may) ", message))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1m30s", 90),
        ("0.1s", 0.1),
        ("1h1m1s1ms", 3661.001),
        ("0ms", 0),
    ],
)
def test_durations_as_people_write_them(value: str, seconds: float) -> None:
    assert values.duration(value) == seconds


@pytest.mark.parametrize("value", ["", "30m1h", "1h 30m", "1.5", ".5h", "1h30", "1d", "h", "1.h", "-1s", "1e3s", "1hh"])
def test_durations_that_nobody_could_read(value: str) -> None:
    with pytest.raises(ValueError, match=r"1h30m, 1\.5h, 500ms"):
        values.duration(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [("512m", 512 << 20), ("1g", 1 << 30), ("4k", 4096), ("1Gi", 1 << 30), ("512Mi", 512 << 20), ("64Ki", 1 << 16)],
)
def test_sizes_of_docker_and_kubernetes(value: str, number: int) -> None:
    assert values.size(1024, 1 << 30)(value) == number


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


@pytest.mark.parametrize(
    "value",
    [
        f"h ssh-ed25519 {KEY}", f"[h]:2222,10.0.0.1 ssh-ed25519 {KEY} a comment\n\n# none\n", f"h ssh-rsa {KEY}==",
        f"@cert-authority *.h ssh-ed25519 {KEY}", f"|1|aGFzaA==|aGFzaA== ecdsa-sha2-nistp256 {KEY}",
        f"h sk-ssh-ed25519@openssh.com {KEY}",
    ],
)  # fmt: skip
def test_known_hosts(value: str) -> None:
    assert values.known_hosts(value) == "\n".join(value.splitlines()) + "\n"


def test_known_hosts_of_one_line() -> None:
    assert values.known_hosts(f"a ssh-rsa {KEY}\\nb ssh-rsa {KEY}") == f"a ssh-rsa {KEY}\nb ssh-rsa {KEY}\n"


@pytest.mark.parametrize("value", ["h", f"ssh-ed25519 {KEY}", "/etc/known_hosts", f"h ssh-ed25519 x{KEY}", f"h {KEY}"])
def test_known_hosts_that_are_none(value: str) -> None:
    with pytest.raises(ValueError, match="HOST TYPE KEY lines, as ssh-keyscan prints them; line 1 is not one"):
        values.known_hosts(value)
