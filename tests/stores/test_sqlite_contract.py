"""The SQLite store keeps the contract, and nobody can tell it from the reference."""

import itertools

import pytest
from hypothesis import settings

from treadle.testing import UrlFactory, check_name, store_checks, store_machine


@pytest.mark.parametrize("check", store_checks(), ids=check_name)
async def test_contract(check, tmp_path):
    await check(UrlFactory(tmp_path / "store.db", durable=True))


PLACES = itertools.count()


@pytest.fixture(autouse=True, scope="module")
def root(tmp_path_factory):
    """Where the state machine's stores lie, a fresh one for each example."""
    global fresh_file  # noqa: PLW0603  # the machine is made before there is a fixture
    folder = tmp_path_factory.mktemp("machine")

    def fresh_file():
        return UrlFactory(folder / f"{next(PLACES)}.db", durable=True)


TestAgainstTheReference = store_machine(lambda: fresh_file()).TestCase  # noqa: PLW0108  # made later
TestAgainstTheReference.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)

TestAgainstTheReferenceAtLength = pytest.mark.slow(store_machine(lambda: fresh_file()).TestCase)  # noqa: PLW0108
TestAgainstTheReferenceAtLength.settings = settings(max_examples=500, stateful_step_count=40, deadline=None)
