"""Playing a what-if branch: its log read, its code run on answers, what comes of it appended to it.

No runner has a part in this, and none is needed: the branch is its player's. Two that play it at once are
kept apart by the store: what is appended was decided on the log's last event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from treadle.engine import (
    ActivityDefinition,
    Execution,
    Registry,
    Status,
    WorkflowDefinition,
)
from treadle.engine.imagining import Answers, Imagined, OpenCall, check_answers, check_used
from treadle.engine.marks import goes_below
from treadle.engine.origins import decoded_events
from treadle.errors import ConflictError, UsageError
from treadle.events import WorkflowEvent, WorkflowId, check_timestamp, trusted_event
from treadle.kernel import Kernel
from treadle.log import chain_digest
from treadle.payloads import CodecContext
from treadle.runtime.durable import refusing
from treadle.runtime.durable.beginning_branches import read_all
from treadle.runtime.durable.replies import Promise
from treadle.runtime.durable.stage import BURIAL_LOOKS_MAX, BURIAL_SECONDS, ForeignScopeError, Stage
from treadle.runtime.durable.wire import HELD, WHAT_IF
from treadle.runtime.inbox import Proposal
from treadle.stores import Batch, Guard, Head, HeadFacts, Record, Unit

if TYPE_CHECKING:  # it plays for a service
    from treadle.runtime.durable.service import DurableService

T = TypeVar("T")


@attrs.frozen(slots=True)
class WhatIf:
    """What a play of a what-if branch has come to.

    Attributes:
        workflow_id: the branch.
        status: ``"running"`` when it has not ended, otherwise how it has.
        events: what was appended to the branch.
        stopped_at: the call that had no answer, at which the play was stopped; None when it went as far as it
            could.
        waits_for: what it waits for, in words, a line each.
        run: the seq that names its run.
    """

    workflow_id: WorkflowId
    status: str
    events: tuple[WorkflowEvent, ...]
    stopped_at: OpenCall | None
    waits_for: tuple[str, ...]
    run: int


async def play(
    service: DurableService,
    workflow_id: WorkflowId,
    answers: Answers,
    *,
    workflows: Iterable[WorkflowDefinition[..., Any]],
    activities: Iterable[ActivityDefinition[..., Any]],
    until_ns: int | None,
) -> WhatIf:
    """Play a what-if branch on; see `WorkflowHandle.what_if`.

    Args:
        service: whose store and code it is.
        workflow_id: the branch.
        answers: what its calls come to.
        workflows: other code than the service's, by name.
        activities: likewise.
        until_ns: no timer later than that fires.

    Returns:
        What it has come to.
    """
    if until_ns is not None:
        check_timestamp(until_ns)
    head = await service.head(workflow_id)
    facts = _playable(head)
    events = await _read(service, head, facts)
    check_answers(answers, workflow_id, events)
    registry = _registry(service, workflows, activities)
    definition = registry.workflow(facts.name)
    player = _Player(
        Execution(definition, workflow_id, registry, service.converter, first_seq=events[0].seq),
        events,
        answers,
        until_ns,
    )
    found = await _on_a_stage(service, workflow_id, player)
    try:
        await _append(service, head, facts, found)
    except ConflictError as error:
        if (await service.head(workflow_id)).facts is None:
            raise refusing.not_found(workflow_id) from error
        raise
    return found


def _playable(head: Head) -> HeadFacts:
    facts = head.facts
    if facts is None:
        raise (
            refusing.plain_log(head.workflow_id)
            if head.next_seq > head.first_kept_seq
            else refusing.not_found(head.workflow_id)
        )
    if facts.details != WHAT_IF:
        raise UsageError(
            f"{head.workflow_id!r} is no what-if branch: what happens to it really happens; branch it, and"
            " play the branch"
        )
    if Status(facts.status).is_closed:
        raise refusing.closed(head.workflow_id, facts.status)
    return facts


async def _read(service: DurableService, head: Head, facts: HeadFacts) -> list[WorkflowEvent]:
    store, last = service.store, head.next_seq - 1
    events = await read_all(store, head, facts.run_start_seq, last)
    if goes_below(events):
        events = await read_all(store, head, head.first_kept_seq, last)
    return list(decoded_events(head.workflow_id, events, service.codecs))


def _registry(
    service: DurableService,
    workflows: Iterable[WorkflowDefinition[..., Any]],
    activities: Iterable[ActivityDefinition[..., Any]],
) -> Registry:
    """Put other code in the place of what has the same name here."""
    other, acts = Registry(workflows, activities, service.converter), service.registry.activities
    return Registry(
        {**service.registry.workflows, **other.workflows}.values(),
        {**acts, **other.activities}.values(),
        service.converter,
    )


class _Player:
    """Replays, then goes on step by step; every method is called on a stage."""

    def __init__(
        self, execution: Execution, events: Sequence[WorkflowEvent], answers: Answers, until_ns: int | None
    ) -> None:
        self.execution = execution
        self._events = events
        self._answers = answers
        self._until_ns = until_ns
        self._lacking: tuple[WorkflowEvent, ...] = ()
        self._imagined: Imagined | None = None

    def step(self) -> bool:
        if self._imagined is None:
            self.execution.replay(self._events)
            activation = self.execution.finish_replay()
            self._lacking = () if activation is None else activation.events
            events = (*self._events, *self._lacking)
            self._imagined = Imagined(self.execution, events, self._answers, until_ns=self._until_ns)
            return True
        return self._imagined.step()

    def told(self) -> WhatIf:
        imagined, execution = self._imagined, self.execution
        assert imagined is not None  # noqa: S101  # the pair of step()
        workflow_id = WorkflowId(execution.workflow_id)
        check_used(imagined, self._answers, workflow_id)
        return WhatIf(
            workflow_id,
            execution.status.name.lower(),
            (*self._lacking, *imagined.events),
            imagined.stopped_at,
            () if execution.status.is_closed else tuple(execution.describe().waiting_for),
            execution.run_start_seq,
        )


class _Turns:
    """Runs workflow code where it always runs: in a task that can be thrown away, one turn after another."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.stage = Stage(
            kernel, has_room=lambda: True, wait_room=kernel.checkpoint_if_cancelled, closing=lambda: None
        )

    async def take(self, turn: Callable[[], T]) -> T:
        """Take one turn, and wait until it is over; what it raises is raised here."""
        promise = Promise(self._kernel)
        self.stage.post(self._guarded, turn, promise)
        value, error = await promise.wait()
        if error is not None:
            raise error
        return value  # type: ignore[no-any-return]

    def _guarded(self, turn: Callable[[], object], promise: Promise) -> None:
        try:
            promise.give((self.stage.guard(turn), None))
        except Exception as error:  # noqa: BLE001  # it is the caller's
            for nursery in error.nurseries if isinstance(error, ForeignScopeError) else ():
                nursery.cancel_scope.cancel()  # here, where the task that they hang on still lives
            promise.give((None, error))


