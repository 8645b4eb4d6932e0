import pytest

from agent.arguments import ArgumentParser
from agent.hub import options
from agent.replay.command import main as replay


@pytest.mark.parametrize(
    "call", [lambda argv: options.parse(argv, {}), replay, ArgumentParser(prog="agent x").parse_args]
)
def test_a_wrong_option_is_64_and_named(call, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        call(["path", "--nonsense"])
    assert caught.value.code == 64
    said = capsys.readouterr().err
    assert said.startswith("usage: agent ")
    assert "--nonsense" in said
    assert "; see agent " in said


def test_a_misspelt_option_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.parse(["--stroe=x"], {})
    assert "unrecognized arguments: --stroe=x, did you mean --store?; see" in capsys.readouterr().err


def test_a_right_option_with_a_wrong_value_is_not_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.parse(["--port", "70000"], {})
    assert "agent serve: --port 70000 is not between 0 and 65535; see agent serve --help" in capsys.readouterr().err
