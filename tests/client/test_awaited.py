"""What is particular to a session that is awaited."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from portico import aio
from portico.client.request import Request
from portico.client.session import Session
from portico.errors import ConfigError

PAGE = gzip.compress("grün".encode("latin-1"))


def app(environ, start_response):
    start_response("200 OK", [("Content-Encoding", "gzip"), ("X-Signed", environ.get("HTTP_X_SIGNED", "no"))])
    return [PAGE]


async def sign(request: Request) -> None:
    await asyncio.sleep(0)
    request.headers["X-Signed"] = request.headers.get("X-Signed", "") + "yes"


def test_coroutine_functions_are_awaited():
    heard = []

    async def hear(answer: aio.Response) -> aio.Response:
        heard.append((await answer.load()).status)
        return answer

    async def main() -> list[str]:
        async with aio.Session(app=app, auth=sign, hooks={"response": hear}) as session:
            hooks = {"request": [sign], "response": [lambda answer: heard.append(answer.status)]}
            urls = ["http://test/a", "http://test/b"]
            answers = [await session.get(urls[0]), await session.get(urls[1], hooks=hooks)]
            return [answer.headers["X-Signed"] for answer in answers]

    assert asyncio.run(main()) == ["yes", "yesyes"]
    assert heard == [200, 200]


@pytest.mark.parametrize("given", [{"auth": sign}, {"hooks": {"request": sign}}])
def test_a_session_that_waits_refuses_them(given):
    with pytest.raises(ConfigError, match=r"portico\.aio\.Session"):
        Session(**given)


def test_a_body_as_it_was_sent_and_a_charset_that_is_said():
    async def main() -> tuple[bytes, str]:
        async with aio.Session(app=app) as session:
            async with await session.get("http://test/", stream=True) as answer:
                raw = b"".join([piece async for piece in answer.iter_raw()])
            answer = await session.get("http://test/")
            answer.charset = "latin-1"
            return raw, answer.text

    assert asyncio.run(main()) == (PAGE, "grün")
