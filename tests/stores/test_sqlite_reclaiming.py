"""Steps of reclaiming and compacting: none costs more than a group, whatever the events are like."""

import apsw
import pytest
from sqlite_helpers import batch_at, head_of, new_head, opened

from treadle.kernel import InlineKernel
from treadle.stores import Branch, Cut, Unit
from treadle.stores.sqlite import reclaiming

PAGES_MAX = 2 * reclaiming.STEP_PAGES
"""What a step may write: its price is an estimate, and a page that is freed is written when it is moved."""


class LateKernel(InlineKernel):
    """Each look at the clock finds it a second later."""

    seconds = 0

    def wall_time_ns(self):
        self.seconds += 1
        return self.seconds * 10**9


async def interleaved(store, logs, rounds, payload=b"x"):
    """Write logs one event at a time, so that each event of a log lies in a page of its own."""
    heads = [new_head(f"log-{number}") for number in range(logs)]
    for _ in range(rounds):
        batches = [batch_at(head, payload) for head in heads]
        await store.append(batches)
        heads = [
            head._replace(next_seq=head.next_seq + 1, digest=batch.digests[-1])
            for head, batch in zip(heads, batches, strict=True)
        ]
    return heads


async def cut(store, name, kept=None):
    head = await head_of(store, name)
    await store.append([Unit(cuts=(Cut(name, head.next_seq, head.digest, kept or head.next_seq),))])


async def pages_of(path, step):
    """Take a step, and tell how many pages it has written."""
    wal = path.with_name(path.name + "-wal")
    before = wal.stat().st_size
    answer = await step
    return answer, (wal.stat().st_size - before) // (4_096 + 24)


@pytest.mark.parametrize("size", [400, 40_000])
async def test_a_step_of_reclaiming_writes_less_than_a_full_group(tmp_path, size):
    """Of events that lie each in a page of its own, and of events that take ten pages each."""
    path = tmp_path / "store.db"
    async with opened(path) as store:
        logs, rounds = (30, 30) if size < 4_096 else (5, 20)
        await interleaved(store, logs, rounds, bytes(size))
        for number in range(logs):
            await cut(store, f"log-{number}")
        removed, most, steps = 0, 0, 0
        while True:
            count, pages = await pages_of(path, store.reclaim())
            if not count:
                break
            removed, most, steps = removed + count, max(most, pages), steps + 1

        assert removed == logs * rounds
        assert 0 < most <= PAGES_MAX
        assert steps > 1


async def test_a_step_that_takes_long_is_over_after_one_portion(tmp_path):
    """Though there is more to do, and it would have cost little; and it always gets somewhere."""
    async with opened(tmp_path / "store.db", kernel=LateKernel()) as store:
        await store.append([batch_at(new_head("log-0"), *[b"x"] * 300)])
        await cut(store, "log-0")
        steps = []
        while count := await store.reclaim():
            steps.append(count)

        assert steps == [64, 64, 64, 64, 44]


async def test_logs_whose_events_are_all_shared_are_looked_at_once(tmp_path):
    """And again when the branch has gone, or a step would walk over all of them each time."""
    path = tmp_path / "store.db"
    async with opened(path) as store:
        (head,) = await interleaved(store, 1, 9)
        event = batch_at(head._replace(workflow_id="b"), b"own")
        branch = Branch("b", "log-0", 9, head.digest)
        await store.append([Unit((event,), branches=(branch,))])
        await cut(store, "log-0")
        assert await store.reclaim() == 0
        unsettled = "SELECT count(*) FROM beginnings WHERE reclaimed = 0"
        assert store._writer.connection.execute(unsettled).get == 0
        assert await store.check_structure() == []

        await cut(store, "b")
        while await store.reclaim():
            pass
        assert store._writer.connection.execute("SELECT count(*) FROM events").get == 0


async def test_compacting_ends_while_others_append(tmp_path):
    """Each step writes less than a full group, and nothing is lost."""
    path = tmp_path / "store.db"
    async with opened(path) as store:
        heads = await interleaved(store, 40, 30, bytes(300))
        for number in range(0, 40, 2):
            await cut(store, f"log-{number}")
        while await store.reclaim():
            pass
        before = await store.feed()
        head, after, most, steps = heads[1], 0, 0, 0
        while after is not None:
            batch = batch_at(head, b"meanwhile")
            await store.append([batch])
            head = head._replace(next_seq=head.next_seq + 1, digest=batch.digests[-1])
            after, pages = await pages_of(path, store.compact(after))
            most, steps = max(most, pages), steps + 1
            assert steps < 100

        assert 0 < most <= PAGES_MAX
        assert (await store.feed())[: len(before)] == before
        assert await store.check_structure() == []
    connection = apsw.Connection(str(path))
    free = connection.execute("PRAGMA freelist_count").get
    connection.close()
    assert free <= reclaiming.PORTION_PAGES
