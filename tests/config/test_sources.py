"""Where values come from: layers, NAME_FILE, TASKS_FILE."""

import json
import os

import pytest

from agent.config import sources
from agent.limits import Limits

LIMITS = Limits(config_file_bytes=200)


@pytest.fixture
def gather(tmp_path):
    """gather(environ, env="...", tasks=..., files={"name": bytes}); `@name` in a value is the path of a file."""

    def run(environ, env=None, tasks=None, files=None):
        for name, content in (files or {}).items():
            (tmp_path / name).write_bytes(content)
        if tasks is not None:
            (tmp_path / "tasks").write_text(tasks if isinstance(tasks, str) else json.dumps(tasks))
            environ = {"TASKS_FILE": "@tasks", **environ}
        if env is not None:
            (tmp_path / ".env").write_text(env.replace("@", f"{tmp_path}/"))
        environ = {name: value.replace("@", f"{tmp_path}/") for name, value in environ.items()}
        return sources.gather(environ, tmp_path / ".env", LIMITS)

    return run


def test_environment_over_dotenv_and_empty_counts_as_unset(gather):
    found = gather({"A": "1", "TIMEOUT": "", "MODEL": "m"}, env="A=2\nTIMEOUT=5m\nMODEL=n\nNEW=x")
    assert found.values == {"A": "1", "TIMEOUT": "5m", "MODEL": "m", "NEW": "x"}
    assert found.origins == {"TIMEOUT": ".env", "NEW": ".env"}
    assert not found.problems


def test_a_missing_dotenv_is_none(gather):
    assert gather({"A": "1"}).values == {"A": "1"}


def test_a_dotenv_that_claude_may_have_written_is_ignored(gather, tmp_path):
    hostile = "CLAUDE_BIN=/workspace/evil\nWORKSPACE_DIR=/elsewhere"
    for workspace in (tmp_path, tmp_path.parent):
        found = gather({"WORKSPACE_DIR": str(workspace)}, env=hostile)
        assert set(found.values) == {"WORKSPACE_DIR"}
        assert found.problems == []
        assert found.warnings == [".env: is ignored, since it lies in WORKSPACE_DIR; keep it elsewhere"]
    assert gather({}, env=hostile).values["CLAUDE_BIN"] == "/workspace/evil"


def test_files_with_secrets_are_known(gather, tmp_path):
    found = gather({"TASKS_FILE": "@tasks", "JOB_COMPLETION_INDEX": "0", "WS_TOKEN_FILE": "@ws", "TASK_FILE": "@task",
                    "CLAUDE_ENV_FILE": "@env"}, tasks=[{"GITHUB_TOKEN_FILE": f"{tmp_path}/git"}])  # fmt: skip
    assert {path.name for path in found.secret_files} == {"tasks", "ws", "env", "git"}


def test_problems_of_the_dotenv(gather, tmp_path):
    assert gather({}, env="hunter2").problems == [".env line 1: must be KEY=value, a # comment or blank"]
    assert gather({}, env="A=" + "x" * 300).problems == [".env: is longer than 200 bytes"]
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert gather({}).problems == [".env: is not a regular file"]


def test_a_file_loses_exactly_one_newline(gather):
    found = gather({"TASK_FILE": "@task", "ANTHROPIC_API_KEY_FILE": "@key"}, files={"task": b" x\n\n", "key": b"k\n"})
    assert found.values == {"TASK": " x\n", "ANTHROPIC_API_KEY": "k"}
    assert found.origins == {"TASK": "TASK_FILE", "ANTHROPIC_API_KEY": "ANTHROPIC_API_KEY_FILE"}


def test_an_empty_name_file_is_unset(gather):
    assert gather({"TASK": "x", "TASK_FILE": " "}).values == {"TASK": "x"}


def test_a_path_that_is_a_variable_itself_is_no_name_file(gather):
    given = {"SSL_CERT_FILE": "/x", "WS_CA_FILE": "/y", "HEALTH_FILE": "/z", "OTHER_FILE": "/o"}
    assert gather(given).values == given


