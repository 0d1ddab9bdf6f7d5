"""Baselines of plain logs: events that hold the state of folds, so that what came before may go.

A baseline is in the log, so the digest chain covers it, and export and branches carry it. It stands where it
was decided: when somebody appends meanwhile, what they appended is folded as well and it is tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import (
    InvalidValueError,
    UsageError,
    WorkflowNotFoundError,
)
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.log import Appended, Fold, chain_digest, encode_folded
from treadle.payloads import CodecContext
from treadle.runtime.folds import FOLDS_MAX, FoldReplay, Reached, States
from treadle.runtime.inbox import Proposal
from treadle.runtime.transacting import RACES
from treadle.stores import Batch, Guard, Head, Record, Unit

if TYPE_CHECKING:  # what is done here is done for a runtime
    from treadle.runtime.runtime import Runtime

BASELINES: Final = "treadle:baseline"
"""The namespace of logs that may be cut at a baseline; a key is the workflow's id, a value the seq. It spares
retention a look at every event; whether there is a baseline, the log alone says."""


async def baseline(runtime: Runtime, workflow_id: WorkflowId, folds: Sequence[Fold[Any]]) -> Appended:
    """Append a baseline; see `WorkflowHandle.baseline`.

    Args:
        runtime: the runtime.
        workflow_id: the log.
        folds: the folds whose states it holds.

    Returns:
        Its events.
    """
    check_folds(folds)
    replays = [FoldReplay(runtime, workflow_id, fold) for fold in folds]
    reached: list[Reached[Any]] = []
    begins_at = 0
    for _ in range(runtime.config.readmissions_max + 1):
        (head,) = await runtime.store.heads([workflow_id])
        _check_head(head)
        if there := await _standing(runtime, head, folds):
            return Appended(there, repeated=True)
        last = head.next_seq - 1
        # Deleted and used again meanwhile, a log goes on behind what was folded of it, and is another one.
        if head.first_kept_seq != begins_at:
            begins_at = head.first_kept_seq
            reached = [(await replay.reach(last))[1] for replay in replays]
        else:
            reached = [await one.go_on(begun, last) for one, begun in zip(replays, reached, strict=True)]
        unit = _unit(runtime, head, folds, reached)
        try:
            await runtime._supervisor.commit_unit(Proposal(None), unit)
        except RACES as error:
            lost = error
            continue
        finally:
            runtime._supervisor.forget([workflow_id])
        return Appended(unit.batches[0].events)
    lost.add_note("tried again and again, and others appended first each time")
    raise lost


def check_folds(folds: Sequence[object]) -> None:
    """Refuse what no baseline can hold.

    Args:
        folds: what was given.

    Raises:
        InvalidValueError: one is no fold, two have one name, or there are too many.
    """
    for fold in folds:
        check_fold(fold)
    names = [fold.name for fold in folds if isinstance(fold, Fold)]
    if not 1 <= len(names) <= FOLDS_MAX or len(set(names)) < len(names):
        raise InvalidValueError(
            f"a baseline holds the states of 1-{FOLDS_MAX} folds, each with a name of its own, got"
            f" {', '.join(map(repr, names)) or 'none'}"
        )


def check_fold(fold: object) -> None:
    """Refuse what is no fold.

    Args:
        fold: what was given.

    Raises:
        InvalidValueError: it is none.
    """
    if not isinstance(fold, Fold):
        raise InvalidValueError(
            f"a fold is treadle.Fold(name, version, initial, apply), got {fold!r:.60}; a function alone has"
            " no name under which its state could be kept"
        )


def _check_head(head: Head) -> None:
    if head.facts is not None:
        raise UsageError(
            f"{head.workflow_id!r} is a durable workflow: its code makes a baseline itself, with"
            " workflow.continue_as_new(); a fold's state is kept by handle.snapshot()"
        )
    if head.next_seq == head.first_kept_seq:
        raise WorkflowNotFoundError(
            f"workflow {head.workflow_id!r} has no events: there is nothing a baseline could hold",
            workflow_id=head.workflow_id,
        )


async def _standing(runtime: Runtime, head: Head, folds: Sequence[Fold[Any]]) -> tuple[WorkflowEvent, ...]:
    """Find the same baseline at the end of the log: a second one would say nothing."""
    first = head.next_seq - len(folds)
    if first < head.first_kept_seq:
        return ()
    events = await runtime.store.read(head.workflow_id, first, head.next_seq - 1, limit=len(folds))
    states = States(runtime)
    for fold, event in zip(folds, events, strict=False):
        kept = await states.baseline_of(head.workflow_id, event)
        if kept is None or (kept.fold, kept.version, kept.seq) != (fold.name, fold.version, first - 1):
            return ()
    return tuple(events)


def _unit(runtime: Runtime, head: Head, folds: Sequence[Fold[Any]], reached: Sequence[Reached[Any]]) -> Unit:
    states, name, now_ns = States(runtime), head.workflow_id, runtime._kernel.wall_time_ns()
    events: list[WorkflowEvent] = []
    digests: list[bytes] = []
    before = head.digest
    for seq, (fold, at) in enumerate(zip(folds, reached, strict=True), head.next_seq):
        kept = encode_folded(states.write(fold, at.state, name, at.seq, head.digest))
        payload = runtime._codecs.encode(kept, CodecContext(name, seq))
        events.append(WorkflowEvent(seq, now_ns, EventKind.BASELINE, payload))
        before = chain_digest(before, events[-1])
        digests.append(before)
    batch = Batch(name, head.digest, tuple(events), tuple(digests), token=head.token)
    note = Record(BASELINES, name.encode(), b"%d" % head.next_seq)
    # A deleted log stands where it stood, so that no batch tells: its state would be there again.
    return Unit((batch,), (Guard(name, head.next_seq, head.digest, head.first_kept_seq),), records=(note,))
