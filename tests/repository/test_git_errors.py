import pytest

from agent.exits import Exit
from agent.proxies import Proxy
from agent.repository.git_errors import clone_error, stalled

URL = "https://github.com/acme/site.git"

#: Recorded from git 2.39 and OpenSSH 9.2 (hosts and paths shortened), and from hosting services' documentation.
RECORDED = [
    # credentials
    ("fatal: could not read Username for 'https://github.com': terminal prompts disabled", Exit.AUTH, "GITHUB_TOKEN"),
    ("remote: Invalid username or password.\nfatal: Authentication failed for 'https://h/x/'", Exit.AUTH, "refused"),
    ("remote: Write access to repository not granted.\nfatal: unable to access 'https://h/x/':"
     " The requested URL returned error: 403", Exit.AUTH, "refused"),
    ("remote: Repository not found.\nfatal: repository 'https://github.com/a/b.git/' not found", Exit.AUTH, "access"),
    ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", Exit.AUTH, "no access"),
    ("remote: The project you were looking for could not be found or you don't have permission to view it.\n"
     "fatal: repository 'https://gitlab.com/a/b.git/' not found", Exit.AUTH, "no access"),
    ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", Exit.AUTH, "every key"),
    ("Permissions 0644 for '/k' are too open.\n@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\n"
     "git@h: Permission denied (publickey).", Exit.AUTH, "0400"),
    ("No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.\n"
     "fatal: Could not read from remote repository.", Exit.AUTH, "known_hosts"),
    ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", Exit.AUTH, "between"),
    ("fatal: unable to access 'https://h/x/': Received HTTP code 407 from proxy after CONNECT", Exit.AUTH, "proxy"),
    ("fatal: unable to access 'https://h/x/': CONNECT tunnel failed, response 407", Exit.AUTH, "a user and a password"),
    ("fatal: unable to access 'https://h/x/': CONNECT tunnel failed, response 403", Exit.CLONE_FAILED, "not let us"),
    ("fatal: unable to access 'https://h/x/': CONNECT tunnel failed, response 500", Exit.RETRYABLE, "does not reach"),
    ("fatal: unable to access 'http://h/x/': Could not resolve proxy: p", Exit.RETRYABLE, "cannot be reached"),
    # the repository
    ("fatal: repository 'https://h/x/' not found", Exit.CLONE_FAILED, "no git repository"),
    ("fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.\n\n"
     "Please make sure you have the correct access rights\nand the repository exists.", Exit.CLONE_FAILED, "no git"),
    ("fatal: https://h/info/refs not valid: is this a git repository?", Exit.CLONE_FAILED, "no git repository"),
    ("fatal: remote error: upload-pack: not our ref 0123\nfatal: the remote end hung up unexpectedly",
     Exit.CLONE_FAILED, "REPO_REF"),
    ("fatal: couldn't find remote ref refs/pull/1/head", Exit.CLONE_FAILED, "REPO_REF"),
    ("fatal: transport 'file' not allowed", Exit.CLONE_FAILED, "not allowed"),
    ("fatal: detected dubious ownership in repository at '/x'", Exit.CLONE_FAILED, "another user"),
    # this machine
    ("fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output",
     Exit.CLONE_FAILED, "disk"),
    ("error: unable to create file a: Read-only file system", Exit.CLONE_FAILED, "cannot be written"),
    ("error: index-pack died of signal 9\nfatal: index-pack failed", Exit.CLONE_FAILED, "memory"),
    ("error: cannot run ssh: No such file or directory\nfatal: unable to fork", Exit.CLONE_FAILED, "no ssh"),
    ("No user exists for uid 1234\nfatal: Could not read from remote repository.", Exit.CLONE_FAILED, "/etc/passwd"),
    ("fatal: unable to access 'https://h/x/': server certificate verification failed. CAfile: none CRLfile: none",
     Exit.CLONE_FAILED, "GIT_SSL_CAINFO"),
    ("fatal: unable to access 'https://h/x/': SSL certificate problem: self-signed certificate",
     Exit.CLONE_FAILED, "GIT_SSL_CAINFO"),
    # the network
    ("fatal: unable to access 'https://h/x/': Could not resolve host: h", Exit.RETRYABLE, "resolved"),
    ("ssh: Could not resolve hostname h: Temporary failure in name resolution\nfatal: Could not read from remote"
     " repository.", Exit.RETRYABLE, "resolved"),
    ("fatal: unable to access 'https://h/x/': Failed to connect to h port 443 after 2 ms: Couldn't connect to server",
     Exit.RETRYABLE, "nothing answers"),
    ("ssh: connect to host h port 22: Connection refused\nfatal: Could not read from remote repository.",
     Exit.RETRYABLE, "nothing answers"),
    ("ssh: connect to host h port 22: No route to host", Exit.RETRYABLE, "network"),
    ("kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.1 port 22",
     Exit.RETRYABLE, "network"),
    ("Timeout, server h not responding.\nfetch-pack: unexpected disconnect while reading sideband packet",
     Exit.RETRYABLE, "network"),
    ("error: RPC failed; curl 56 GnuTLS recv error (-110): The TLS connection was non-properly terminated.\n"
     "fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF", Exit.RETRYABLE, "network"),
    ("error: RPC failed; curl 28 Operation too slow. Less than 10 bytes/sec transferred the last 60 seconds",
     Exit.RETRYABLE, "network"),
    ("fatal: unable to access 'https://h/x/': The requested URL returned error: 503", Exit.RETRYABLE, "network"),
    ("fatal: unable to access 'https://h/x/': The requested URL returned error: 429", Exit.RETRYABLE, "network"),
    ("fatal: unable to access 'https://h/x/': Empty reply from server", Exit.RETRYABLE, "network"),
]  # fmt: skip


