"""List what the image consists of: `make_sbom.py SYFT TO`, run as a step of the Dockerfile, writes CycloneDX as JSON.

syft finds Debian's packages and Python's. The claude CLI it cannot know, so that is added: name, version and digest.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

#: What is no file of the image: the kernel's, and what the build put there for this step.
_NOT_OF_THE_IMAGE = ("./proc", "./sys", "./dev", "./opt/syft", "./build")


def cli(pinned: dict[str, Any], machine: str) -> dict[str, Any]:
    """Describe the claude CLI as a component: `pinned` is requirements/claude.json, `machine` is x64 or arm64."""
    name, version = f"@anthropic-ai/claude-code-linux-{machine}", pinned["version"]
    return {
        "type": "application",
        "bom-ref": f"pkg:npm/{quote(name, safe='/')}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:npm/{quote(name, safe='/')}@{version}",
        "licenses": [{"license": {"name": "Anthropic's commercial terms"}}],
        "properties": [{"name": "npm:integrity", "value": pinned["integrity"][name]}],
    }


def listed(syft: str) -> dict[str, Any]:
    """Return syft's list of all packages below /."""
    # Those that look at single programs list Debian's source packages beside the installed ones.
    catalogers = "dpkg-db-cataloger,python-installed-package-cataloger"
    excluded = [option for path in _NOT_OF_THE_IMAGE for option in ("--exclude", f"{path}/**")]
    version = subprocess.check_output(["agent", "version"], text=True).strip()
    command = [syft, "scan", "dir:/", "--quiet", "--output", "cyclonedx-json", *excluded]
    command += ["--override-default-catalogers", catalogers]
    command += ["--source-name", "claude-code-wrapper", "--source-version", version]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    # Single files are no packages: syft lists thousands of them, with Debian's copyright notices among them.
    found["components"] = [each for each in found["components"] if each["type"] != "file"]
    return found


def main() -> None:
    syft, to = sys.argv[1:]
    pinned = json.loads((Path(__file__).parents[1] / "requirements" / "claude.json").read_text())
    machine = {"x86_64": "x64", "aarch64": "arm64"}[subprocess.check_output(["uname", "-m"], text=True).strip()]
    bom = listed(syft)
    bom["components"].append(cli(pinned, machine))
    Path(to).write_text(json.dumps(bom, indent=1) + "\n")
    print(f"{to}: {len(bom['components'])} components")


if __name__ == "__main__":
    main()
