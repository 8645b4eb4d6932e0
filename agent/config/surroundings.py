"""The surroundings of the agent: a container, or a machine of a person's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def in_container(environ: Mapping[str, str]) -> bool:
    """Whether this looks like a container, by the marks that Docker, Podman, Kubernetes and our image leave."""
    marks = ("/.dockerenv", "/run/.containerenv")
    return "container" in environ or "KUBERNETES_SERVICE_HOST" in environ or any(Path(mark).exists() for mark in marks)