def test_both_name_and_name_file(gather):
    found = gather({"TASK": "a", "TASK_FILE": "@task"}, files={"task": b"b"})
    assert found.problems == ["TASK: both TASK and TASK_FILE are set; keep one of them"]


def test_a_name_hides_the_file_of_a_lower_layer_and_the_other_way_round(gather):
    found = gather({"TASK": "a", "MODEL_FILE": "@m"}, env="TASK_FILE=@none\nMODEL=x", files={"m": b"y"})
    assert (found.values["TASK"], found.values["MODEL"]) == ("a", "y")
    assert not found.problems


@pytest.mark.parametrize(
    ("path", "files", "problem"),
    [
        ("@none", {}, "does not exist"),
        ("@", {}, "is not a regular file"),
        ("/dev/zero", {}, "is not a regular file"),
        ("@f", {"f": b"\xff"}, "is not UTF-8 text"),
        ("@f", {"f": b" \n"}, "is empty"),
        ("@f", {"f": b"x" * 201}, "is longer than 200 bytes"),
        ("x" * 300, {}, "cannot be read: File name too long"),
        ("/proc/self/mem", {}, "cannot be read: Input/output error"),
        ("hunter2", {}, "does not exist"),
    ],
)
def test_a_file_that_cannot_be_used(gather, path, files, problem):
    found = gather({"WS_TOKEN_FILE": path}, files=files)
    assert found.problems == [f"WS_TOKEN_FILE: the file {problem}; for example WS_TOKEN_FILE=/run/secrets/ws_token"]
    assert "WS_TOKEN" not in found.values


def test_a_fifo_does_not_block(gather, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert "not a regular file" in gather({"WS_TOKEN_FILE": "@fifo"}).problems[0]


TASKS = [
    {"REPO_URL": "/a", "TASK": "first"},
    {
        "REPO_URL": "/b",
        "TASK": "second",
        "MAX_TURNS": 5,
        "TRUST_REPO": True,
        "STREAM_PATCH": False,
        "MAX_BUDGET_USD": 0.5,
    },
]


def test_an_entry_overrides_everything(gather):
    found = gather(
        {"JOB_COMPLETION_INDEX": "1", "TASK_FILE": "@none", "MAX_TURNS": "9"}, tasks=TASKS, env="TRUST_REPO=0"
    )
    assert not found.problems
    expected = {"REPO_URL": "/b", "TASK": "second", "MAX_TURNS": "5", "TRUST_REPO": "1", "STREAM_PATCH": "0"}
    assert expected.items() <= found.values.items()
    assert found.values["MAX_BUDGET_USD"] == "0.5"
    assert found.origins["TASK"] == "entry 1 of TASKS_FILE"


def test_an_entry_may_name_files(gather):
    tasks = [{"REPO_URL": "/a", "TASK_FILE": None}]
    assert "TASK_FILE must be a string" in gather({"JOB_COMPLETION_INDEX": "0"}, tasks=tasks).problems[0]
    found = gather({"JOB_COMPLETION_INDEX": "0"}, tasks=[{"REPO_URL": "/a", "TASK_FILE": "/proc/self/comm"}])
    assert found.origins["TASK"] == "TASK_FILE"


def test_an_index_without_a_file_means_nothing(gather):
    assert not gather({"JOB_COMPLETION_INDEX": "x"}).problems


@pytest.mark.parametrize("index", ["2", "-1", "x", "1.0", "\u0660", "9" * 5000])
def test_a_wrong_index(gather, index):
    assert gather({"JOB_COMPLETION_INDEX": index}, tasks=TASKS).problems == [
        "JOB_COMPLETION_INDEX: must be 0 to 1, since TASKS_FILE has 2 entries; the Job's completions must be 2"
    ]


def test_a_missing_index(gather):
    assert gather({}, tasks=TASKS).problems[0].startswith("JOB_COMPLETION_INDEX: is not set, but TASKS_FILE is")


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ("{bad hunter2", "TASKS_FILE: the file is not JSON"),
        ("[" * 150, "TASKS_FILE: the file is not JSON"),
        ("{}", "TASKS_FILE: the file is not a JSON array with entries"),
        ("[]", "TASKS_FILE: the file is not a JSON array with entries"),
        ("[3]", "TASKS_FILE: entry 0 of TASKS_FILE is not an object"),
        ([{"TASK": "x"}], "TASKS_FILE: entry 0 of TASKS_FILE has no REPO_URL"),
        ([{"REPO_URL": "/x", "TASK": " "}], "TASKS_FILE: entry 0 of TASKS_FILE has no TASK"),
        (
            [{"REPO_URL": "/x", "TASK": "x", "ALOWED_TOOLS": "Edit"}],
            "TASKS_FILE: entry 0 of TASKS_FILE: key 3 is not a variable that an entry may set (near to ALLOWED_TOOLS)",
        ),
        ([{"REPO_URL": "/x", "TASK": "x", "TASKS_FILE": "y"}], "TASKS_FILE: entry 0 of TASKS_FILE: key 3 is not"),
        ([{"REPO_URL": "/x", "TASK": ["x"]}], "TASKS_FILE: entry 0 of TASKS_FILE: TASK must be a string"),
    ],
)
def test_a_bad_entry(gather, tasks, problem):
    problems = gather({"JOB_COMPLETION_INDEX": "0"}, tasks=tasks).problems
    assert problems[0].startswith(problem)
    assert "hunter2" not in problems[0]


