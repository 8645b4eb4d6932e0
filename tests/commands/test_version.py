import pytest

from agent import __version__
from agent.commands import version


def test_it_prints_the_version(capsys) -> None:
    assert version.main([]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_it_takes_nothing(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        version.main(["now"])
    assert caught.value.code == 64
