"""What is left of logs that were branched, cut and deleted, held against what their clients know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from treadle.checkers import Violation, chain, gap_free
from treadle.errors import CorruptStoreError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.log import root_digest
from treadle.sim.paging import all_workflows
from treadle.sim.workloads.known import Known, mark_in
from treadle.sim.workloads.transacting import TICKS, Ticks
from treadle.sim.world import World
from treadle.stores import PAGE_EVENTS, AuditRow, Head, Store

STEPS_MAX: Final = 100_000
"""How many steps cleaning up takes at most at the end: one for each event would be enough."""


async def check_lifetimes(world: World, store: Store, known: Known, ticks: Ticks) -> list[Violation]:
    """Hold every promise against what is left, and write the logs into the history.

    All is looked at twice: as it was left, and once everything was removed that no log shows, and everything
    was written anew, which must not be seen by anybody.

    Args:
        world: where it happened.
        store: what is left.
        known: what all clients know together.
        ticks: how many equal events there must be.

    Returns:
        What was broken.
    """
    names = [WorkflowId(name) for name in known.names]
    before: dict[str, list[WorkflowEvent]] = {}
    violations: list[Violation] = []
    heads = {name: (await store.heads([name]))[0] for name in names}
    for name in names:
        found, events = await _check_log(store, heads[name])
        violations += found
        before[name] = events
        known.saw(name, heads[name].first_kept_seq, [mark_in(event) for event in events])
    for name in names:
        if name != TICKS:
            first, next_seq = heads[name].first_kept_seq, heads[name].next_seq
            if first > next_seq:
                message = f"it is kept from seq {first} on, and goes on at {next_seq}"
                violations.append(Violation("retention", name, next_seq, message))
            marks = known.whole(name, next_seq)
            world.recorder.write({"log": name, "marks": marks, "kept": min(first, next_seq)})
    violations += await _check_shown(store, heads, before)
    violations += _check_roots(heads, known)
    violations += _check_ticks(before[WorkflowId(TICKS)], ticks)
    violations += await clean_up(store)
    for name in names:
        found, events = await _check_log(store, heads[name])
        violations += found
        if events != before[name] or (await store.heads([name]))[0][:5] != heads[name][:5]:
            message = f"it was {len(before[name])} events, and {len(events)} once all was cleaned up"
            violations.append(Violation("retention", name, heads[name].first_kept_seq, message))
    violations += await _check_shown(store, heads, before)
    for damage in await store.check_structure():
        violations.append(Violation("structure", damage.workflow_id or "", damage.seq, damage.message))
    return violations


async def _check_log(store: Store, head: Head) -> tuple[list[Violation], list[WorkflowEvent]]:
    name, first = head.workflow_id, head.first_kept_seq
    try:
        events = await _pages(store, head)
        rows: Sequence[AuditRow] = await store.audit(name, first - 1, limit=len(events) + 1)
    except CorruptStoreError as error:
        return [Violation("retention", name, error.seq, "an event that is to be kept is missing")], []
    found = gap_free(name, events, first_seq=first, next_seq=head.next_seq)
    found += chain(name, rows, first_seq=first, digest_before=head.digest_before, head=head[1:3])
    return found, events


async def _pages(store: Store, head: Head) -> list[WorkflowEvent]:
    events: list[WorkflowEvent] = []
    seq = head.first_kept_seq
    while page := await store.read(head.workflow_id, seq):
        events += page
        seq = page[-1].seq + 1
    return events


async def _check_shown(
    store: Store, heads: Mapping[WorkflowId, Head], logs: Mapping[str, Sequence[WorkflowEvent]]
) -> list[Violation]:
    """Check that lists show the logs that have events, and the feed those events that are a log's own."""
    violations: list[Violation] = []
    listed, there = await all_workflows(store), sorted(name for name in heads if logs[name])
    if listed != there:
        odd = sorted(set(listed) ^ set(there))
        violations.append(
            Violation("shown", odd[0] if odd else "", None, f"wrongly listed or left out: {odd}")
        )
    fed: dict[str, list[int]] = {name: [] for name in heads}
    after = 0
    while page := await store.feed(after, limit=PAGE_EVENTS):
        after = page[-1].position
        for one in page:
            fed.setdefault(one.workflow_id, []).append(one.event.seq)
    for name, head in heads.items():
        own = [event.seq for event in logs[name] if event.seq > head.shared_seq]
        if fed[name] != own:
            message = f"the feed has {len(fed[name])} of its events, and {len(own)} are its own"
            violations.append(Violation("shown", name, None, message))
    return violations


def _check_roots(heads: Mapping[WorkflowId, Head], known: Known) -> list[Violation]:
    """Check that a log that keeps all its events begins with the digest of its id, or of an ancestor's."""
    violations: list[Violation] = []
    for name, head in heads.items():
        roots = {root_digest(name)}
        if head.shared_seq:
            roots |= {root_digest(other) for other in heads}
        if head.first_kept_seq == 1 and head.digest_before not in roots:
            violations.append(Violation("chain", name, 1, "its first digest is that of no id"))
        if head.shared_seq and not known.began(name):
            violations.append(Violation("branches", name, None, "it is a branch, and nobody asked for one"))
    return violations


def _check_ticks(events: Sequence[WorkflowEvent], ticks: Ticks) -> list[Violation]:
    if ticks.sure <= len(events) <= ticks.possible:
        return []
    message = f"{ticks.sure} to {ticks.possible} equal events were appended, {len(events)} are there"
    return [Violation("transactions", TICKS, None, message)]


async def clean_up(store: Store) -> list[Violation]:
    """Remove what no log shows, and write the rest anew; nobody must be able to tell.

    Args:
        store: what is left of a world.

    Returns:
        A violation when that comes to no end.

    Raises:
        StoreError: the store failed.
    """
    for _ in range(STEPS_MAX):
        if not await store.reclaim(events_max=7):
            break
    else:
        return [Violation("retention", "", None, "there is always something more to remove")]
    after: int | None = 0
    while after is not None:
        after = await store.compact(after, events_max=7)
    return []
