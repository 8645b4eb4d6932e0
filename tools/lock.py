"""Pin what pyproject.toml names, with hashes: `lock.py [--upgrade]` writes requirements/*.lock with pip-tools.

agent.lock is what the agent and its hub need, and dev.lock that and the group `dev`. Each other group has a lock of its
own name. Without --upgrade a pin stays as it is as long as it satisfies pyproject.toml.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: No address of an index gets into a lock: where packages come from is the business of who installs them.
_OPTIONS = (
    "--quiet", "--generate-hashes", "--strip-extras", "--allow-unsafe", "--no-header", "--no-emit-index-url",
    "--no-emit-trusted-host", "--no-emit-find-links",
)  # fmt: skip
_PACKAGE = ("--extra", "hub", "pyproject.toml")


def main() -> None:
    groups: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    for name, requirements in {"agent": [], **groups}.items():
        sources = [*(_PACKAGE if name in ("agent", "dev") else ()), *(["-"] if requirements else [])]
        lock = f"requirements/{name}.lock"
        command = [
            sys.executable,
            "-m",
            "piptools",
            "compile",
            *_OPTIONS,
            *sys.argv[1:],
            "--output-file",
            lock,
            *sources,
        ]
        subprocess.run(command, cwd=ROOT, input="\n".join(requirements), text=True, check=True)
        print(lock, flush=True)


if __name__ == "__main__":
    main()
