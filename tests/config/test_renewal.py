"""Files of secrets that are written anew while a run lasts."""

from __future__ import annotations

from agent.config.load import load
from agent.config.renewal import Renewal
from agent.limits import Limits

VALUES = {"WS_TOKEN": "first-token-000000", "GITHUB_TOKEN": None}


def test_only_what_is_new_is_found(tmp_path) -> None:
    file = tmp_path / "token"
    file.write_text("first-token-000000\n")
    renewal = Renewal({"WS_TOKEN": file}, VALUES, Limits())
    assert renewal.look() == {}
    file.write_text("second-token-00000\n")
    assert renewal.look() == {"WS_TOKEN": "second-token-00000"}
    assert renewal.look() == {}


def test_a_link_that_is_turned_as_kubernetes_does(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(f"{name}-token-of-this-run")
    link = tmp_path / "data"
    link.symlink_to("a")
    renewal = Renewal({"GITHUB_TOKEN": link / "token"}, {"GITHUB_TOKEN": "a-token-of-this-run"}, Limits())
    assert renewal.look() == {}
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").rename(link)
    assert renewal.look() == {"GITHUB_TOKEN": "b-token-of-this-run"}


def test_a_file_that_is_away_or_wrong_keeps_the_old_value(tmp_path) -> None:
    file = tmp_path / "token"
    renewal = Renewal({"WS_TOKEN": file}, VALUES, Limits())
    assert renewal.look() == {}
    for wrong in ("", "two words", "a\nb", "\N{SNOWMAN}"):
        file.write_text(wrong)
        assert renewal.look() == {}, wrong
    file.write_text("right-token-000000")
    assert renewal.look() == {"WS_TOKEN": "right-token-000000"}


def test_the_files_of_the_configuration(tmp_path) -> None:
    for name in ("ws", "git", "key"):
        (tmp_path / name).write_text("x" * 20)
    given = {
        "REPO_URL": "https://example.com/x", "TASK": "t", "WS_SERVER": "none", "WS_TOKEN_FILE": f"{tmp_path}/ws",
        "GITHUB_TOKEN_FILE": f"{tmp_path}/git", "ANTHROPIC_API_KEY_FILE": f"{tmp_path}/key",
    }  # fmt: skip
    assert load(given, in_container=False).renewable == {
        "WS_TOKEN": tmp_path / "ws", "GITHUB_TOKEN": tmp_path / "git",
    }  # fmt: skip
