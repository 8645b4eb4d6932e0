"""The hub behind Debian's nginx, which is told no more than what WebSockets need."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.protocol.events import log
from tests.support.browser import ServedHub
from tests.support.fleets import Told
from tests.support.places import ROOT
from tests.support.ports import hold_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.page

TOKENS = {"SERVE_TOKEN": "for-agents", "SERVE_WATCH_TOKEN": "for-watchers", "SERVE_COMMAND_TOKEN": "for-operators"}
#: As in docs/hub.md.
LOCATION = """location / {{
            proxy_pass http://127.0.0.1:{hub};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
        }}"""
CONFIG = """
daemon off;
pid {place}/pid;
error_log {place}/error.log;
events {{}}
http {{
    access_log {place}/access.log;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen 127.0.0.1:{port};
        {location}
    }}
}}
"""


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[ServedHub]:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None:
        pytest.skip("needs nginx: apt-get install nginx-light")
    hub = ServedHub(tmp_path / "proxied", **TOKENS)
    hub.start()
    place, port = tmp_path / "nginx", hold_port(hub)
    place.mkdir()
    config = CONFIG.format(place=place, port=port, location=LOCATION.format(hub=hub.port))
    (place / "nginx.conf").write_text(config)
    process = subprocess.Popen([nginx, "-p", str(place), "-c", str(place / "nginx.conf")])
    direct, hub.port = hub.port, port
    for _ in range(200):
        try:
            hub.get("/api/session")
            break
        except OSError:
            assert process.poll() is None, (place / "error.log").read_text()
            time.sleep(0.05)
    yield hub
    process.terminate()
    process.wait(20)
    hub.port = direct
    hub.kill()


def test_agents_people_and_live_streams_come_through(proxied: ServedHub, page: Page, agents: ExitStack):
    run = Told("R1").begin(title="Behind nginx")
    agent = agents.enter_context(proxied.agent("for-agents"))
    agent.send(run.lines)
    page.goto(f"{proxied.url}/runs/R1")
    page.get_by_label("Token").fill("for-operators")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Behind nginx").wait_for()
    for number in range(3):
        agent.send(run.add(log("info", f"live {number}")).lines[-1:])
        page.locator(".item").get_by_text(f"live {number}", exact=True).wait_for()
    page.get_by_role("button", name="Interrupt").click()
    assert agent.command()["data"] == {"command": "interrupt"}
    page.goto(proxied.url)
    page.get_by_role("link", name="Behind nginx").wait_for()
    agent.send(run.complete().lines[-1:])
    page.locator(".row.succeeded").wait_for()


def test_the_configuration_is_the_one_of_the_documentation():
    documented = (ROOT / "docs" / "hub.md").read_text()
    for line in LOCATION.format(hub=8080).splitlines():
        assert line.strip() in documented
