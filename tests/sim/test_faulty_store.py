"""The faulty store: without rates it is the store behind it; with one it fails as it says, and only so."""

from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import settings

from treadle.errors import OutcomeUnknownError, StoreFullError, StoreUnavailableError
from treadle.events import WorkflowId
from treadle.kernel import InlineKernel
from treadle.sim.draws import Draws
from treadle.sim.faulty_store import SLOW_SECONDS_MAX, FaultyStore
from treadle.sim.lives import Life, LifeKernel, SeveredError, inside, survive
from treadle.stores import Store, Unit, open_store
from treadle.stores.memory import MemoryStore
from treadle.testing import LogWriter, check_name, store_checks, store_machine

A = WorkflowId("a")


class Faultless:
    """Opens a store behind a faulty one without faults."""

    def __init__(self, url, durable):
        self.url = url
        self.durable = durable

    @asynccontextmanager
    async def open(self):
        kernel = InlineKernel()
        async with open_store(self.url, kernel=kernel) as store:
            yield FaultyStore(store, kernel, Draws(0, "store"), {})


@pytest.mark.parametrize("check", store_checks(), ids=check_name)
async def test_contract_over_memory(check):
    await check(Faultless("memory:", durable=False))


@pytest.mark.parametrize("check", store_checks(), ids=check_name)
async def test_contract_over_a_file(check, tmp_path):
    await check(Faultless(tmp_path / "store.db", durable=True))


TestAgainstTheReference = store_machine(lambda: Faultless("memory:", durable=False)).TestCase
TestAgainstTheReference.settings = settings(max_examples=8, stateful_step_count=15, deadline=None)


def test_every_question_of_the_contract_is_passed_on():
    """One that is inherited would be answered from nowhere."""
    own = {name for cls in FaultyStore.__mro__[:1] for name in vars(cls)}

    assert Store.__abstractmethods__ <= own


# -- each fault -----------------------------------------------------------------------------------------


def with_fault(program, seed=0, **rates):
    """Run a program with a store in memory behind a faulty one; gives what it gives, and the faults made."""
    kernel, made, life = LifeKernel(seed), [], Life("p")
    inner = MemoryStore(kernel)
    store = FaultyStore(
        inner,
        kernel,
        Draws(seed, "store"),
        rates,
        kill=lambda: kernel.sever(life),
        note=lambda fault, place: made.append((fault, place)),
    )

    async def main(_):
        return await program(kernel, store, inner, life)

    return trio.run(kernel.run_main, main, (), clock=kernel), made


def unit(payload=b"1"):
    return Unit((LogWriter.fresh("a").batch(payload),))


async def written(inner):
    return len(await inner.read(A))


@pytest.mark.parametrize(
    ("fault", "error", "count"),
    [
        ("unavailable_store", StoreUnavailableError, 0),
        ("unknown_unwritten", OutcomeUnknownError, 0),
        ("unknown_written", OutcomeUnknownError, 1),
    ],
)
def test_an_append_fails_as_the_fault_says(fault, error, count):
    async def program(_kernel, store, inner, _life):
        with pytest.raises(error) as caught:
            await store.append([unit()])
        return await written(inner), caught.value.written

    (found, told), made = with_fault(program, **{fault: 1_000})

    assert [(fault, "append")] == made
    assert count == found
    assert ("no" if error is StoreUnavailableError else "unknown") == told


def test_a_slow_store_is_late_and_writes_once():
    async def program(kernel, store, inner, _life):
        await store.append([unit()])
        return kernel.current_time(), await written(inner)

    for seed in range(20):
        (seconds, found), made = with_fault(program, seed, slow_store=1_000)

        assert [("slow_store", "append")] == made
        assert 0 < seconds <= SLOW_SECONDS_MAX
        assert 1 == found


def test_a_full_store_takes_nothing_and_still_reads():
    async def program(_kernel, store, inner, _life):
        await store.append([unit()])
        store.full = True
        with pytest.raises(StoreFullError):
            await store.append([unit(b"2")])
        assert 1 == len(await store.read(A))
        store.full = False
        return await written(inner)

    assert (1, []) == with_fault(program)


@pytest.mark.parametrize(("after", "count"), [(False, 0), (True, 1)])
def test_a_process_is_killed_before_its_write_or_after_it(after, count):
    """And hears of neither."""

    async def program(_kernel, store, inner, life):
        store.kills = ((2, after),)
        answers = []

        async def process():
            await store.append([Unit((LogWriter.fresh("other").batch(b"1"),))])
            answers.append("first")
            await store.append([unit()])
            answers.append("second")

        await survive(life, process)
        return answers, await written(inner), life.severed

    (answers, found, severed), _ = with_fault(program)

    assert (["first"], count, True) == (answers, found, severed)


def test_crashes_at_appends_come_before_and_after_the_write():
    async def program(_kernel, store, inner, life):
        await survive(life, store.append, [unit()])
        return await written(inner), life.severed

    seen = {with_fault(program, seed, crash_at_append=500)[0] for seed in range(30)}

    assert {(0, True), (1, True), (1, False)} == seen


def test_a_dead_process_makes_no_call_and_no_fault():
    """What its clean-up still asks the store is never asked."""

    async def program(kernel, store, inner, life):
        kernel.sever(life)
        for call in (lambda: store.append([unit()]), lambda: store.read(A), store.raise_epoch):
            with inside(life), pytest.raises(SeveredError):
                await call()
        return await written(inner), store.count_append()

    rates = dict.fromkeys(["slow_store", "unavailable_store", "unknown_written"], 1_000)

    assert ((0, 1), []) == with_fault(program, **rates)


def test_reads_fail_and_are_late_as_well():
    async def program(kernel, store, _inner, _life):
        with pytest.raises(StoreUnavailableError):
            await store.read(A)
        return kernel.current_time()

    seconds, made = with_fault(program, slow_store=1_000, unavailable_store=1_000)

    assert seconds > 0
    assert [("slow_store", "read"), ("unavailable_store", "read")] == made


def test_in_the_calm_nothing_happens():
    async def program(kernel, store, inner, life):
        store.calm, store.full = True, True
        await store.append([unit()])
        await store.read(A)
        return kernel.current_time(), await written(inner), life.severed

    rates = dict.fromkeys(
        [
            "slow_store",
            "unavailable_store",
            "unknown_written",
            "unknown_unwritten",
            "crash_at_append",
        ],
        1_000,
    )

    assert ((0.0, 1, False), []) == with_fault(program, **rates)
