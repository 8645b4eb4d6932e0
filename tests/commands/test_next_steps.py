from pathlib import Path

from agent.commands.next_steps import next_steps
from tests.support.places import ROOT


def test_in_a_checkout() -> None:
    steps = next_steps(in_image=False)
    assert "make run" in steps
    assert "npm install" in steps


def test_as_an_installed_package(tmp_path: Path) -> None:
    steps = next_steps(in_image=False, package=tmp_path / "agent")
    assert "agent run" in steps
    assert "make" not in steps
    assert ".venv" not in steps


def test_in_the_image() -> None:
    steps = next_steps(in_image=True)
    assert "docker run" in steps
    assert "npm" not in steps
    assert "make run" not in steps


def test_it_fits_a_terminal_of_eighty_columns(tmp_path: Path) -> None:
    for steps in (
        next_steps(in_image=True),
        next_steps(in_image=False),
        next_steps(in_image=False, package=tmp_path),
    ):
        assert max(map(len, steps.splitlines())) <= 80
    assert (ROOT / "Makefile").exists()
