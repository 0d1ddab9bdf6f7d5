"""The memory store keeps the contract: it is the reference that others are held against."""

import pytest
from hypothesis import settings

from treadle.errors import StoreReadOnlyError, UsageError
from treadle.stores import Unit, open_store
from treadle.testing import LogWriter, UrlFactory, check_name, store_checks, store_machine


@pytest.mark.parametrize("check", store_checks(), ids=check_name)
async def test_contract(check):
    await check(UrlFactory("memory:"))


TestAgainstItself = store_machine(lambda: UrlFactory("memory:")).TestCase
TestAgainstItself.settings = settings(max_examples=8, stateful_step_count=15, deadline=None)


async def test_memory_store_has_no_place():
    with pytest.raises(UsageError, match="expected 'memory:', got 'memory:orders'"):
        async with open_store("memory:orders"):
            pass


async def test_memory_store_is_not_copied_into_a_file(tmp_path):
    async with open_store("memory:") as store:
        with pytest.raises(UsageError, match="export it as JSON Lines"):
            await store.backup(str(tmp_path / "copy.db"))

    assert list(tmp_path.iterdir()) == []


async def test_read_only_store_refuses_writes():
    async with open_store("memory:", read_only=True) as store:
        with pytest.raises(StoreReadOnlyError):
            await store.append([Unit((LogWriter.fresh("a").batch(b"1"),))])

        assert await store.list_workflows() == []


@pytest.mark.parametrize("url", ["nowhere:x", "http://x", "", "a\0b"])
async def test_url_without_a_store_is_refused(url):
    with pytest.raises(UsageError, match=r"no store answers|a store is a URL or a path"):
        async with open_store(url):
            pass


@pytest.mark.parametrize("url", [":memory:", "sqlite::memory:"])
async def test_sqlites_word_for_memory_makes_no_file_of_that_name(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="in memory is called 'memory:'"):
        async with open_store(url):
            pass

    assert list(tmp_path.iterdir()) == []