def test_huge_numbers_and_depth_are_no_crash(gather, tmp_path):
    (tmp_path / "deep").write_text("[" * 100_000)
    (tmp_path / "long").write_text('[{"REPO_URL": "/x", "TASK": ' + "9" * 10_000 + "}]")
    for name in ("deep", "long"):
        environ = {"TASKS_FILE": f"{tmp_path}/{name}", "JOB_COMPLETION_INDEX": "0"}
        assert sources.gather(environ, None, Limits()) is not None


def test_misspelt_variables_are_found_at_one_letters_distance():
    found = sources.misspelt(
        dict.fromkeys(
            ["ALLOWD_TOOLS", "ALLOWED_TOOLSS", "ALOLWED_TOOLS", "LOGLEVEL", "GITHUB_TOKEN", "GITHUB_TOKEN_FILE", "MODE",
             "TASKS", "TIMOUT", "TIMEOUTS", "MODELS", "LABEL", "TMPDIR",
             "KUBERNETES_PORT", "SSL_CERT_FILE", "GIT_AUTHOR_NAME", "NODE_ENV"], "x",
        )
    )  # fmt: skip
    assert found == [
        ("ALLOWD_TOOLS", "ALLOWED_TOOLS"), ("ALLOWED_TOOLSS", "ALLOWED_TOOLS"), ("ALOLWED_TOOLS", "ALLOWED_TOOLS"),
        ("LOGLEVEL", "LOG_LEVEL"), ("TIMOUT", "TIMEOUT"), ("TIMEOUTS", "TIMEOUT"),
    ]  # fmt: skip


def test_a_directory_holds_the_tasks_in_parts(gather, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, tasks in (("001.json", [TASKS[1]]), ("000.json", [TASKS[0]]), ("other.txt", "no")):
        (parts / name).write_text(json.dumps(tasks))
    for index, task in enumerate(TASKS):
        found = gather({"TASKS_FILE": str(parts), "JOB_COMPLETION_INDEX": str(index)})
        assert (found.problems, found.values["TASK"]) == ([], task["TASK"])
    (parts / "002.json").write_text("{}")
    assert "is not a JSON array" in gather({"TASKS_FILE": str(parts), "JOB_COMPLETION_INDEX": "0"}).problems[0]
    empty = tmp_path / "empty"
    empty.mkdir()
    problem, = gather({"TASKS_FILE": str(empty), "JOB_COMPLETION_INDEX": "0"}).problems  # fmt: skip
    assert problem.startswith("TASKS_FILE: the directory holds no *.json; for example")
