import pytest

from agent.config.surroundings import in_container


@pytest.mark.parametrize("environ", [{"container": "oci"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_marks_of_a_container(environ: dict[str, str]) -> None:
    assert in_container(environ)
