"""The table of variables: name, parser, default, example, meaning.

`python -m agent.config.variables` prints it as Markdown.

Parsed times are seconds and parsed sizes are bytes. `default` is parsed like a value. A default that depends
on where the agent runs is described in `otherwise` and filled in by load.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from agent.config import parsers as values
from agent.config import permission_rules as tools
from agent.config import urls
from agent.config.claude_args import claude_args
from agent.limits import KIB, MIB


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A variable. `field` is its name in Config, None for one that is only passed on to claude."""

    name: str
    group: str
    help: str
    example: str = ""
    parse: Callable[[str], Any] = str
    default: str = ""
    otherwise: str = ""
    required: bool = False
    #: Its value is registered with the redactor.
    secret: bool = False
    #: Any number of lines, white space kept.
    text: bool = False
    #: A list that may have line breaks, and becomes one argument of claude's.
    lines: bool = False
    field: str | None = None

    @property
    def shown(self) -> str:
        """An example as it would be written; for a secret, that of its file."""
        return f"{self.name}_FILE=/run/secrets/{self.name.lower()}" if self.secret else f"{self.name}={self.example}"


_TASK = "The task"
_SERVER = "The server"
_CLAUDE = "Claude"
_GIT = "Repository and workspace"
_STEPS = "Before and after claude"
_TIME = "Time"
_RECORD = "Journal, records and results"
_PASSED = "Passed to claude"


def _group(group: str, *rows: Variable) -> list[Variable]:
    return [msgspec.structs.replace(row, group=group) for row in rows]


def _own(name: str, parse: Callable[[str], Any], example: str, help: str, **options: Any) -> Variable:
    return Variable(
        name=name, group="", parse=parse, example=example, help=help,
        **{"field": name.lower(), **options},
    )  # fmt: skip


def _passed(name: str, example: str, help: str, **options: Any) -> Variable:
    return Variable(name=name, group="", example=example, help=help, **options)


_UUID = "0b2f7c9e-5d41-4a86-9f0e-3c1d2e4f5a6b"

