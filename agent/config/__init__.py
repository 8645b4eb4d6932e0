"""The configuration: some ninety variables, checked before anything is spent.

What this room promises:

- Every problem is told at once, each in a sentence that names the variable, what is wrong, and an example of a right
  value. No problem repeats a value: a secret may have been put into the wrong variable.
- A configuration with problems is still usable to report them: the server, its token and the secrets are known.
- Every secret of the configuration is known to the redactor before the first line is written.
- Nothing is written and no program is started. `sources`, `json_objects` and `load` read files, and nothing else in
  this room does.

Files:

    variables           the table: name, parser, default, example, meaning; the README's table is made from it
    sources             the layers of values: environment, `.env`, an entry of TASKS_FILE, NAME_FILE
    dotenv              the `.env` file
    parsers             single values: text in, value out
    urls                REPO_URL, WS_SERVER, and credentials in any URL
    permission_rules    ALLOWED_TOOLS, DISALLOWED_TOOLS and TOOLS
    json_objects        MCP_CONFIG, OUTPUT_SCHEMA, AGENTS and SETTINGS: inline or in a file
    claude_args         CLAUDE_ARGS: what claude gets beside the variables
    secret_values       the secrets of a configuration, for the redactor
    load                from the variables to a Config, with all problems
    config              Config: one field a variable
    advice              values that contradict each other, settings that are probably not meant
    renewal             the files of secrets, read again while a run lasts
    surroundings        whether this is a container

A new variable takes a row in `variables`, a field in Config, its row in the README (printed by
`python -m agent.config.variables`), its user, and a test.

Callers: commands/ load the configuration; every room above takes a Config and reads its fields.
"""

from __future__ import annotations

from agent.config import permission_rules
from agent.config.advice import logins
from agent.config.config import Config
from agent.config.load import examine
from agent.config.renewal import Renewal
from agent.config.sources import Entry
from agent.config.surroundings import in_container
from agent.config.urls import is_loopback
from agent.config.variables import VARIABLES, Variable

__all__ = [
    "VARIABLES", "Config", "Entry", "Renewal", "Variable", "examine", "in_container", "is_loopback", "logins",
    "permission_rules",
]  # fmt: skip