async def _on_a_stage(service: DurableService, workflow_id: WorkflowId, player: _Player) -> WhatIf:
    turns, result, errors = _Turns(service.kernel), [], []
    async with trio.open_nursery() as nursery:
        service.kernel.spawn(nursery, turns.stage.run)
        # Told outside, where no group is made of it.
        try:
            while await turns.take(player.step):
                pass
            result.append(await turns.take(player.told))
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            with trio.CancelScope(shield=True):
                await _throw_away(service.kernel, turns, player.execution, errors)
            nursery.cancel_scope.cancel()
    if errors:
        if isinstance(errors[0], ForeignScopeError):
            raise refusing.foreign(workflow_id, errors[0], player.execution.definition.code_place)
        raise errors[0]
    return result[0]


async def _throw_away(
    kernel: Kernel, turns: _Turns, execution: Execution, errors: Sequence[Exception]
) -> None:
    """Take the code out of memory; what it has to say while it is thrown away is nothing to anybody."""
    try:
        await _let_end(kernel, errors)
        with suppress(Exception):
            await turns.take(execution.evict)
    finally:
        # Also when Ctrl-C, or the end of a world's process, has ended this wait: left to the garbage
        # collector, its clean-up would run at any time and in anybody's task.
        if not execution.is_spoilt:
            with suppress(Exception):
                turns.stage.guard(execution.evict)


async def _let_end(kernel: Kernel, errors: Sequence[Exception]) -> None:
    """Let tasks of Trio's end that code hangs on; it must not be thrown away before."""
    foreign = [error for error in errors if isinstance(error, ForeignScopeError)]
    nurseries = [nursery for error in foreign for nursery in error.nurseries]
    for _ in range(BURIAL_LOOKS_MAX):
        if not any(nursery.child_tasks for nursery in nurseries):
            return
        await kernel.sleep(BURIAL_SECONDS)


async def _append(service: DurableService, head: Head, facts: HeadFacts, found: WhatIf) -> None:
    """Append what was played, a caller's batch at a time; the head facts come with the last."""
    if not found.events:
        return
    workflow_id, digest = head.workflow_id, head.digest
    most = service.config.batch_events_max
    events = [_encoded(service, workflow_id, event) for event in found.events]
    for start in range(0, len(events), most):
        part = tuple(events[start : start + most])
        digests = []
        before = digest
        for event in part:
            digest = chain_digest(digest, event)
            digests.append(digest)
        is_last = start + most >= len(events)
        kept, records = (_facts(facts, found), _records(found)) if is_last else (None, ())
        batch = Batch(workflow_id, before, part, tuple(digests), facts=kept)
        # A deleted log stands where it stood, so that no batch tells: what was played would begin nowhere.
        guard = Guard(workflow_id, part[0].seq, before, head.first_kept_seq)
        await service.commit(Proposal(None), Unit((batch,), (guard,), records=records))


def _encoded(service: DurableService, workflow_id: WorkflowId, event: WorkflowEvent) -> WorkflowEvent:
    if not service.codecs:
        return event
    payload = service.codecs.encode(event.payload, CodecContext(workflow_id, event.seq))
    return trusted_event(event.seq, event.timestamp, event.kind, payload)


def _facts(before: HeadFacts, found: WhatIf) -> HeadFacts:
    status = Status[found.status.upper()]
    return before._replace(status=int(status if status.is_closed else Status.HELD), run_start_seq=found.run)


def _records(found: WhatIf) -> tuple[Record, ...]:
    is_closed = Status[found.status.upper()].is_closed
    return (Record(HELD, found.workflow_id.encode(), None),) if is_closed else ()
