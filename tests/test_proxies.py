"""Which proxy counts for which host, by the variables of the environment."""

from __future__ import annotations

import pytest

from agent.proxies import Proxy, find_proxy


@pytest.mark.parametrize(
    ("listed", "host", "exempt"),
    [
        ("", "a.example.com", False), ("*", "a.example.com", True), ("example.com", "a.example.com", True),
        (".example.com,x", "a.example.com", True), ("*.example.com", "a.example.com", True),
        ("le.com", "a.example.com", False), ("example.com:443", "example.com", True),
        ("example.com:80", "example.com", False), ("10.0.0.0/8", "10.1.2.3", True), ("10.0.0.0/8", "11.1.2.3", False),
        ("EXAMPLE.com", "Example.COM", True), ("[::2]", "::2", True), ("", "localhost", True), ("", "127.0.0.1", True),
    ],
)  # fmt: skip
def test_no_proxy(listed: str, host: str, exempt: bool) -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "no_proxy": listed}
    assert (find_proxy(environ, host, 443, secure=True) is None) == exempt


def test_the_variable_of_the_scheme_counts_before_all_proxy() -> None:
    environ = {"HTTP_PROXY": "p:3128", "ALL_PROXY": "https://q"}
    assert find_proxy(environ, "h", 80, secure=False) == Proxy("HTTP_PROXY", "http", "p", 3128)
    assert find_proxy(environ, "h", 443, secure=True) == Proxy("ALL_PROXY", "https", "q", 443)
    assert find_proxy({}, "h", 443, secure=True) is None
