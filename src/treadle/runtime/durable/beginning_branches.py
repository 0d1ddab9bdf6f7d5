"""Branches of durable workflows: what stands beside a branch's first event, so that nothing runs by itself.

A branch is held from the first moment, in the unit that makes it: one that plays in virtual time for good,
one that is to go on in earnest until somebody resumes it. Which run it goes on in is read off the parent's
head where that will do; only a branch of an earlier run makes its maker read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from treadle.engine import Status
from treadle.engine.carrying import STATUS_BY_KIND
from treadle.engine.marks import MARK_KINDS, RESET, read_reset, view_of
from treadle.engine.records import RunStarted
from treadle.errors import InvalidValueError, UsageError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.payloads import CodecChain
from treadle.runtime.decoding import payload_of
from treadle.runtime.durable.wire import AWAITING_RESUME, HELD, WHAT_IF, Envelopes, HeldNote
from treadle.stores import Head, HeadFacts, Record, Store

BranchMode: TypeAlias = Literal["what_if", "real"]
"""Whether a branch of a durable workflow plays in virtual time, or goes on in earnest."""
BRANCH_MODES: Final = ("what_if", "real")
STARTS: Final = frozenset({EventKind.WORKFLOW_STARTED, EventKind.CONTINUED})
_MAY_CUT_CARRIED: Final = MARK_KINDS | {EventKind.SIGNAL_CARRIED}
"""Behind an event before one of these the new run may not have been handed all that it begins with."""
_DETAILS: Final = {"what_if": WHAT_IF, "real": AWAITING_RESUME}


class Birth(NamedTuple):
    """What a durable branch's first unit holds besides its event.

    Attributes:
        facts: its head facts.
        records: why it is held.
        hidden: whether listings and the feed leave it out.
    """

    facts: HeadFacts
    records: tuple[Record, ...]
    hidden: bool


async def name_of_run(store: Store, codecs: CodecChain, head: Head, run: int) -> str:
    """Tell which workflow a run is of: an id that is used again may be another one's.

    Args:
        store: where it is.
        codecs: decode its start.
        head: the log's, with facts.
        run: the seq that names the run.

    Returns:
        The name; of the current run without reading it.

    Raises:
        CodecError: the start cannot be read without its codec.
        StoreError: the store could not be read.
    """
    facts = head.facts
    assert facts is not None  # noqa: S101  # asked by the callers
    if run == facts.run_start_seq:
        return facts.name
    (event,) = await store.read(head.workflow_id, run, run, limit=1)
    payload = await payload_of(store, codecs, head.workflow_id, event)
    return msgspec.json.decode(payload, type=RunStarted).name


def check_mode(mode: object) -> None:
    """Refuse a mode that is none.

    Args:
        mode: what was given.

    Raises:
        InvalidValueError: it is none.
    """
    if mode not in BRANCH_MODES:
        raise InvalidValueError(f"mode is one of {', '.join(BRANCH_MODES)}; got {mode!r:.60}")


async def birth_of(
    store: Store, codecs: CodecChain, parent: Head, at: int, to: WorkflowId, *, mode: str, now_ns: int
) -> Birth:
    """Tell what a branch of a durable workflow begins with.

    Args:
        store: where the parent is.
        codecs: encode the note, and decode the start of an earlier run.
        parent: its head, with facts; `at` lies in it.
        at: the last shared seq.
        to: the branch.
        mode: see `BranchMode`.
        now_ns: the time.

    Returns:
        Facts and records.

    Raises:
        UsageError: the run it would go on in is no longer kept.
        CodecError: the start of an earlier run cannot be read without its codec.
        StoreError: the store could not be read.
    """
    status = await status_at(store, parent, at)
    run = await replay_from(store, codecs, parent, at)
    name = await name_of_run(store, codecs, parent, run)
    details = _DETAILS[mode]
    if status.is_closed:
        kept = HeadFacts(int(status), run, None, name, WHAT_IF if mode == "what_if" else b"")
        return Birth(kept, (), mode == "what_if")
    place = f"a branch of {parent.workflow_id!r} at seq {at}"
    reason = (
        f"it is {place} in which nothing really happens; what_if() plays it"
        if mode == "what_if"
        else f"it is {place} and waits until it is resumed"
    )
    note = HeldNote(now_ns, reason, "", "", mode)
    held = HeadFacts(int(Status.HELD), run, None, name, details)
    return Birth(held, (Envelopes(codecs).record(HELD, to.encode(), to, note),), mode == "what_if")


async def status_at(store: Store, head: Head, at: int) -> Status:
    """Tell how a durable workflow stood when an event was its newest.

    Args:
        store: where it is.
        head: its head.
        at: the event.

    Returns:
        RUNNING, or how it had ended.

    Raises:
        StoreError: the store could not be read.
    """
    event = await last_counting(store, head, at)
    return STATUS_BY_KIND.get(event.kind, Status.RUNNING)


async def last_counting(store: Store, head: Head, at: int) -> WorkflowEvent:
    """Find the event at which a log stood, marks and what they have abandoned left out.

    Args:
        store: where it is.
        head: its head.
        at: a seq of it.

    Returns:
        The newest event up to there that is no mark, seen from there.

    Raises:
        StoreError: the store could not be read.
    """
    while True:
        (event,) = await store.read(head.workflow_id, at, at, limit=1)
        if event.kind not in MARK_KINDS:
            return event
        at = read_reset(event).at if event.kind is RESET else at - 1


async def replay_from(store: Store, codecs: CodecChain, head: Head, at: int) -> int:
    """Tell from where a workflow must be replayed to stand where it stood at an event.

    Args:
        store: where it is.
        codecs: decode the start of a run.
        head: its head, with facts.
        at: the event.

    Returns:
        The first seq of a run.

    Raises:
        UsageError: what would be needed is no longer kept.
        CodecError: the start of a run cannot be read without its codec.
        StoreError: the store could not be read.
    """
    facts = head.facts
    assert facts is not None  # noqa: S101  # asked by the callers
    newest = facts.run_start_seq
    following = await _kind_behind(store, head, at)
    if at >= newest and following not in _MAY_CUT_CARRIED:
        # Of an earlier run, should there have been resets: replay finds out. It costs no reading here.
        return newest
    events = view_of(await read_all(store, head, head.first_kept_seq, at)).events
    starts = [event.seq for event in events if event.kind in STARTS]
    if starts and await _lacks_carried(store, codecs, head, events):
        starts.pop()
    if not starts:
        raise UsageError(
            f"workflow {head.workflow_id!r}: to go on from seq {at} its run must be replayed from its"
            f" beginning, and events before seq {head.first_kept_seq} are no longer kept; give a"
            " seq of a later run"
        )
    return starts[-1]


async def _kind_behind(store: Store, head: Head, at: int) -> EventKind | None:
    following = await store.read(head.workflow_id, at + 1, at + 1, limit=1)
    return following[0].kind if following else None


async def _lacks_carried(
    store: Store, codecs: CodecChain, head: Head, events: Sequence[WorkflowEvent]
) -> bool:
    """Tell whether what counts ends with a CONTINUED and not all the signals that it was handed.

    What is lacking may stand behind a mark, or nowhere: a branch or a reset may have cut it off long before.
    """
    for carried, event in enumerate(reversed(events)):
        if event.kind is EventKind.CONTINUED:
            return carried < await _handed_on(store, codecs, head, event)
        if event.kind is not EventKind.SIGNAL_CARRIED:
            break
    return False


async def _handed_on(store: Store, codecs: CodecChain, head: Head, start: WorkflowEvent) -> int:
    payload = await payload_of(store, codecs, head.workflow_id, start)
    return msgspec.json.decode(payload, type=RunStarted).carried


async def read_all(store: Store, head: Head, from_seq: int, to_seq: int) -> list[WorkflowEvent]:
    """Read a stretch of a log, page by page.

    Args:
        store: where it is.
        head: its head.
        from_seq: the first seq.
        to_seq: the last seq.

    Returns:
        The events.

    Raises:
        StoreError: the store could not be read.
    """
    events: list[WorkflowEvent] = []
    while from_seq <= to_seq:
        page: Sequence[Any] = await store.read(head.workflow_id, from_seq, to_seq)
        if not page:
            break
        events += page
        from_seq = page[-1].seq + 1
    return events
