"""What the redactor is told to look for."""

from agent.config.secret_values import collect


def test_variables_by_table_and_by_kind_of_name():
    found = collect(
        {
            "GITHUB_TOKEN": "g-secret", "WS_TOKEN": "w-secret", "ANTHROPIC_API_KEY": "a-secret\n",
            "ANTHROPIC_FOUNDRY_API_KEY": "f-secret", "CLAUDE_CODE_CLIENT_KEY_PASSPHRASE": "p-secret",
            "AWS_SECRET_ACCESS_KEY": "s-secret", "AWS_REGION": "eu-central-1", "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "4096",
            "HOME": "/root", "ANTHROPIC_MODEL": "opus", "WS_TOKEN_UNRELATED": "x", "AWS_SESSION_TOKEN": "",
        },
        {},
        {},
    )  # fmt: skip
    assert set(found.values()) == {
        "g-secret", "w-secret", "a-secret\n", "a-secret", "f-secret", "p-secret", "s-secret",
    }  # fmt: skip
    assert found["GITHUB_TOKEN"] == "g-secret"


def test_urls_of_every_kind():
    found = collect(
        {
            "REPO_URL": "https://u:repo-secret@host/a", "WS_SERVER": "ws://host/?token=ws%2Fsecret",
            "https_proxy": "http://u:proxy-secret@host:1", "ANTHROPIC_BASE_URL": "https://h/?api_key=base-secret",
        },
        {},
        {},
    )  # fmt: skip
    assert set(found.values()) == {"repo-secret", "ws%2Fsecret", "ws/secret", "proxy-secret", "base-secret"}


def test_headers_with_and_without_their_scheme():
    found = collect({"ANTHROPIC_CUSTOM_HEADERS": "X-Team: web-secret\nAuthorization: Bearer b-secret"}, {}, {})
    assert {"web-secret", "Bearer b-secret", "b-secret"} <= set(found.values())


def test_headers_of_telemetry_are_encoded_pairs():
    found = collect({"OTEL_EXPORTER_OTLP_HEADERS": "x-team=web-secret,Authorization=Bearer%20b-secret"}, {}, {})
    assert {"web-secret", "Bearer b-secret", "b-secret"} <= set(found.values())


def test_every_value_of_claude_env():
    assert collect({}, {"NPM": "npm-secret", "EMPTY": "", "SAME": "npm-secret"}, {}) == {"CLAUDE_ENV NPM": "npm-secret"}


def test_mcp_servers():
    servers = {
        "a": {"command": "x", "env": {"KEY": "env-secret", "FROM": "${KEY}", "N": 1},
              "args": ["--url", "db://u:arg-secret@h", "--api-key", "o-secret", "--token=i-secret", "--auth", "${A}"]},
        "b": {"type": "http", "url": "https://h/?key=url-secret", "headers": {"Authorization": "Bearer h-secret"}},
        "odd": None, "odder": {"env": [], "headers": "x", "url": 1, "args": 3},
    }  # fmt: skip
    found = collect({}, {}, {"MCP_CONFIG": {"mcpServers": servers}})
    assert set(found.values()) == {
        "env-secret", "arg-secret", "url-secret", "Bearer h-secret", "h-secret", "o-secret", "i-secret",
    }  # fmt: skip
    assert found["MCP_CONFIG a env KEY"] == "env-secret"


def test_what_is_handed_on_is_readable_but_for_what_is_said_to_be_secret():
    environ = {
        "JAVA_HOME": "/opt/jdk", "MY_TOKEN": "t-secret", "npm_config__auth": "n-secret", "BUILD_KEY": "b-secret",
        "PIP_INDEX_URL": "https://u:pip-secret@host/simple", "COMPAT": "x", "GIT_AUTHOR": "y", "OTHER_TOKEN": "z",
    }  # fmt: skip
    patterns = ("JAVA_HOME", "MY_TOKEN", "npm_config_*", "PIP_*", "BUILD_*", "COMPAT", "GIT_AUTHOR")
    assert set(collect(environ, {}, {}, patterns).values()) == {"t-secret", "n-secret", "b-secret", "pip-secret"}
    assert collect(environ, {}, {}) == {}