@pytest.mark.parametrize(("stderr", "exit", "says"), RECORDED)
def test_what_git_says_is_understood(stderr, exit, says):
    error = clone_error(stderr.splitlines(), URL)
    assert (error.exit, error.code) == (exit, "auth" if exit is Exit.AUTH else "clone")
    assert says in str(error)
    assert error.details == stderr
    assert "{" not in str(error)


def test_what_is_not_understood_is_quoted():
    error = clone_error(["remote: hello", "error: something", "fatal: odd thing", "hint: no"], URL)
    assert (error.exit, str(error)) == (Exit.CLONE_FAILED, f"git could not clone {URL}: fatal: odd thing")
    file = clone_error(["fatal: invalid gitfile format: /x", "fatal: Could not read from remote repository."], URL)
    assert str(file).endswith(": fatal: invalid gitfile format: /x")
    assert str(clone_error(["odd"], URL)).endswith(": odd")
    assert "nothing" in str(clone_error([], URL))


@pytest.mark.parametrize(
    ("said", "url", "hint"),
    [
        ("fatal: unable to access: Connection refused", "http://localhost:3000/x.git", True),
        ("fatal: unable to access: Failed to connect to localhost port 3000", "http://localhost:3000/x.git", True),
        ("ssh: connect to host 127.0.0.1 port 22: Connection refused", "git@127.0.0.1:x", True),
        ("fatal: unable to access: Connection refused", URL, False),
        ("fatal: unable to access: The requested URL returned error: 503", "http://localhost:3000/x.git", False),
        ("fatal: unable to access: gnutls_handshake() failed", "https://localhost:3000/x.git", False),
    ],
)
def test_localhost_is_probably_meant_to_be_the_host_where_nothing_listens(said, url, hint):
    error = clone_error([said], url)
    assert ("host.docker.internal" in str(error)) == hint


def test_a_stall_is_worth_a_retry():
    error = stalled(URL, 60.0, ["remote: Counting"])
    assert (error.exit, error.details) == (Exit.RETRYABLE, "remote: Counting")
    assert "60 s" in str(error)


@pytest.mark.parametrize(
    ("stderr", "target"),
    [
        (["warning: redirecting to https://new.example.com/a/b/",
          "fatal: could not read Username for 'https://new.example.com': terminal prompts disabled"],
         "https://new.example.com/a/b"),
        (["fatal: could not read Username for 'https://new.example.com': terminal prompts disabled"],
         "https://new.example.com"),
    ],
)  # fmt: skip
def test_a_redirect_to_another_host_names_it(stderr: list[str], target: str) -> None:
    error = clone_error(stderr, "https://old.example.com/a/b")
    assert f"https://old.example.com/a/b leads to {target}: put that into REPO_URL" in str(error)
    assert error.exit == 77
    assert "set GITHUB_TOKEN" not in str(error)


def test_the_own_host_that_asks_for_a_credential_is_no_redirect() -> None:
    said = ["fatal: could not read Username for 'https://old.example.com': terminal prompts disabled"]
    assert "set GITHUB_TOKEN" in str(clone_error(said, "https://old.example.com/a/b"))


PROXY = Proxy("HTTPS_PROXY", "http", "10.0.0.1", 3128, b"user:s3cr3t")
_FAILED = "fatal: unable to access 'https://h/x/': Failed to connect to {} port {} after 0 ms: Couldn't connect"


def test_a_proxy_that_is_away_is_named_and_another_address_is_not_taken_for_it() -> None:
    gone = clone_error([_FAILED.format("10.0.0.1", 3128)], URL, PROXY)
    assert str(gone).startswith(f"the proxy 10.0.0.1:3128 (HTTPS_PROXY) on the way to {URL} cannot be reached")
    newer = (
        "fatal: unable to access 'https://h/x/': Failed to connect to h:443 over proxy 10.0.0.1 after 0 ms: Could not"
    )
    assert str(clone_error([newer], URL, PROXY)) == str(gone)  # libcurl 8.23
    other = clone_error([_FAILED.format("10.0.0.1", 31280)], URL, PROXY)
    assert str(other) == f"the network failed while cloning {URL} (by way of the proxy 10.0.0.1:3128 (HTTPS_PROXY))"
    assert "proxy" not in str(clone_error([_FAILED.format("10.0.0.1", 3128)], URL))
    assert "s3cr3t" not in str(gone) + str(other)
