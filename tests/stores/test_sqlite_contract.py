"""The SQLite store keeps the contract, and nobody can tell it from the reference."""

import itertools
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings

from treadle.testing import UrlFactory, check_name, store_checks, store_machine


@pytest.mark.parametrize("check", store_checks(), ids=check_name)
async def test_contract(check, tmp_path):
    await check(UrlFactory(tmp_path / "store.db", durable=True))


PLACES = itertools.count()


@pytest.fixture(autouse=True, scope="module")
def root():
    """Where the state machine's stores lie, a fresh one for each example."""
    global fresh_file  # noqa: PLW0603  # the machine is made before there is a fixture
    # In memory, where there is any: twenty thousand fsyncs would be waited for, and nothing here shows them.
    memory = "/dev/shm"  # noqa: S108  # Linux's own
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:

        def fresh_file():
            return UrlFactory(Path(folder) / f"{next(PLACES)}.db", durable=True)

        yield


TestAgainstTheReference = store_machine(lambda: fresh_file()).TestCase  # noqa: PLW0108  # made later
TestAgainstTheReference.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)

TestAgainstTheReferenceAtLength = pytest.mark.slow(store_machine(lambda: fresh_file()).TestCase)  # noqa: PLW0108
TestAgainstTheReferenceAtLength.settings = settings(max_examples=500, stateful_step_count=40, deadline=None)
