"""Projections that tests keep up, and what they must come to."""

from contextlib import asynccontextmanager

from treadle import open_runtime
from treadle.kernel import InlineKernel
from treadle.log import PROJECTIONS
from treadle.projections import Projection


def count_all():
    """How many events there are."""
    return Projection("count", lambda: 0, lambda state, _: state + 1)


def count_each(**options):
    """How many events each workflow has."""
    return Projection(
        "each", lambda: 0, lambda state, _: state + 1, key=lambda event: event.workflow_id, **options
    )


def listing(name="listing", **options):
    """Every event that was folded: a repeat, a gap or another order shows."""
    return Projection(
        name, list, lambda state, event: [*state, [event.workflow_id, event.event.seq]], **options
    )


def failing_at(wanted, name="failing", raises=ValueError):
    """A listing whose fold raises when `wanted` holds an event's payload, after having changed the state."""

    def apply(state, event):
        state.append([event.workflow_id, event.event.seq])
        if event.event.payload in wanted:
            raise raises(f"no such thing as {event.event.payload!r}")
        return state

    return Projection(name, list, apply)


def opened(store, views, **options):
    """Open a runtime that keeps projections up."""
    options.setdefault("kernel", InlineKernel())
    return open_runtime(store, projections=views, **options)


async def append(runtime, *workflow_ids, payload=b""):
    """Append an event to each log, in order."""
    for workflow_id in workflow_ids:
        await runtime.workflow(workflow_id).append("custom", payload)


async def checkpoint_of(store, name):
    """The record of a projection's checkpoint."""
    return await store.record(PROJECTIONS, name.encode())


@asynccontextmanager
async def kept_up(store, views, *workflow_ids, **options):
    """A runtime with events, and projections that have read them."""
    async with opened(store, views, **options) as runtime:
        await append(runtime, *workflow_ids)
        await views.caught_up()
        yield runtime
