"""Who asks without TLS is sent to the same place with it, or served where a mount says so."""

from __future__ import annotations

import pytest

from portico.cli.serve_site import make_served
from portico.errors import ConfigError
from portico.web.config import Settings
from portico.web.config.mount import Auth
from portico.web.config.mount_kinds import RespondMount
from portico.web.config.settings import ForwardedSettings
from portico.web.forwarded import Forwarded
from portico.web.https_only import HTTPSOnly
from portico.web.passwords import hash_password
from portico.web.respond import Respond
from tests.http.served import Client, get, post, serving

SECURE = ["http://:8080", "https://127.0.0.1:8443"]


@pytest.mark.parametrize(
    ("port", "host", "location"),
    [
        (443, "a.example", "https://a.example/x%20y?z"),
        (443, "a.example:80", "https://a.example/x%20y?z"),
        (8443, "[::1]:8080", "https://[::1]:8443/x%20y?z"),
    ],
)
def test_the_same_url_with_tls(port: int, host: str, location: str) -> None:
    with serving(HTTPSOnly(Respond(200, "secret"), port)) as server, Client(server) as client:
        for method in ("GET", "POST"):
            raw = post(b"x", "/x%20y?z") if method == "POST" else get("/x%20y?z")
            answer = client.ask(raw.replace(b"Host: test", f"Host: {host}".encode()), method)
            assert (answer.status, answer["location"], answer.body) == (308, location, b"")


def mounts(**options: object) -> list[RespondMount]:
    return [RespondMount(respond=200, body="well", **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "location"),
    [
        (Settings(listen=SECURE, https_only=True, mount=mounts()), "https://test:8443/"),
        (Settings(listen=SECURE, mount=mounts(https_only=True)), "https://test:8443/"),
        (Settings(listen=["fd://web?tls=yes"], https_only=True, mount=mounts()), "https://test/"),
        (
            Settings(https_only=True, forwarded=ForwardedSettings(trusted=["10.0.0.0/8"]), mount=mounts()),
            "https://test/",
        ),
        (Settings(listen=SECURE, https_only=True, mount=mounts(https_only=False)), None),
        (Settings(listen=SECURE, mount=mounts()), None),
        (
            Settings(
                listen=SECURE,
                https_only=True,
                auth=Auth(users={"ada": hash_password("x", ln=4, r=1, p=1)}),
                mount=mounts(),
            ),
            "https://test:8443/",
        ),
    ],
)
def test_a_file_says_it_for_all_and_a_mount_for_itself(settings: Settings, location: str | None) -> None:
    with serving(make_served(settings).handler, plain=True) as server, Client(server) as client:
        assert client.ask(get("/"))["location"] == location


@pytest.mark.parametrize("listen", [[], ["http://:80"], ["https://127.0.0.1:0"]])
def test_it_must_lead_somewhere(listen: list[str]) -> None:
    with pytest.raises(ConfigError, match="https_only needs an https address"):
        make_served(Settings(listen=listen, https_only=True, mount=mounts()))


def test_a_trusted_proxy_may_say_that_there_was_tls() -> None:
    server = serving(HTTPSOnly(Respond(200, "secret")))
    server.forwarded = Forwarded(["127.0.0.1"])
    with server, Client(server) as client:
        assert client.ask(get("/", "X-Forwarded-Proto: https")).body == b"secret"
        assert client.ask(get("/", "X-Forwarded-Proto: http")).status == 308