VARIABLES: tuple[Variable, ...] = (
    *_group(
        _TASK,
        _own("REPO_URL", urls.repository, "https://github.com/octocat/Hello-World.git",
             "The repository: https, ssh, `git@host:path`, http, file or an absolute path", required=True),
        _own("TASK", str, "Fix the failing test and commit",
             "What claude shall do, at most 10 MiB; over 128 KiB only as TASK_FILE", required=True, text=True),
        _own("REPO_REF", values.ref, "main", "Branch, tag or commit; of a branch and a tag with the same name the"
             " branch is taken, unless the name is full (`refs/tags/v1`)", otherwise="the default branch"),
        _own("LABELS", values.labels, "team=web,ticket=WEB-17", "`key=value,...`, shown in the first STATUS"),
        _own("CONTAINER_ID", values.identifier, "fix-login-7", "Who is speaking, in every message",
             otherwise="the host name when longer than 8 characters, else a generated one"),
        _own("LOG_LEVEL", values.choice("debug", "info", "warn", "error"), "debug",
             "What of the agent's own log is shown and sent: debug, info, warn or error", default="info"),
        _own("LOG_FORMAT", values.choice("text", "json"), "json", "Of stderr: text or json", default="text"),
        _own("TASKS_FILE", values.path, "/etc/tasks/tasks.json",
             "A JSON array of objects with REPO_URL, TASK and whatever other variable an entry overrides, or a"
             " directory with several (`*.json`, in the order of their names)", field=None),
        _own("JOB_COMPLETION_INDEX", str, "0",
             "The entry of TASKS_FILE that is this run's, from 0; an Indexed Job sets it", field=None),
    ),
    *_group(
        _SERVER,
        _own("WS_SERVER", urls.server, "wss://runs.example.com/agent",
             "The WebSocket server, or `none`", required=True),
        _own("WS_TOKEN", values.token, "", "Sent as `Authorization: Bearer`", secret=True),
        _own("WS_CA_FILE", values.path, "/etc/ssl/private-ca.pem", "CA of a server with a private certificate",
             otherwise="the system's trust store"),
        _own("SERVER_WAIT", values.positive_duration, "2m", "How long to wait for the server before anything starts",
             default="60s"),
        _own("SERVER_REQUIRED", values.boolean, "0", "0: start without the server, deliver when it comes",
             default="1"),
        _own("ALLOW_REMOTE_CANCEL", values.boolean, "1", "1: the server may cancel the run", default="0"),
        _own("ALLOW_STEERING", values.boolean, "1", "1: the server may tell claude something, and interrupt it",
             default="0"),
        _own("ASK", values.boolean, "1", "1: where no rule decides, claude asks a person, by the server", default="0"),
        _own("ASK_TIMEOUT", values.positive_duration, "10m", "How long a question is open; then it is denied",
             default="5m"),
        _own("PARTIAL", values.boolean, "1",
             "1: who watches sees text grow while claude writes it, and the output of a command while it runs",
             default="0"),
        _own("MESSAGE_LIMIT", values.size(4 * KIB, 64 * MIB), "64KiB", "A longer LOG is sent in parts",
             default="256KiB"),
        _own("DELIVERY_WAIT", values.positive_duration, "2m",
             "How long the container waits at the end for a server that is away", default="10m"),
        _own("STRICT_DELIVERY", values.boolean, "1", "1: exit 74 when the server has not confirmed everything",
             default="0"),
    ),
    *_group(
        _CLAUDE,
        _own("MODEL", values.word, "sonnet", "Model or alias", otherwise="the CLI's"),
        _own("FALLBACK_MODEL", values.word, "haiku", "Model when the first is overloaded"),
        _own("MAX_TURNS", values.integer, "20", "Turns after which claude stops"),
        _own("MAX_BUDGET_USD", values.amount, "2.50", "Cost after which claude stops"),
        _own("ALLOWED_TOOLS", tools.rules, "Edit,Write,Bash(npm test:*)",
             "Permission rules, with commas or one a line; with them, everything else that would ask is denied",
             lines=True),
        _own("DISALLOWED_TOOLS", tools.rules, "WebFetch,Bash(git push:*)",
             "Permission rules of what is denied, with commas or one a line", lines=True),
        _own("TOOLS", tools.names, "Bash,Read,Edit,Grep", "The only built-in tools that claude has; `none` for no tool",
             otherwise="the CLI's", lines=True),
        _own("PERMISSION_MODE",
             values.choice("acceptEdits", "auto", "bypassPermissions", "manual", "dontAsk", "plan", "default"),
             "acceptEdits", "The CLI's permission mode",
             otherwise="`dontAsk` with ALLOWED_TOOLS, else `bypassPermissions` in a container, `acceptEdits` outside"),
        _own("SYSTEM_PROMPT", str, "You are a careful reviewer.", "Replaces the CLI's system prompt", text=True),
        _own("APPEND_SYSTEM_PROMPT", str, "Answer in German.", "Is added to the CLI's system prompt", text=True),
        _own("OUTPUT_SCHEMA", str, "/etc/task/review.schema.json",
             "JSON Schema of the output: a file or inline. COMPLETE and output.json have what fits it; a run without it"
             " fails", text=True),
        _own("EFFORT", values.choice("low", "medium", "high", "xhigh", "max"), "high", "How much the model thinks",
             otherwise="the CLI's"),
        _own("AGENTS", str, "/etc/task/agents.json",
             'Subagents: a file or inline JSON, `{"reviewer": {"description": ..., "prompt": ...}}`', text=True),
        _own("AGENT", values.word, "reviewer", "Which agent claude is: one of AGENTS, of a plugin, or the CLI's own"),
        _own("PLUGIN_DIRS", values.paths, "/opt/plugins/web",
             "Plugins: directories or .zip files, with commas or one a line", lines=True),
        _own("ADD_DIRS", values.paths, "/data/fixtures",
             "More directories that claude may use, with commas or one a line", lines=True),
        _own("SETTINGS", str, "/etc/task/settings.json",
             'A settings.json of claude\'s: a file or inline JSON, such as `{"env": {"CI": "1"}}`', text=True),
        _own("MCP_CONFIG", str, "/etc/mcp/servers.json", 'MCP servers: a file or inline JSON, `{"mcpServers": ...}`',
             text=True),
        _own("CLAUDE_ENV", values.environment, "CI: 1",
             "`KEY: VALUE` lines (or with a literal `\\n` between them) for claude's environment; every value is "
             "redacted from all output", text=True),
        _own("PASS_ENV", values.name_patterns, "JAVA_HOME,NPM_CONFIG_*",
             "More variables of the container's that claude gets, by name or prefix; of their values only those are "
             "masked whose name says that they are secret (MY_TOKEN), and passwords in URLs", lines=True),
        _own("CLAUDE_ARGS", claude_args, "--betas name --name 'nightly run'",
             "More arguments of claude's, quoted as for a shell, behind all others", lines=True),
        _own("RESUME_SESSION", values.session, _UUID,
             "Session of an earlier run to go on with; `auto`: the newest one in OUTPUT_DIR, or else a new one"),
        _own("TRUST_REPO", values.boolean, "1",
             "1: the repository's own settings, hooks, permission rules and MCP servers work", default="0"),
        _own("TRUST_HOME", values.boolean, "0",
             "0: claude ignores `~/.claude` of its HOME, where an earlier run may have left something", default="1"),
        _own("CLAUDE_BIN", values.program, "/opt/claude/bin/claude", "The CLI: a name or an absolute path",
             default="claude"),
    ),
    *_group(
        _GIT,
        _own("GITHUB_TOKEN", values.token, "", "For REPO_URL's host only, clone and push over https",
             secret=True),
        _own("SSH_KNOWN_HOSTS", values.known_hosts, "git.example.com ssh-ed25519 AAAAC3NzaC1",
             "Host keys (`ssh-keyscan HOST`); then only these are trusted, those of ~/.ssh/known_hosts, and the"
             " published ones of GitHub, GitLab.com and Bitbucket", text=True,
             otherwise="a host that is not known is trusted on first use"),
        _own("CLONE_DEPTH", values.integer, "1", "Commits of history", otherwise="all"),
        _own("REPO_MIRROR", values.path, "/mirrors/project.git",
             "A bare clone on this machine: the clone borrows what is in it, and fetches only the rest"),
        _own("WORKSPACE_DIR", values.directory, "/workspace", "Where the repository is cloned to",
             default="/workspace"),
        _own("REPLACE_WORKSPACE", values.boolean, "1", "1: a workspace that is not empty is emptied", default="0"),
        _own("GIT_USER_NAME", values.identifier, "Claude", "Author of claude's commits", default="Claude"),
        _own("GIT_USER_EMAIL", values.identifier, "noreply@anthropic.com", "The author's address",
             default="noreply@anthropic.com"),
        _own("PUSH_BRANCH", values.branch_template, "claude/{run}",
             "Commit what is left and push to this branch (new, or REPO_REF); `{run}` and `{date}` are filled in"),
        _own("PUSH_DEFAULT_BRANCH", values.boolean, "1", "1: PUSH_BRANCH may be the default branch", default="0"),
    ),
    *_group(
        _STEPS,
        _own("SETUP_COMMAND", values.command, "npm ci",
             "Runs in the workspace by `sh -c` after the clone and before claude, with what claude may do; if it fails,"
             " nothing is spent", text=True),
        _own("SETUP_TIMEOUT", values.positive_duration, "20m", "How long it may take, within TIMEOUT", default="10m"),
        _own("VERIFY_COMMAND", values.command, "npm test",
             "Runs in the same way once claude has a good result; if it fails, the run failed, with reason `verify`",
             text=True),
        _own("VERIFY_TIMEOUT", values.positive_duration, "20m", "How long it may take, within TIMEOUT", default="10m"),
        _own("VERIFY_RETRIES", values.number, "2",
             "How often claude is told what failed and goes on, in the same session", default="0"),
    ),
    *_group(
        _TIME,
        _own("TIMEOUT", values.positive_duration, "30m",
             "The whole run, clone included: milliseconds or `90s`, `30m`, `1h` (as all times)", default="30m"),
        _own("IDLE_TIMEOUT", values.optional_duration, "10m", "Silence of claude after which the run ends",
             default="off"),
        _own("WAIT_FOR_LIMIT", values.optional_duration, "6h",
             "How long the run may wait in all for an API that is limited, overloaded or away; then it goes on",
             default="off"),
        _own("TIMEOUT_COUNTS_WAITING", values.boolean, "1", "1: TIMEOUT counts what WAIT_FOR_LIMIT waits, too",
             default="0"),
        _own("KILL_GRACE", values.duration, "5s", "From the request to claude to stop until SIGKILL", default="5s"),
        _own("RESULT_GRACE", values.duration, "15s", "For a claude that has its result but does not exit",
             default="15s"),
        _own("TERMINATION_GRACE_SECONDS", values.integer, "30",
             "What `docker stop` or the pod grants after SIGTERM; too little for the agent gives a warning"),
    ),
    *_group(
        _RECORD,
        _own("JOURNAL_DIR", values.directory, "/journal", "What is not confirmed yet; a volume outlives the container",
             otherwise="`$TMPDIR/agent-journal`"),
        _own("JOURNAL_LIMIT", values.size(MIB, MIB * MIB), "512MiB",
             "Its size: bytes or with KiB, MiB, GiB (as all sizes)", default="512MiB"),
        _own("OUTPUT_DIR", values.directory, "/output", "Gets changes.patch, result.json and the transcript"),
        _own("STREAM_PATCH", values.boolean, "1", "1: the patch is sent to the server as well", default="0"),
        _own("RECORD_DIR", values.directory, "/record", "Gets a recording for `agent replay`"),
        _own("HEALTH_FILE", values.path, "/tmp/agent-health", "What healthcheck.sh reads",
             otherwise="`$TMPDIR/agent-health`"),
        _own("TERMINATION_LOG", values.path, "/dev/termination-log", "Gets one line about the end",
             otherwise="/dev/termination-log where it exists"),
    ),
    *_group(
        _PASSED,
        _passed("ANTHROPIC_API_KEY", "", "API key", secret=True),
        _passed("ANTHROPIC_AUTH_TOKEN", "", "Bearer token instead of the key", secret=True),
        _passed("CLAUDE_CODE_OAUTH_TOKEN", "", "Subscription token (`claude setup-token`)", secret=True),
        _passed("ANTHROPIC_BASE_URL", "https://gateway.example.com", "Another address of the API"),
        _passed("ANTHROPIC_CUSTOM_HEADERS", "X-Team: web", "Additional request headers", secret=True, text=True),
        _passed("CLAUDE_CODE_USE_BEDROCK", "1", "Amazon Bedrock"),
        _passed("AWS_REGION", "eu-central-1", "Bedrock's region"),
        _passed("AWS_PROFILE", "ci", "Profile of the AWS configuration"),
        _passed("AWS_ACCESS_KEY_ID", "", "AWS key ID", secret=True),
        _passed("AWS_SECRET_ACCESS_KEY", "", "AWS key", secret=True),
        _passed("AWS_SESSION_TOKEN", "", "AWS session", secret=True),
        _passed("AWS_BEARER_TOKEN_BEDROCK", "", "Bedrock API key", secret=True),
        _passed("CLAUDE_CODE_USE_VERTEX", "1", "Google Vertex AI"),
        _passed("CLOUD_ML_REGION", "europe-west1", "Vertex' region"),
        _passed("ANTHROPIC_VERTEX_PROJECT_ID", "my-project", "Vertex' project"),
        _passed("GOOGLE_APPLICATION_CREDENTIALS", "/run/secrets/gcp.json", "File with Google's credentials"),
        _passed("HTTPS_PROXY", "http://proxy.example.com:3128", "Proxy of the API, the repository and a wss:// server"),
        _passed("HTTP_PROXY", "http://proxy.example.com:3128", "Proxy of plain http, and of a ws:// server"),
        _passed("ALL_PROXY", "http://proxy.example.com:3128", "Proxy where neither of these is set; http:// or https://"),
        _passed("NO_PROXY", "localhost,.example.com", "Hosts without proxy"),
        _passed("NODE_EXTRA_CA_CERTS", "/etc/ssl/private-ca.pem", "Private CA for the API and proxies"),
        _passed("SSL_CERT_FILE", "/etc/ssl/certs/all.pem", "The system's CAs, elsewhere"),
        _passed("SSL_CERT_DIR", "/etc/ssl/certs", "The same as a directory"),
    ),
)  # fmt: skip

BY_NAME = {variable.name: variable for variable in VARIABLES}


def table() -> str:
    """Make the README's tables, one for each group."""
    blocks = []
    for group in dict.fromkeys(variable.group for variable in VARIABLES):
        rows = [_row(variable) for variable in VARIABLES if variable.group == group]
        blocks.append(
            "\n".join([f"**{group}**", "", "| Variable | Default | Meaning | Example |", "|---|---|---|---|", *rows])
        )
    return "\n\n".join(blocks) + "\n"


def _row(variable: Variable) -> str:
    default = f"`{variable.default}`" if variable.default else variable.otherwise
    cells = (
        f"`{variable.name}`",
        "**required**" if variable.required else default,
        variable.help,
        f"`{variable.shown}`",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    print(table(), end="")
