"""A hub with a certificate: an agent over wss, a person over https."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hub.test_page_steer import agent_run
from tests.support.browser import ServedHub, open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.page


def test_agents_and_people_come_over_tls(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=hub", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # of this test's own look at the hub
    tokens = {"SERVE_TOKEN": "for-agents", "SERVE_COMMAND_TOKEN": "for-operators"}
    hub = ServedHub(tmp_path / "runs", **tokens)
    hub.scheme = "https"
    hub.start("--tls-cert", str(certificate), "--tls-key", str(key))
    try:
        server = {"WS_SERVER": f"wss://127.0.0.1:{hub.port}", "WS_CA_FILE": str(certificate), "WS_TOKEN": "for-agents"}
        with (
            agent_run(tmp_path, hub, CLAUDE_CODE_SCRIPT="asks", **server) as agent,
            open_page(browser, ignore_https_errors=True) as page,
        ):
            page.goto(hub.url)
            page.get_by_label("Token").fill("for-operators")
            page.get_by_role("button", name="Log in").click()
            page.locator(".rows a.name").click()
            (cookie,) = page.context.cookies()
            assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
            page.locator(".asks").get_by_role("button", name="Allow", exact=True).click()
            page.locator(".item.complete").wait_for()
            assert agent.wait(30) == 0
    finally:
        hub.kill()
