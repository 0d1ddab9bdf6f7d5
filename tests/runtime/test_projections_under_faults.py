"""Projections beside a runtime whose store fails: no event is lost from a state, none is counted twice."""

# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing
from faulty import FULL, POISONED, UNAVAILABLE, UNKNOWN, FaultyStore
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import Projection, Projections, TreadleError, open_runtime
from treadle.kernel import InlineKernel

LISTING = Projection("listing", list, lambda state, event: [*state, event.position])
EACH = Projection("each", lambda: 0, lambda state, _: state + 1, key=lambda event: event.workflow_id)
FAULTS = {
    "full": (FULL, False),
    "busy": (UNAVAILABLE, False),
    "unknown": (UNKNOWN, False),
    "unknown, and written": (UNKNOWN, True),
}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("abc")),
        st.tuples(st.just("foreign"), st.sampled_from("abc")),
        st.tuples(st.just("fault"), st.sampled_from(sorted(FAULTS))),
        st.tuples(st.just("wait"), st.sampled_from((0.0, 0.3, 2.0))),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("rebuild"), st.sampled_from(("listing", "each"))),
        st.tuples(st.just("rival"), st.none()),
    ),
    max_size=25,
)


def views():
    return Projections(LISTING, EACH, every_events=3, every_seconds=0.5, standby_seconds=1)


async def go_through(steps):
    """Go through steps, a runtime after the other over one store; then see that all is right."""
    kernel = InlineKernel()
    store, left = FaultyStore(kernel, shared=True), list(steps)
    while left:
        with suppress(*(type(error) for error, _ in FAULTS.values())):
            kept = views()
            async with open_runtime(store, projections=kept, kernel=kernel) as runtime:
                while left and left[0][0] != "restart":
                    await take(left.pop(0), store, runtime, kept)
                await trio.sleep(0.1)
        if left and left[0][0] == "restart":
            left.pop(0)
    store.faults.clear()
    await check(store, kernel)


async def take(step, store, runtime, kept):
    what, value = step
    if what == "append":
        with suppress(TreadleError):
            await runtime.workflow(value).append("custom")
    elif what == "foreign":
        store.write_foreign(value, b"theirs")
    elif what == "fault":
        store.fail_next(FAULTS[value][0], written=FAULTS[value][1])
    elif what == "wait":
        await trio.sleep(value)
    elif what == "rebuild":
        with suppress(TreadleError):
            await kept.rebuild(value)
    else:
        # Another process, which keeps the same projections up for a while.
        with suppress(TreadleError):
            async with open_runtime(store, projections=views(), kernel=InlineKernel()) as other:
                await other.workflow("a").append("custom")
                await trio.sleep(1)


async def check(store, kernel):
    last = views()
    async with open_runtime(store, projections=last, kernel=kernel):
        await last.caught_up()
        positions = [row.position for row in await store.feed()]
        assert last.state("listing") == positions
        assert sum(last.state("each", key) for key in last.keys("each")) == len(positions)
    assert all(verdict.same for verdict in await last.verify(store=store))


@settings(max_examples=25)
@given(STEPS)
def test_whatever_fails_states_hold_each_event_once(steps):
    """Refused writes, unknown outcomes, rivals, restarts and rebuilds in any order."""
    trio.run(go_through, steps, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.slow
@settings(max_examples=1_500)
@given(STEPS)
def test_whatever_fails_states_hold_each_event_once_in_very_many_orders(steps):
    trio.run(go_through, steps, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_poisoned_store_stops_all_visibly(store, kernel, autojump_clock, caplog):
    kept = views()
    async with open_runtime(store, projections=kept, kernel=kernel) as runtime:
        await trio.sleep(1)
        store.fail_next(POISONED)
        with pytest.raises(TreadleError):
            await runtime.workflow("a").append("custom")
        await trio.sleep(2)

        assert {one.status for one in kept.statistics()} == {"stopped"}
        assert "no longer to be trusted" in kept.statistics()[0].failure
    assert "kept up no longer" in caplog.text


async def test_a_commit_that_hangs_does_not_keep_a_runtime_from_closing(store, kernel, autojump_clock):
    kept = views()
    async with open_runtime(store, projections=kept, kernel=kernel) as runtime:
        await runtime.workflow("a").append("custom")
        await kept.caught_up()
        store.commits.close()
        begun = trio.current_time()

        async def open_later():
            await trio.sleep(30)
            store.commits.open()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_later)
    assert trio.current_time() - begun < 60


async def test_states_go_through_the_codecs_and_positions_stay_readable(store, kernel, autojump_clock):
    class Hidden:
        number = 16

        def encode(self, payload, _: object):
            return b"\x00\x10" + bytes(byte ^ 0x55 for byte in payload)

        def decode(self, payload, _: object):
            return bytes(byte ^ 0x55 for byte in payload[2:])

    secret = Projection("secret", str, lambda state, event: state + event.event.payload.decode())
    by_key = Projection("by key", str, secret.apply, key=lambda event: event.workflow_id)
    for _ in range(2):
        kept = Projections(secret, by_key)
        async with open_runtime(store, projections=kept, kernel=kernel, codecs=[Hidden()]) as runtime:
            await runtime.workflow("a").append("custom", b"hunter2")
            await kept.caught_up()
            assert all(one.same for one in await kept.verify())
    value = await store.record("treadle:projection", b"secret")

    assert b'"position":2' in value
    assert b"hunter2" not in value
    with pytest.raises(TreadleError, match="was written through codecs"):
        await kept.stored("secret", store=store)


async def test_a_write_of_unknown_outcome_is_read_again_and_nobody_else_is_suspected(
    store, kernel, autojump_clock, caplog
):
    kept = Projections(EACH, every_seconds=1)
    async with open_runtime(store, projections=kept, kernel=kernel) as runtime:
        await trio.sleep(1)
        await runtime.workflow("a").append("custom")
        await kept.caught_up()
        store.fail_next(UNKNOWN, written=True)
        await trio.sleep(5)
        await runtime.workflow("a").append("custom")
        await kept.caught_up()
        await trio.sleep(5)

        assert kept.statistics()[0].status == "following"
        assert kept.state("each", "a") == await kept.stored("each", "a") == 2
    assert "another process" not in caplog.text
