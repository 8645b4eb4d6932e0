"""REPO_URL and WS_SERVER, and the credentials that hide in URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import urls

TOKEN = "ghp_0123456789abcdefghij"


@pytest.mark.parametrize(
    "value",
    [
        "https://github.com/octocat/Hello-World.git", "https://ghe.example.com:8443/a/b", "http://127.0.0.1:8000/r.git",
        "ssh://git@host:2222/a/b.git", "git@github.com:octocat/Hello-World.git", "git@[::1]:repo", "/srv/repos/a b.git",
        "file:///srv/repo.git", "https://[::1]:8443/r.git", "https://fred@bitbucket.org/team/repo.git",
    ],
)  # fmt: skip
def test_repository(value):
    assert urls.repository(value) == urls.Repository(value)


@pytest.mark.parametrize(
    "value",
    [
        "--upload-pack=touch x", "-x", "ext::sh -c 'touch x'", "ext::https://a/b", "a@ext::sh", "fd::17",
        "ftp://host/r", "javascript:alert(1)", "octocat/Hello-World", "repo", "./repo", "C:\\repo", "https:///a",
        "https://", "https://host/", "https://-oProxyCommand=x/a", "ssh://-oProxyCommand=x/a", "-a@host:b", "a@-host:b",
        "git@host:-x", "https://host:99999/a", "https://host:x/a", "https://[::1/a", "https://host/a#main",
        "ssh://u:p@host/a", "https://u:p%0Ax@host/a",
        "https://host/a?private_token=x", "file://host/a", "file:a", "https://host/a b", "https://ho st/a", "none",
    ],
)  # fmt: skip
def test_repository_refuses(value):
    with pytest.raises(ValueError, match=r"must|has|names|is"):
        urls.repository(value)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (f"https://x-access-token:{TOKEN}@github.com/a/b", "https://x-access-token@github.com/a/b"),
        (f"https://{TOKEN}@github.com/a/b", "https://github.com/a/b"),
        (f"https://{TOKEN}:@github.com/a/b", "https://github.com/a/b"),
        (f"https://:{TOKEN}@github.com/a/b", "https://github.com/a/b"),
    ],
)
def test_credentials_leave_the_repository(value, url):
    found = urls.repository(value)
    assert (found.url, found.token) == (url, TOKEN)
    assert "GITHUB_TOKEN_FILE" in found.warnings[0]


def test_a_percent_encoded_password_is_decoded():
    assert urls.repository("https://u:p%40ss@host/a").token == "p@ss"


def test_git_protocol_becomes_https():
    found = urls.repository("git://github.com/octocat/Hello-World.git")
    assert found.url == "https://github.com/octocat/Hello-World.git"
    assert "https:// is used instead" in found.warnings[0]


@pytest.mark.parametrize(
    "value", ["ws://host", "wss://host:8443/a?token=x&containerID=c", "ws://[::1]:1", "ws://10.0.0.1"]
)
def test_server(value):
    assert urls.server(value) == value


def test_server_none():
    assert urls.server("none") is urls.server("NONE") is None


@pytest.mark.parametrize(
    "value",
    ["http://host", "https://host", "host:8080", "ws://", "ws://:80", "ws://u:p@host", "ws://host:0", "ws://host:70000",
     "ws://host#x", "ws://host/a b", "ws://höst", "wss:/host", "ws://[::1", "ws://ho$t"],
)  # fmt: skip
def test_server_refuses(value):
    with pytest.raises(ValueError, match=r"must|has|is"):
        urls.server(value)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ws://host/a?token=abc&x=1", ["abc"]),
        ("ws://host?access_token=a%2Fb", ["a%2Fb", "a/b"]),
        ("http://user:p%40ss@proxy:3128", ["p%40ss", "p@ss"]),
        (f"https://{TOKEN}@host/a", [TOKEN]),
        ("https://host/#access_token=abc", ["abc"]),
        ("http://user@host/?q=1", []),
        ("git@github.com:a/b", []),
        ("http://u:secret@[::1", ["secret"]),  # wrong, and yet
    ],
)
def test_credentials(url, found):
    assert urls.credentials(url) == found


def test_loopback_and_clear_text():
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]", "a.localhost"):
        assert urls.is_loopback(f"ws://{host}:8080/x")
    for host in ("localhost.example.com", "127.0.0.1.example.com", "host.docker.internal", "[::1"):
        assert not urls.is_loopback(f"ws://{host}/x")
    for address in ("git@127.0.0.1:x", "git@localhost:group/x.git", "localhost:x"):
        assert urls.is_loopback(address)
    for address in ("git@github.com:x", "git@host:localhost/x", "/srv/localhost/x"):
        assert not urls.is_loopback(address)
    assert urls.is_clear_text("http://host/a")
    assert not urls.is_clear_text("http://localhost/a")
    assert not urls.is_clear_text("https://host/a")


@given(st.one_of(st.text(), st.from_regex(r"(https?|ssh|wss?|git)://[^\n]*", fullmatch=True)))
def test_nothing_but_ValueError_and_no_message_repeats_the_value(value):
    urls.credentials(value)
    urls.is_loopback(value)
    for parse in (urls.repository, urls.server):
        message = ""
        try:
            parse(value)
        except ValueError as error:
            message = str(error)
        assert len(value) < 12 or value not in message
