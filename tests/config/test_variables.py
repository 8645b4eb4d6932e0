"""The table of variables: consistent in itself, with Config, and with the README."""

import subprocess
import sys

import pytest

from agent.config import urls, variables
from agent.config.config import Config
from agent.config.variables import BY_NAME, VARIABLES
from tests.support.places import ROOT

README = ROOT / "README.md"


def test_names_are_unique_and_none_is_the_file_of_another():
    assert len(BY_NAME) == len(VARIABLES)
    assert not [name for name in BY_NAME if name.removesuffix("_FILE") in BY_NAME and name.endswith("_FILE")]


def test_every_field_of_config_is_a_variable_and_the_other_way_round():
    beside = {"in_container", "environ", "secrets", "secret_files", "renewable", "mcp_references", "warnings", "limits"}
    assert {variable.field for variable in VARIABLES if variable.field} == set(Config.__struct_fields__) - beside


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_defaults_and_examples_are_right(variable):
    assert variable.secret == (not variable.example) or variable.name == "ANTHROPIC_CUSTOM_HEADERS"
    if variable.example:
        variable.parse(variable.example)
    if variable.default:
        variable.parse(variable.default)
    assert not (variable.default and variable.otherwise)


def test_table_shows_every_variable_once_in_wellformed_rows():
    rows = [row for row in variables.table().splitlines() if row.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(BY_NAME)
    assert {row.replace("\\|", "").count("|") for row in rows} == {5}


def test_module_prints_the_table():
    command = [sys.executable, "-m", "agent.config.variables"]
    printed = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout
    assert printed == variables.table()


def test_readme_has_the_table():
    _, _, rest = README.read_text().partition("<!-- variables -->")
    block, end, _ = rest.partition("<!-- /variables -->")
    assert end, "README.md has no block <!-- variables --> ... <!-- /variables -->"
    assert block.strip() == variables.table().strip(), "python -m agent.config.variables prints the block"


def test_repository_parser_gives_a_repository():
    assert isinstance(BY_NAME["REPO_URL"].parse("/srv/repo"), urls.Repository)
