"""A token never makes a wrong batch right, whoever has it from wherever."""

import pytest
from sqlite_helpers import (
    batch_at,
    chain_is_whole,
    head_after,
    head_of,
    new_head,
    opened,
    payloads_of,
    run_worker,
    unit,
)

from treadle.errors import BatchError, ConflictError, SequenceGapError, UsageError
from treadle.stores import WRITTEN, Refused, Repeated, Unit, Written


@pytest.fixture
async def path(tmp_path):
    return tmp_path / "store.db"


async def test_a_token_stays_good_while_nobody_else_writes(path):
    async with opened(path) as store:
        head = await head_of(store, "a")
        for payload in (b"1", b"2", b"3"):
            first = unit(head, payload)
            assert await store.append([first]) == [WRITTEN]
            head = head_after(first.batches[0])

        assert await payloads_of(store, "a") == [b"1", b"2", b"3"]


async def test_a_good_token_does_not_let_a_gap_through(path):
    """The number alone is not believed either."""
    async with opened(path) as store:
        head = await head_of(store, "a")
        [outcome] = await store.append([unit(head._replace(next_seq=3), b"p")])

        assert isinstance(outcome.error, SequenceGapError)
        assert await store.list_workflows() == []


async def test_a_good_token_does_not_let_another_history_through(path):
    async with opened(path) as store:
        head = await head_of(store, "a")
        [outcome] = await store.append([unit(head._replace(digest=b"x" * 16), b"p")])

        assert isinstance(outcome.error, ConflictError)


async def test_the_token_of_another_log_or_store_or_of_nobody_harms_no_log(path, tmp_path):
    """It is worth as much as no token: the batch is looked up."""
    async with opened(path) as store, opened(tmp_path / "other.db") as other:
        await store.append([unit(await head_of(store, "b"), b"1")])
        tokens = [(await head_of(store, "b")).token, (await head_of(other, "a")).token, object(), 7, "x"]
        head = new_head("a")
        for token in tokens:
            first = unit(head, b"p", token=token)
            assert isinstance((await store.append([first]))[0], Written)
            head = head_after(first.batches[0])

        assert await payloads_of(store, "a") == [b"p"] * 5
        assert await payloads_of(store, "b") == [b"1"]


async def test_a_token_that_lags_gets_the_true_answer(path):
    """Two heads of one log, one of them used: the other's batch is a repeat or a conflict, never a row."""
    async with opened(path) as store:
        used, lagging = await head_of(store, "a"), await head_of(store, "a")
        await store.append([unit(used, b"1")])

        [repeated] = await store.append([unit(lagging, b"1")])
        assert isinstance(repeated, Repeated)

        # Its generation is gone; a new one lags again.
        used, lagging = await head_of(store, "b"), await head_of(store, "b")
        await store.append([unit(used, b"1")])
        [refused, written] = await store.append([unit(lagging, b"2"), unit(new_head("c"), b"3")])
        assert isinstance(refused.error, ConflictError)
        assert isinstance(written, Written)
        assert await payloads_of(store, "b") == [b"1"]


async def test_what_was_pipelined_behind_a_refused_batch_is_refused(path):
    async with opened(path) as store:
        await store.append([unit(await head_of(store, "a"), b"1")])
        stale = new_head("a")._replace(token=(await head_of(store, "a")).token)
        first = batch_at(stale, b"x", token=stale.token)
        second = unit(head_after(first), b"y")
        outcomes = await store.append([Unit((first,)), second])

        assert [type(outcome.error) for outcome in outcomes] == [ConflictError, ConflictError]
        assert await payloads_of(store, "a") == [b"1"]


async def test_what_was_decided_before_another_process_wrote_is_refused(path):
    """Both pipelined batches: the second fits by its number alone. So is a log's first batch."""
    async with opened(path) as store, opened(path) as other:
        await store.append([unit(await head_of(store, "a"), b"1")])
        head, new = await head_of(store, "a"), await head_of(other, "new")
        run_worker("append", path, "foreign", "a", "new")
        first = batch_at(head, b"ours", token=head.token)
        outcomes = await store.append([Unit((first,)), unit(head_after(first), b"ours too")])

        assert all(isinstance(outcome, Refused) for outcome in outcomes)
        assert outcomes[0].error.next_seq == 3
        assert isinstance(outcomes[1].error, ConflictError)
        assert await payloads_of(store, "a") == [b"1", b"foreign"]

        # The other store meets the foreign write here for the first time.
        [outcome] = await other.append([unit(new, b"ours")])
        assert isinstance(outcome.error, ConflictError)
        assert await payloads_of(store, "new") == [b"foreign"]


async def test_many_new_logs_and_many_batches_of_one_share_a_group(path):
    async with opened(path) as store:
        heads = await store.heads([f"log-{number}" for number in range(700)])
        units = [unit(head, b"1", b"2") for head in heads]
        follow = [
            Unit((batch_at(head_after(one.batches[0]), b"3", token=one.batches[0].token),)) for one in units
        ]
        outcomes = await store.append([*units, *follow])

        assert outcomes == [WRITTEN] * 1400
        assert await store.count_workflows() == 700
        for number in (0, 511, 699):
            assert chain_is_whole(await store.audit(f"log-{number}"), f"log-{number}")


async def test_a_unit_wrong_by_itself_writes_nothing_of_its_group(path):
    async with opened(path) as store:
        good, bad = await store.heads(["good", "bad"])
        with pytest.raises(BatchError):
            await store.append(
                [unit(good, b"1"), Unit((batch_at(bad, b"x")._replace(events=(), digests=()),))]
            )
        with pytest.raises(UsageError):
            await store.append([unit(good, b"1"), Unit((batch_at(bad, b"x")._replace(digests=()),))])

        assert await store.list_workflows() == []

        await store.append([unit(good, b"1")])
        assert await payloads_of(store, "good") == [b"1"]


async def test_keys_on_the_fast_way_answer_as_on_the_careful_one(path):
    async with opened(path) as store:
        first = unit(await head_of(store, "a"), b"1", keys=(b"k",))
        assert await store.append([first]) == [WRITTEN]
        [again] = await store.append([unit(head_after(first.batches[0]), b"2", keys=(b"k",))])

        assert again.events[0][0].payload == b"1"
        assert (await store.find_key("a", b"k")).seq == 1


async def test_two_stores_on_one_file_in_one_process_see_each_other(path):
    async with opened(path) as one, opened(path) as two:
        counter = await two.change_counter()
        await one.append([unit(await head_of(one, "a"), b"1")])

        assert await two.change_counter() != counter
        await two.append([unit(await head_of(two, "a"), b"2")])
        await one.append([unit(await head_of(one, "a"), b"3")])
        assert await payloads_of(two, "a") == [b"1", b"2", b"3"]
        assert [event.position for event in await one.feed()] == [1, 2, 3]
