"""How a store decides about one unit: the contract's rules over whatever a store can look up.

Both our stores decide here, so they cannot differ; the SQLite store only when it must (a token lost its
good, a key or a guard came along), because each question below costs it a look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from treadle.errors import (
    ConflictError,
    FencedError,
    InvalidValueError,
    RecordChangedError,
    UsageError,
)
from treadle.events import (
    TIMESTAMP_MAX,
    TIMESTAMP_MIN,
    WorkflowEvent,
    WorkflowId,
    check_key,
    check_record,
    check_seq,
)
from treadle.log import DIGEST_SIZE_BYTES, Answer, check_batch, first_difference, judge, refusal
from treadle.stores.asking import check_id, check_ids
from treadle.stores.births import Beginning, check_births, cut_error
from treadle.stores.contract import WRITTEN, Batch, Guard, Head, Outcome, Refused, Repeated, Unit
from treadle.stores.lifetimes import Graft, Seam

UNIT_EVENTS_MAX: Final = 1_000_000
"""A unit is one transaction; callers' own limits lie far below, this one only keeps memory bounded."""


# The fields' types in their order; None for an int or None.
_FACTS: Final = (int, int, None, str, bytes)
_MESSAGE: Final = (str, bytes, int, bytes)
_TAKEN: Final = (str, bytes)


