"""The same test on every engine."""

from __future__ import annotations

import pytest

from tests.engines.serving import ENGINES


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)
