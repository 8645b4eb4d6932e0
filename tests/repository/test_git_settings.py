import os
import pwd
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.limits import Limits
from agent.repository.git_settings import as_environment, as_file, certificates, operators_files, protocols, ssh_command
from tests.support.git_servers import ENVIRONMENT

VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=30)


def read_back(key: str, environment: dict[str, str]) -> str:
    command = ["git", "config", "-z", "--get", key]
    done = subprocess.run(command, env=ENVIRONMENT | environment, capture_output=True, check=True, timeout=20)
    return done.stdout.decode().removesuffix("\0")


@given(VALUES, VALUES.map(lambda text: text.replace("\n", "")))
@settings(max_examples=25, deadline=None)
def test_git_reads_what_was_written(tmp_path_factory, value, subsection):
    settings = [("a.plain", value), (f"credential.https://x{subsection}.helper", value)]
    file = tmp_path_factory.mktemp("config") / "config"
    file.write_text(as_file(settings))
    for key, _ in settings:
        assert read_back(key, {"GIT_CONFIG_GLOBAL": str(file)}) == value
        assert read_back(key, as_environment(settings)) == value


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://h/x", "https:ssh"),
        ("git@h:x", "https:ssh"),
        ("ssh://h/x", "https:ssh"),
        ("http://h/x", "https:ssh:http"),
        ("file:///x", "https:ssh:file"),
        ("/x", "https:ssh:file"),
    ],
)
def test_protocols(url, allowed):
    assert protocols(url) == allowed


def test_the_operators_files(tmp_path):
    assert list(operators_files({"HOME": str(tmp_path)})) == []
    (tmp_path / ".config/git").mkdir(parents=True)
    for name in (".gitconfig", ".config/git/config", "own"):
        (tmp_path / name).touch()
    home = {"HOME": str(tmp_path)}
    assert list(operators_files(home)) == [tmp_path / ".config/git/config", tmp_path / ".gitconfig"]
    assert list(operators_files({**home, "XDG_CONFIG_HOME": "/none"})) == [tmp_path / ".gitconfig"]
    assert list(operators_files({**home, "GIT_CONFIG_GLOBAL": str(tmp_path / "own")})) == [tmp_path / "own"]
    assert list(operators_files({})) == []


def test_certificates():
    assert certificates({}) == {}
    assert certificates({"SSL_CERT_FILE": "/a"}) == {"GIT_SSL_CAINFO": "/a"}
    assert certificates({"SSL_CERT_FILE": "/a", "GIT_SSL_CAINFO": "/b"}) == {"GIT_SSL_CAINFO": "/b"}


def command(environ: dict[str, str], met: Path, *, strict: bool = False) -> str:
    return ssh_command(environ, met, met.with_name("given"), Limits(), strict=strict)


def ssh_options(environ: dict[str, str], met: Path, *, strict: bool = False) -> dict[str, str]:
    """As ssh itself understands the command."""
    if shutil.which("ssh") is None:
        pytest.skip("no ssh here (apt-get install openssh-client)")
    argv = [*shlex.split(command(environ, met, strict=strict)), "-G", "host"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20).stdout
    found: dict[str, str] = {}
    for key, _, value in (line.partition(" ") for line in shown.splitlines()):
        found.setdefault(key, value)
    return found


def test_ssh_never_asks_and_ends_by_itself(tmp_path):
    options = ssh_options({"HOME": str(tmp_path)}, tmp_path / "a b")
    expected = {
        "batchmode": "yes",
        "stricthostkeychecking": "accept-new",
        "connecttimeout": "10",
        "serveraliveinterval": "15",
        "serveralivecountmax": "4",
    }
    assert options | expected == options
    assert "controlpath" not in options
    assert options["userknownhostsfile"] == f"{tmp_path}/a b {tmp_path}/given {tmp_path}/.ssh/known_hosts"
    assert ssh_options({"HOME": str(tmp_path)}, tmp_path / "a", strict=True)["stricthostkeychecking"] == "true"


def test_the_operators_own_ssh_command_wins(tmp_path):
    environ = {"HOME": str(tmp_path), "GIT_SSH_COMMAND": "ssh -p 2222 -o StrictHostKeyChecking=yes"}
    options = ssh_options(environ, tmp_path / "known")
    assert (options["port"], options["stricthostkeychecking"], options["batchmode"]) == ("2222", "true", "yes")


def test_keys_and_configuration_of_a_home_that_ssh_does_not_know(tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/id_rsa").touch()
    (tmp_path / ".ssh/config").write_text("Host host\n  User deploy\n")
    options = ssh_options({"HOME": str(tmp_path)}, tmp_path / "known")
    assert (options["user"], options["identityfile"]) == ("deploy", f"{tmp_path}/.ssh/id_rsa")
    own = pwd.getpwuid(os.getuid()).pw_dir
    assert " -i " not in command({"HOME": own}, tmp_path / "known")


def test_a_user_without_a_name_gets_an_answer(tmp_path, monkeypatch):
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert command({"HOME": str(tmp_path)}, tmp_path / "known").startswith("ssh ")
