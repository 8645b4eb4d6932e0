"""Lists of tasks: every format, every kind of bad input, and what a task gets."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import AgentError, ConfigError
from agent.exits import Exit
from agent.fleet.tasks import Task, check, read, summary
from agent.limits import Limits

KEY = "sk-ant-api03-" + "canary" * 5
ENVIRON = {"ANTHROPIC_API_KEY": KEY, "PATH": "/bin", "MODEL": "sonnet"}
ONE = {"REPO_URL": "https://x.org/you/web.git", "TASK": "Fix the bug"}


def checked(entries: Any, environ: dict[str, str] | None = None, dotenv: Path | None = None) -> list[Task]:
    return check(
        entries, "dir/tasks.yaml", ENVIRON if environ is None else environ, dotenv, Limits(), in_container=True
    )[0]


def problems(entries: Any, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        checked(entries, environ)
    return raised.value.problems


def read_text(tmp_path: Path, text: str, name: str = "tasks") -> list[Any]:
    (tmp_path / name).write_text(text)
    return read(str(tmp_path / name), Limits())


FORMS = {
    "array": json.dumps([ONE, ONE]),
    "lines": f"{json.dumps(ONE)}\n\n{json.dumps(ONE)}\n",
    "yaml": "- REPO_URL: https://x.org/you/web.git\n  TASK: Fix the bug\n" * 2,
    "byte order mark": "\ufeff" + json.dumps([ONE, ONE]),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_format(tmp_path: Path, form: str) -> None:
    if form == "yaml":
        pytest.importorskip("yaml", reason="needs the extra hub: make setup")
    assert read_text(tmp_path, FORMS[form]) == [ONE, ONE]


def test_stdin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "input").write_text(json.dumps([ONE]))
    with (tmp_path / "input").open("rb") as file:
        monkeypatch.setattr("agent.fleet.tasks.open", lambda place, *_, **__: io.BytesIO(file.read()), raising=False)
        assert read("-", Limits()) == [ONE]


def test_yaml_means_what_it_says(tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="needs the extra hub: make setup")
    text = """
- &base
  REPO_URL: https://x.org/y
  TASK: no
  REPO_REF: 1.10
  TRUST_REPO: yes
- <<: *base
  TASK: |
    Two
    lines