class View(Protocol):
    """What can be asked about a store in the middle of its transaction."""

    def head(self, workflow_id: WorkflowId) -> Head:
        """Tell where a log stands."""

    def stored(self, workflow_id: WorkflowId, from_seq: int, to_seq: int) -> Sequence[WorkflowEvent]:
        """Read a stretch of a log."""

    def keyed(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find the event that carries a key."""

    def message_waits(self, workflow_id: WorkflowId, message_id: bytes) -> bool:
        """Tell whether a message is in the mailbox and not taken."""

    def epoch(self) -> int:
        """Tell the newest runner's epoch."""

    def digest_at(self, workflow_id: WorkflowId, seq: int) -> bytes | None:
        """Tell the digest of an event that the log keeps, or None."""

    def sharers(self, workflow_id: WorkflowId, below_seq: int, limit: int) -> Sequence[WorkflowId]:
        """Name logs that share events which lie in this one below a seq."""

    def position(self) -> int:
        """Tell the newest position."""

    def record(self, namespace: str, key: bytes) -> bytes | None:
        """Look a record up."""


class _Lookup(Protocol):
    """What judging a batch asks."""

    def head(self, workflow_id: WorkflowId) -> Head:
        """Tell where a log stands."""

    def keyed(self, workflow_id: WorkflowId, key: bytes) -> WorkflowEvent | None:
        """Find the event that carries a key."""


def check_units(units: Sequence[Unit | Batch | Graft]) -> None:
    """Refuse a call when one of its units is wrong by itself, or is no unit at all.

    Args:
        units: what `Store.append` was given.

    Raises:
        InvalidValueError: something is not of the type the contract names.
        UsageError: as `check_unit`.
    """
    with _blaming_the_caller():
        for unit in units:
            if isinstance(unit, Graft):
                check_graft(unit)
            else:
                check_unit(unit)


def check_graft(graft: Graft) -> None:
    """Refuse a graft that is wrong before it is finished.

    Args:
        graft: the graft.

    Raises:
        InvalidValueError: an id or the seq is none.
    """
    check_ids((graft.workflow_id, graft.parent))
    check_seq(graft.at)


def finished(unit: Unit | Batch | Graft, view: View) -> Unit | Batch:
    """Let a graft make its unit, of the store as it stands now; any other unit is one already.

    Args:
        unit: the unit.
        view: the store as it stands after the units before.

    Returns:
        The unit.

    Raises:
        UsageError: what a graft has made is wrong by itself. That refuses the graft, and no unit beside it:
            those before it have been decided.
    """
    if not isinstance(unit, Graft):
        return unit
    head, digest = view.head(unit.parent), view.digest_at(unit.parent, unit.at)
    made = unit.unit = unit.finish(Seam(digest, head.facts, head.shared_seq))
    with _blaming_the_caller():
        check_unit(made)
        _check_unit_values(made)
    return made


@contextmanager
def _blaming_the_caller() -> Iterator[None]:
    try:
        yield
    except (AttributeError, TypeError) as error:
        # Found out by use: asking each value of each unit for its type would cost every append.
        raise InvalidValueError(
            "a store takes a list of Unit or Batch, made of the values that they name; got something else"
            f" ({error}); look at what was put into the list"
        ) from error


def check_unit(unit: Unit | Batch) -> None:
    """Refuse a unit that is wrong by itself.

    Args:
        unit: the unit.

    Raises:
        BatchError: a batch is empty, too long, or has a gap or a repeat inside.
        InvalidValueError: an id is not a str or not valid Unicode, or the epoch not an int.
        UsageError: two batches for one log, digests or keys that do not match the events, or a message
            taken twice.
    """
    if unit.epoch is not None and type(unit.epoch) is not int:
        raise InvalidValueError(f"an epoch is an int, got {unit.epoch!r:.60}; raise_epoch() gives it")
    logs = [batch.workflow_id for batch in unit.batches] + [log.workflow_id for log in unit.restated]
    logs += [cut.workflow_id for cut in unit.cuts]
    check_ids([*logs, *(guard.workflow_id for guard in unit.guards)])
    if len(set(logs)) < len(logs):
        raise UsageError(
            "a unit has at most one batch for each log, or its facts, or its cut; join what belongs to a log"
        )
    if len(set(unit.messages_taken)) < len(unit.messages_taken):
        raise UsageError("a unit takes a message once; leave the repeat out")
    for batch in unit.batches:
        check_batch(batch.events, events_max=UNIT_EVENTS_MAX)
        if len(batch.digests) != len(batch.events) or (batch.keys and len(batch.keys) != len(batch.events)):
            raise UsageError("a batch has one digest, and one key or None, for each event; count them again")
    if unit.branches or unit.begun or unit.cuts or unit.position is not None:
        check_births(unit)
    for record in unit.expected:
        check_record(*record)


def check_values(units: Sequence[Unit | Batch | Graft]) -> None:
    """Look at every value of every unit, once something has gone wrong that may be the caller's.

    Args:
        units: what `Store.append` was given.

    Raises:
        InvalidValueError: a value is not of the type the contract names, or outside its limits.
        UsageError: as `check_unit`.
    """
    check_units(units)
    with _blaming_the_caller():
        for unit in units:
            made = unit.unit if isinstance(unit, Graft) else unit
            if made is not None:
                _check_unit_values(made)


def _check_unit_values(unit: Unit | Batch) -> None:
    for batch in unit.batches:
        _check_batch_values(batch)
    for guard in unit.guards:
        _check_digests((guard.digest,))
    for log in unit.restated:
        _check_fields(log.facts, _FACTS)
    for message in unit.messages_put:
        _check_fields(message, _MESSAGE)
    for taken in unit.messages_taken:
        _check_fields(taken, _TAKEN)
    for record in unit.records:
        check_record(*record)
    for digest in (*(one.digest for one in unit.branches), *(one.digest_before for one in unit.begun)):
        _check_digests((digest,))
    for cut in unit.cuts:
        _check_digests((cut.digest,))


def _check_batch_values(batch: Batch) -> None:
    _check_digests((batch.digest_before, *batch.digests))
    for key in batch.keys or ():
        if key is not None:
            check_key(key)
    for event in batch.events:
        # Made anew, it is checked anew: some ways of making one leave that out.
        WorkflowEvent(event.seq, event.timestamp, event.kind, event.payload)
    if batch.facts is not None:
        _check_fields(batch.facts, _FACTS)


def _check_digests(digests: Sequence[object]) -> None:
    for digest in digests:
        if type(digest) is not bytes or len(digest) != DIGEST_SIZE_BYTES:
            raise InvalidValueError(f"a digest is {DIGEST_SIZE_BYTES} bytes, got {digest!r:.60}")


def _check_fields(row: tuple[object, ...], kinds: tuple[type | None, ...]) -> None:
    """Hold a row's fields against their types; None stands for an int or None."""
    shown = type(row).__name__
    if len(row) != len(kinds):
        raise InvalidValueError(f"a {shown} has {len(kinds)} fields, got {len(row)}: {row!r:.60}")
    for field, kind in zip(row, kinds, strict=True):
        if kind is str and isinstance(field, str):
            check_id(field)
        elif kind is None and field is None:
            continue
        elif not isinstance(field, kind or int) or isinstance(field, bool):
            raise InvalidValueError(
                f"a field of a {shown} is {field!r:.60} ({type(field).__name__}), which it"
                f" cannot be: {row!r:.100}"
            )
        elif isinstance(field, int) and not TIMESTAMP_MIN <= field <= TIMESTAMP_MAX:
            raise InvalidValueError(f"a number of a {shown} has 64 signed bits, got {field}")


def judge_unit(unit: Unit | Batch, view: View) -> Outcome:
    """Decide what becomes of a well-formed unit; nothing is changed here.

    Args:
        unit: the unit.
        view: the store as it stands after the units before.

    Returns:
        `WRITTEN` when it is to be written, otherwise why not.
    """
    if unit.epoch is not None and unit.epoch < (current := view.epoch()):
        return Refused(
            FencedError(
                f"epoch {unit.epoch} has been taken over by epoch {current}; this runner has to stop",
                epoch=unit.epoch,
                current_epoch=current,
            )
        )
    if repeated := _known_key(unit, view):
        return repeated
    beginning = Beginning(unit, view) if unit.branches or unit.begun else None
    answers = [_judge_batch(batch, view, beginning or view) for batch in unit.batches]
    stored = [answer.events[0] for answer in answers if isinstance(answer, Repeated)]
    if stored and len(stored) == len(answers):
        # Before the guards: a unit that is sent again has moved the heads it guards itself.
        return Repeated(tuple(stored))
    return (
        _refused_beginning(beginning)
        or _refused_batch(unit, answers, view)
        or _first_refusal(unit, view)
        or _refused_record(unit, view)
        or _refused_lifetime(unit, view)
        or WRITTEN
    )


def _refused_batch(unit: Unit | Batch, answers: list[Outcome], view: View) -> Refused | None:
    for answer, batch in zip(answers, unit.batches, strict=True):
        if isinstance(answer, Refused):
            return answer
        if isinstance(answer, Repeated):
            return _half_there(batch, view)
    return None


def _refused_beginning(beginning: Beginning | None) -> Refused | None:
    if beginning is None:
        return None
    error = beginning.in_use_error() if beginning.in_use else beginning.refusal
    return Refused(error) if error is not None else None


def _judge_batch(batch: Batch, view: View, lookup: _Lookup) -> Outcome:
    head = lookup.head(batch.workflow_id)
    first, last = batch.events[0].seq, batch.events[-1].seq
    stored: list[WorkflowEvent] = []

    def differs() -> int | None:
        stored[:] = view.stored(batch.workflow_id, first, last)
        return first_difference(batch.events, stored)

    answer = judge(first, last, head.next_seq, head.first_kept_seq, differs)
    if answer is Answer.REPEATED:
        return Repeated((tuple(stored),))
    if answer is Answer.APPEND and batch.digest_before != head.digest:
        answer = Answer.CONFLICT
    if answer is Answer.APPEND:
        return _taken_key(batch, lookup) or WRITTEN
    return Refused(
        refusal(
            answer,
            batch.workflow_id,
            batch.events,
            next_seq=head.next_seq,
            first_kept_seq=head.first_kept_seq,
            stored=stored,
            conflict_seq=first_difference(batch.events, stored),
        )
    )


def _known_key(unit: Unit | Batch, view: View) -> Repeated | None:
    if len(unit.batches) != 1 or not unit.batches[0].keys or len(unit.batches[0].events) != 1:
        return None
    key = unit.batches[0].keys[0]
    found = view.keyed(unit.batches[0].workflow_id, key) if key is not None else None
    return Repeated(((found,),)) if found else None


def _taken_key(batch: Batch, view: _Lookup) -> Refused | None:
    seen: set[bytes] = set()
    for event, key in zip(batch.events, batch.keys or (), strict=False):
        if key is None:
            continue
        there = view.keyed(batch.workflow_id, key)
        if there is not None or key in seen:
            return Refused(
                ConflictError(
                    f"workflow {batch.workflow_id!r}: key {key!r} is taken;"
                    " a key names one event, use another",
                    workflow_id=batch.workflow_id,
                    next_seq=view.head(batch.workflow_id).next_seq,
                    seq=event.seq,
                    stored=there,
                    offered=event,
                )
            )
        seen.add(key)
    return None


def _half_there(batch: Batch, view: View) -> Refused:
    next_seq = view.head(batch.workflow_id).next_seq
    return Refused(
        refusal(Answer.STALE, batch.workflow_id, batch.events, next_seq=next_seq),
    )


def _first_refusal(unit: Unit | Batch, view: View) -> Refused | None:
    for guard in unit.guards:
        head = view.head(guard.workflow_id)
        if (head.next_seq, head.digest) != (guard.next_seq, guard.digest):
            return Refused(_guard_error(guard, head))
        if guard.first_kept_seq not in (None, head.first_kept_seq):
            return Refused(_cut_since(guard, head))
    for log in unit.restated:
        head = view.head(log.workflow_id)
        if (head.next_seq, head.digest) != (log.next_seq, log.digest) or head.next_seq == 1:
            return Refused(_guard_error(Guard(*log[:3]), head))
    for taken in unit.messages_taken:
        if not view.message_waits(*taken):
            head = view.head(taken.workflow_id)
            return Refused(
                ConflictError(
                    f"workflow {taken.workflow_id!r}: message {taken.message_id!r} is not waiting;"
                    " it was taken before, or never put",
                    workflow_id=taken.workflow_id,
                    next_seq=head.next_seq,
                    seq=head.next_seq,
                )
            )
    return None


def _refused_record(unit: Unit | Batch, view: View) -> Refused | None:
    for namespace, key, value in unit.expected:
        if view.record(namespace, key) != value:
            return Refused(
                RecordChangedError(
                    f"record {key!r:.60} of {namespace!r} is no longer what was read: somebody else has set"
                    " it meanwhile; read it again and decide again",
                    namespace=namespace,
                    key=key,
                )
            )
    return None


def _refused_lifetime(unit: Unit | Batch, view: View) -> Refused | None:
    for cut in unit.cuts:
        head = view.head(cut.workflow_id)
        if (head.next_seq, head.digest) != (cut.next_seq, cut.digest) or head.next_seq == 1:
            return Refused(_guard_error(Guard(*cut[:3]), head))
        if error := cut_error(cut, head, view):
            return Refused(error)
    if unit.position is not None and unit.position != (newest := view.position()):
        return Refused(_position_error(unit, newest, view))
    return None


def _guard_error(guard: Guard, head: Head) -> ConflictError:
    return ConflictError(
        f"workflow {guard.workflow_id!r}: read at seq {guard.next_seq}, it now stands at {head.next_seq};"
        " read it again and decide again",
        workflow_id=guard.workflow_id,
        next_seq=head.next_seq,
        seq=min(guard.next_seq, head.next_seq),
    )


def _cut_since(guard: Guard, head: Head) -> ConflictError:
    return ConflictError(
        f"workflow {guard.workflow_id!r}: read from seq {guard.first_kept_seq} on, it is kept from"
        f" {head.first_kept_seq} on now; read it again and decide again",
        workflow_id=guard.workflow_id,
        next_seq=head.next_seq,
        seq=head.next_seq,
    )


def _position_error(unit: Unit | Batch, newest: int, view: View) -> ConflictError:
    workflow_id = unit.batches[0].workflow_id if unit.batches else WorkflowId("")
    next_seq = view.head(workflow_id).next_seq if unit.batches else 1
    return ConflictError(
        f"what was listed at position {unit.position} may have changed: the store is at {newest};"
        " list again and decide again",
        workflow_id=workflow_id,
        next_seq=next_seq,
        seq=next_seq,
    )
