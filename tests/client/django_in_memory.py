"""A Django application answers a session in memory: ``python -m tests.client.django_in_memory DOOR``."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.urls import path

from portico.client.session import Session
from tests.client.conftest import DOORS

settings.configure(
    ALLOWED_HOSTS=["*"], SECRET_KEY="in memory", USE_TZ=True, MIDDLEWARE=[], ROOT_URLCONF=__name__
)


async def greet(request: Any, name: str) -> HttpResponse:
    """Whatever the request says."""
    told = (request.method, request.scheme, name, request.GET["x"], request.POST["a"])
    return HttpResponse(" ".join(told))


urlpatterns = [path("hello/<str:name>", greet)]


def ask() -> None:
    """Ask by either scheme, and print the answers."""
    with Session(app=ASGIHandler(), base_url="http://test/", env=False, timeout=20) as session:
        for url in ("hello/Zoë?x=1", "https://test/hello/Zoë?x=1"):
            print(session.post(url, data={"a": "b c"}).text)


if __name__ == "__main__":
    DOORS[sys.argv[1]](ask)
