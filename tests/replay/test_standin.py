import json
import subprocess
import sys
from pathlib import Path

from agent.replay import standin

PROGRAM = """
import sys
from pathlib import Path
from agent.replay import standin
sys.exit(standin.play(Path(sys.argv[1]), speed=None, perform_edits=True))
"""


def recording(tmp_path: Path, *calls, exit_code: int = 0) -> Path:
    lines = [
        {"type": "assistant", "message": {"content": [{"type": "tool_use", "name": name, "input": arguments}]}}
        for name, arguments in calls
    ]
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    path.with_suffix(".meta.json").write_text(json.dumps({"exit_code": exit_code, "cli_version": "9.9.9"}))
    return path


def play(path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(path)]
    environment = {"PYTHONPATH": str(Path(standin.__file__).parent.parent)}
    return subprocess.run(command, cwd=cwd, env=environment, input="task", capture_output=True, text=True, check=False)


def test_edits_are_really_made(tmp_path) -> None:
    place = tmp_path / "work"
    place.mkdir()
    path = recording(
        tmp_path,
        ("Write", {"file_path": "/workspace/sub/a.txt", "content": "one two two"}),
        ("Edit", {"file_path": "/workspace/sub/a.txt", "old_string": "two", "new_string": "2"}),
        ("Edit", {"file_path": "/workspace/sub/a.txt", "old_string": "o", "new_string": "0", "replace_all": True}),
        ("Bash", {"command": "touch /workspace/never"}),
        exit_code=3,
    )
    ran = play(path, place)
    assert ran.returncode == 3, ran.stderr
    assert (place / "sub" / "a.txt").read_text() == "0ne 2 tw0"
    assert not (place / "never").exists()
    assert str(place) in ran.stdout
    assert "/workspace" not in ran.stdout


def test_nothing_outside_the_directory(tmp_path) -> None:
    place = tmp_path / "work"
    place.mkdir()
    for target in (str(tmp_path / "out"), "/workspace/../out"):
        assert play(recording(tmp_path, ("Write", {"file_path": target, "content": "x"})), place).returncode == 0
    assert not (tmp_path / "out").exists()


def test_version(tmp_path) -> None:
    assert standin.version(recording(tmp_path)).startswith("9.9.9 ")
