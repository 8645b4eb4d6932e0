"""The words at the end of the demo: the commands for a task of one's own, right for where this program runs."""

from __future__ import annotations

from pathlib import Path

_CLAUDE = "claude itself comes with: npm install -g @anthropic-ai/claude-code"

_CHECKOUT = f"""\
In one terminal, watch:
  .venv/bin/python -m agent serve
In another, run a task:
  export REPO_URL=https://github.com/you/project TASK='Fix the bug in ...'
  export WS_SERVER=ws://localhost:8080 WORKSPACE_DIR=/tmp/project
  export ANTHROPIC_API_KEY=...
  .venv/bin/python -m agent check      # tells what is missing; costs nothing
  make run
{_CLAUDE}
README.md shows the same with Docker and Kubernetes. Many tasks at once:
  .venv/bin/python -m agent fleet tasks.yaml     # docs/fleet.md"""

_INSTALLED = f"""\
In one terminal, watch:
  agent serve
In another, run a task:
  export REPO_URL=https://github.com/you/project TASK='Fix the bug in ...'
  export WS_SERVER=ws://localhost:8080 WORKSPACE_DIR=/tmp/project
  export ANTHROPIC_API_KEY=...
  agent check                          # tells what is missing; costs nothing
  agent run
{_CLAUDE}
`agent variables` explains all variables. Many tasks at once, with Docker:
  agent fleet tasks.yaml               # agent fleet --help"""

_IMAGE = """\
Run a task in this image, which has claude in it; the work is then in out/:
  mkdir -m 0777 out
  docker run --rm -e REPO_URL=https://github.com/you/project \\
    -e TASK='Fix the bug in ...' -e ANTHROPIC_API_KEY -e WS_SERVER=none \\
    -v "$PWD/out:/out" -e OUTPUT_DIR=/out claude-code-wrapper
README.md shows how to watch it in a browser, and the same with Kubernetes.
`docker run --rm claude-code-wrapper variables` explains all variables."""


def next_steps(*, in_image: bool, package: Path = Path(__file__).parents[1]) -> str:
    """Return what to do next: in the project's image, in a checkout of it, or with an installed package."""
    if in_image:
        steps = _IMAGE
    elif (package.parent / "Makefile").exists() and (package.parent / "pyproject.toml").exists():
        steps = _CHECKOUT
    else:
        steps = _INSTALLED
    return f"That was a recorded claude. With a real one, on a repository of yours:\n\n{steps}"
