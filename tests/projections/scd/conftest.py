"""The databases that a dimension's queries run on, one of each for all tests of this room."""

import pytest
import scd_engines

DIALECTS = ["sqlite", "duckdb", pytest.param("postgres", marks=pytest.mark.slow)]


@pytest.fixture(scope="session", params=DIALECTS)
def dialect(request):
    return request.param


@pytest.fixture(scope="session")
def engine(dialect):
    with getattr(scd_engines, dialect)() as engine:
        yield engine


@pytest.fixture(autouse=True)
def _dropped(request):
    """No test meets the tables of another."""
    yield
    if "engine" in request.fixturenames:
        request.getfixturevalue("engine").forget()