"""
    first, second = read_text(tmp_path, text, "tasks.yml")
    assert (first["TASK"], first["REPO_REF"], first["TRUST_REPO"]) == ("no", "1.10", "yes")
    assert (second["TASK"], second["REPO_REF"]) == ("Two\nlines\n", "1.10")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no list with tasks"),
        ("[]", "is no list with tasks"),
        ("[{\n oops", "is not JSON: Expecting property name enclosed in double quotes at line 2, column 2"),
        ('{"TASK": 1}\n{"hunter2', "line 2 is not a JSON object"),
        ('{\n"TASK": 1}', "line 1 is not a JSON object; a list of objects begins with ["),
        ("a: [", "is not YAML: "),
        ("!!python/object/apply:os.system [id]", "is not YAML: could not determine a constructor"),
        ("just words", "is no list with tasks"),
        ("[" * 100_000, "is not JSON"),
        ("x" * 200, "is longer than 100 bytes"),
    ],
)
def test_what_is_no_list(tmp_path: Path, text: str, said: str) -> None:
    pytest.importorskip("yaml", reason="needs the extra hub: make setup")
    (tmp_path / "t").write_text(text)
    limits = Limits(config_file_bytes=100) if said.startswith("is longer") else Limits()
    with pytest.raises(AgentError) as raised:
        read(str(tmp_path / "t"), limits)
    assert raised.value.exit is Exit.CONFIG
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot be read: No such file"):
        read(str(tmp_path / "nowhere"), Limits())
    with pytest.raises(AgentError, match="cannot be read: Is a directory"):
        read(str(tmp_path), Limits())
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(AgentError, match="is not UTF-8"):
        read(str(tmp_path / "latin"), Limits())


def test_every_problem_of_every_entry_at_once() -> None:
    found = problems([
        {"REPO_URL": "https://x.org/y"},
        {**ONE, "TIMEOUT": "soon", "ALOWED_TOOLS": "x"},
        7,
        {**ONE, "WS_SERVER": "ws://x", "OUTPUT_DIR": "/o"},
        {**ONE, "TASK": ["x"]},
        ONE,
    ])  # fmt: skip
    words = "\n".join(found)
    for said in (
        "entry 1 of tasks.yaml has no TASK",
        "TIMEOUT (entry 2 of tasks.yaml): ",
        "entry 2 of tasks.yaml: key 4 is not a variable that an entry may set (near to ALLOWED_TOOLS)",
        "entry 3 of tasks.yaml is not an object with REPO_URL and TASK",
        "entry 4 of tasks.yaml: WS_SERVER is set by the fleet; leave it out",
        "entry 4 of tasks.yaml: OUTPUT_DIR is set by the fleet; leave it out",
        "entry 5 of tasks.yaml: TASK must be a string",
    ):
        assert said in words
    assert "entry 6" not in words


def test_a_problem_of_the_environment_is_told_once() -> None:
    found = problems([ONE, ONE, ONE], ENVIRON | {"TIMEOUT": "soon"})
    assert len(found) == 1
    assert found[0].startswith("TIMEOUT: ")


def test_no_problem_repeats_a_secret() -> None:
    assert "hunter2" not in str(problems([{**ONE, "GITHUB_TOKEN": "hunter2 hunter2"}, {**ONE, "MAX_TURNS": "hunter2"}]))


def test_names(tmp_path: Path) -> None:
    (tmp_path / "über").mkdir()
    tasks = checked([
        ONE,
        {**ONE, "CONTAINER_ID": "fix login/7"},
        {**ONE, "REPO_URL": "git@github.com:you/app.git"},
        {**ONE, "REPO_URL": str(tmp_path / "über")},
    ])  # fmt: skip
    assert [task.name for task in tasks] == ["web-1", "fix-login-7", "app-3", "ber-4"]
    assert problems([{**ONE, "CONTAINER_ID": "a"}, {**ONE, "CONTAINER_ID": "a"}]) == (
        "entry 2 of tasks.yaml: CONTAINER_ID a is also that of entry 1",
    )
    assert summary(tasks) == "4 tasks on 3 repositories"


def test_what_a_task_gets(tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("From a file\n")
    (tmp_path / "mcp.json").write_text('{"mcpServers": {}}')
    (tmp_path / ".env").write_text("GIT_USER_NAME=Bot\nWS_SERVER=ws://mine\n")
    environ = ENVIRON | {"MCP_CONFIG": str(tmp_path / "mcp.json"), "JOURNAL_DIR": "/mine", "TASKS_FILE": "/t"}
    entry = {"REPO_URL": "https://user:tok3n-tok3n@x.org/y", "TASK_FILE": str(tmp_path / "prompt"), "TRUST_REPO": True}
    task, = checked([entry], environ, tmp_path / ".env")  # fmt: skip
    assert task.values["TASK"] == "From a file"
    assert task.values["MCP_CONFIG"] == '{"mcpServers": {}}'
    assert (task.values["MODEL"], task.values["GIT_USER_NAME"], task.values["TRUST_REPO"]) == ("sonnet", "Bot", "1")
    assert not {"WS_SERVER", "JOURNAL_DIR", "PATH", "TASKS_FILE"} & set(task.values)
    assert {"TASK", "ANTHROPIC_API_KEY", "MCP_CONFIG", "REPO_URL"} <= task.private, "REPO_URL has a token in it"
    assert "MODEL" not in task.private
    assert (task.title, task.repository) == ("From a file", "https://user@x.org/y")
    assert task.bound == 1800 + 60 + 600 + 300


@pytest.mark.parametrize(("counts", "waiting"), [("0", 6 * 3600), ("1", 0)])
def test_the_bound_has_the_time_that_an_attempt_may_wait_for_the_api(counts: str, waiting: float) -> None:
    (task,), _ = check(
        [{**ONE, "WAIT_FOR_LIMIT": "6h", "TIMEOUT_COUNTS_WAITING": counts}], "-", {}, None, Limits(), in_container=True
    )
    assert task.bound == 1800 + waiting + 60 + 600 + 300


def test_warnings_are_told_once() -> None:
    _, warnings = check([ONE, ONE], "-", {}, None, Limits(), in_container=True)
    assert len(warnings) == 1
    assert warnings[0].startswith("ANTHROPIC_API_KEY: neither this nor another credential")


def test_many_entries() -> None:
    assert len(checked([ONE] * 300)) == 300


def test_a_repository_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "my repo").mkdir()
    for address in (f"{tmp_path}/my repo", f"file://{tmp_path}/my%20repo"):
        assert checked([{**ONE, "REPO_URL": address}])[0].local == tmp_path / "my repo"
    assert checked([ONE])[0].local is None
    assert problems([{**ONE, "REPO_URL": "/nowhere/at/all"}]) == (
        "REPO_URL (entry 1 of tasks.yaml): there is no /nowhere/at/all on this machine",
    )


def test_files_are_found_from_the_list(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "one").write_text("From a file")
    entry = {"REPO_URL": "https://x.org/y", "TASK_FILE": "prompts/one"}
    found = read_text(tmp_path, json.dumps([entry, {**entry, "TASK_FILE": "/absolute"}, 7]))
    assert [item["TASK_FILE"] for item in found[:2]] == [f"{tmp_path}/prompts/one", "/absolute"]
    assert checked(found[:1])[0].title == "From a file"


def test_a_title_holds_no_secret() -> None:
    task, = checked([{**ONE, "TASK": f"Use {KEY} for it"}])  # fmt: skip
    assert task.title == "Use [redacted] for it"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tasks.json", '[{"REPO_URL": "https://x.org/a", "TASK": "one", "TASK": "two"}]'),
        ("tasks.jsonl", '{"REPO_URL": "https://x.org/a", "TASK": "one", "TASK": "two"}'),
        ("tasks.yaml", "- REPO_URL: https://x.org/a\n  TASK: one\n  TASK: two\n"),
        # The hyphen of the second entry is missing.
        ("tasks.yaml", "- TASK: one\n  REPO_URL: https://x.org/a\n  TASK: two\n  REPO_URL: https://x.org/b\n"),
    ],
)
def test_two_entries_that_run_into_one(tmp_path: Path, name: str, text: str) -> None:
    """The last would count, and the other task would be lost without a word."""
    if name.endswith(".yaml"):
        pytest.importorskip("yaml", reason="needs the extra hub: make setup")
    with pytest.raises(AgentError, match="the key TASK stands twice in one object") as raised:
        read_text(tmp_path, text, name)
    assert raised.value.exit == Exit.CONFIG


def test_a_key_that_stands_twice_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="the key of an entry stands twice") as raised:
        read_text(tmp_path, f'[{{"{KEY}": 1, "{KEY}": 2}}]')
    assert KEY not in str(raised.value)


def test_yaml_may_still_share_what_entries_have_in_common(tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="needs the extra hub: make setup")
    text = "- &a {REPO_URL: https://x.org/a, TASK: one}\n- {<<: *a, TASK: two}\n"
    assert [entry["TASK"] for entry in read_text(tmp_path, text, "tasks.yaml")] == ["one", "two"]
