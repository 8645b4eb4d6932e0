"""Make the virtual environment of the Makefile: `python3 tools/make_environment.py .venv requirements/dev.lock`.

Debian and Ubuntu ship Python without `ensurepip`, so `python3 -m venv` alone fails there
and leaves half an environment.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ADVICE = (
    "this Python has neither ensurepip nor pip, and there is no virtualenv or uv. As root: apt-get install python3-venv"
)

#: uv trusts the machine's own CAs, as pip does; the second name is that of its older versions.
TRUST = {"UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}


def ways(python: str, directory: Path) -> list[list[list[str]]]:
    """Say how an environment with pip can be made here: ways, best first, each of them commands."""
    found = []
    if importlib.util.find_spec("ensurepip"):
        found.append([[python, "-m", "venv", "--clear", str(directory)]])
    if importlib.util.find_spec("virtualenv"):
        found.append([[python, "-m", "virtualenv", "--quiet", "--clear", str(directory)]])
    if uv := shutil.which("uv"):
        found.append([[uv, "venv", "--quiet", "--seed", "--clear", "--python", python, str(directory)]])
    if importlib.util.find_spec("pip"):
        found.append(
            [
                [python, "-m", "venv", "--clear", "--without-pip", str(directory)],
                [python, "-m", "pip", "--python", str(directory / "bin" / "python"), "install", "--quiet", "pip"],
            ]
        )
    return found


def usable(directory: Path) -> bool:
    """Tell whether there is an environment whose Python runs and has pip."""
    python = directory / "bin" / "python"
    if not (python.exists() and (directory / "pyvenv.cfg").exists()):
        return False
    return not subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode


def make(directory: Path) -> None:
    """Make an environment with pip where there is none. Of a way that fails nothing is left behind.

    Raises:
        SystemExit: no way works here; the message says what to install, what the last way printed, or what is there.
    """
    if usable(directory):
        return
    if directory.is_symlink():
        directory.unlink()  # what it led to is left alone
    elif directory.is_file():
        sys.exit(f"setup: {directory} is a file, and a directory is to be made there: remove it")
    said = ADVICE
    for commands in ways(sys.executable, directory):
        for command in commands:
            done = subprocess.run(
                command, env={**os.environ, **TRUST}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            if done.returncode:
                said = f"{' '.join(command)} failed:\n{done.stdout}"
                break
        if usable(directory):
            return
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(f"setup: {said}")


def install(directory: Path, lock: Path) -> None:
    """Install what the lock names, by its hashes; count on a terminal what pip has got to.

    Raises:
        SystemExit: pip failed; all that it printed goes to stderr.
    """
    total = sum("==" in line and not line.startswith(("#", " ")) for line in lock.read_text().splitlines())
    print(f"setup: installing {total} packages into {directory}; up to half a minute", flush=True)
    command = [directory / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"]
    lines, count, shown, away = [], 0, sys.stdout.isatty(), False
    with subprocess.Popen([*command, "-r", lock], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout
        for line in pip.stdout:
            lines.append(line)
            count += line.startswith(("Collecting ", "Requirement already"))
            unpacking = line.startswith("Installing collected")
            if line.startswith("WARNING: Retrying") and not away:
                away = True
                print("setup: the package index does not answer; pip tries five times more", flush=True)
            if shown and count:
                doing = "unpacking " if unpacking else f"fetched {count} of"
                print(f"\rsetup: {doing} {total} ", end="", flush=True)
    if shown and count:
        print()
    if pip.returncode:
        sys.exit("".join(lines) + "setup: pip failed, see above; the next make tries again")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    install(Path(sys.argv[1]), Path(sys.argv[2]))
