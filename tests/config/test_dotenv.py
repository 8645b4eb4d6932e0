"""The .env file, compared with what a shell makes of it."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import dotenv


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1\r\nexport B = two words  # why\r\n", {"A": "1", "B": "two words"}),
        ("A='$x \"#\\n'", {"A": '$x "#\\n'}),
        ('A="a\\nb\\t\\"c\\"\\\\ \\$x \\q"', {"A": 'a\nb\t"c"\\ $x \\q'}),
        ("A='one\ntwo'  # end\nB=3", {"A": "one\ntwo", "B": "3"}),
        ('A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
        ("A=\nB=''\nC=#x\nD=a#b", {"A": "", "B": "", "C": "", "D": "a#b"}),
        ("A=1\nA=2\n\n  # A=3\n", {"A": "2"}),
        ("URL=ws://h/?a=b&c=d", {"URL": "ws://h/?a=b&c=d"}),
        ("", {}),
    ],
)
def test_parse(text, found):
    assert dotenv.parse(text) == (found, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\nhunter2\nB=2", ".env line 2: must be KEY=value"),
        ("1A=hunter2", ".env line 1: must be KEY=value"),
        ("\nA='hunter2", ".env line 2: A has a quote that is never closed"),
        ("A='x'hunter2", ".env line 1: A has something after its closing quote"),
    ],
)
def test_problems_name_the_line_and_never_the_value(text, problem):
    _, problems = dotenv.parse(text)
    assert problems[0].startswith(problem)
    assert "hunter2" not in problems[0]


@given(st.text())
def test_any_text_parses_or_is_a_problem(text):
    dotenv.parse(text)


def test_quoting_agrees_with_a_shell():
    values = ["plain", "two words", "it's", 'say "x"', "a\nb", "$HOME `x` \\ #", ""]
    text = "".join(f"V{n}={shlex.quote(value)}\n" for n, value in enumerate(values) if "'" not in value)
    text += """V2="it's"\n"""
    script = f"{text}\nprintf '%s\\0' " + " ".join(f'"$V{n}"' for n in range(len(values)))
    shell = subprocess.run(["sh", "-c", script], capture_output=True, check=True, text=True, timeout=20).stdout
    found, problems = dotenv.parse(text)
    assert not problems
    assert [found[f"V{n}"] for n in range(len(values))] == shell.split("\0")[:-1] == values
