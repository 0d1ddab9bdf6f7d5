"""Clients of plain logs under a retention policy: they append, fold, keep states, close and copy logs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from treadle.errors import UsageError
from treadle.events import EventKind, NewEvent, WorkflowEvent, WorkflowId
from treadle.log import Fold
from treadle.runtime import Runtime
from treadle.runtime.beginning import begin_log
from treadle.runtime.retention import RetentionPolicy, RetentionRule
from treadle.sim.workloads.durable_clients import DurableClient
from treadle.sim.workloads.known import mark_in, mark_of_branch
from treadle.sim.workloads.marked import payload_of

SWEEP_SECONDS: Final = 15
"""How long after one sweep the next one begins: often enough to meet everything else that happens."""
SHORT_SECONDS: Final = 60
"""For how long closed workflows are kept that do not wait for signals: shorter than some branches wait."""
CLOSED_MAX: Final = 2
"""How many closed plain logs are kept."""
POLICY: Final = RetentionPolicy(
    (
        RetentionRule(),
        RetentionRule(prefix="s", closed_days_max=SHORT_SECONDS / 86_400),
        RetentionRule(prefix="m", closed_count_max=CLOSED_MAX),
        RetentionRule(prefix="c", cuts=False),
    ),
    pass_seconds=SWEEP_SECONDS,
)
"""Logs lose what lies before their last baseline, but those that began in the middle; some go when closed."""
MARKS: Final[Fold[list[str]]] = Fold(
    "treadle.sim.marks",
    1,
    list,
    lambda marks, event: [*marks, mark_in(event)],
    state=list[str],
    snapshot_every=3,
)
"""The marks of all events there have ever been: whatever was cut, a state of it tells."""
LENGTHS: Final[Fold[int]] = Fold("treadle.sim.length", 1, int, lambda count, _: count + 1, state=int)


class RetainingClient(DurableClient):
    """One client of plain logs; what it does to durable workflows it leaves to others."""

    def deeds(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Give what it does, each as often as it is to be drawn."""
        return (
            self.append,
            self.append,
            self.append,
            self.baseline,
            self.baseline,
            self.replay,
            self.replay,
            self.snapshot,
            self.prune,
            self.branch_log,
            self.begin_in_the_middle,
            self.close_one,
            self.close_one,
            self.read,
            self.signal_in_transaction,
        )

    def _any_log(self) -> str:
        plain = [name for name in self._notes.plain if name[0] != "m"]
        return self._draws.one_of(plain) if plain and self._draws.below(3) else self._plain_log()

    async def append(self) -> None:
        """Append some events, at most once."""
        log = self._any_log()
        await self._append(log, [self._mark(log) for _ in range(self._draws.between(1, 2))])

    async def _append(self, log: str, marks: list[str]) -> None:
        events = [NewEvent(EventKind.CUSTOM, payload_of(log, mark)) for mark in marks]
        most = self._world.config.batch_events_max
        answer = await self._ask(lambda runtime: runtime.workflow(log).extend(events[:most]))
        if answer.value is not None:
            self._notes.saw(log, answer.value.events)
        self._noted_append(log, marks[:most], answer.outcome)
        self._note("append", log, answer)

    async def baseline(self) -> None:
        """Append a baseline, from which on retention may cut; of one fold, or of two."""
        log, folds = self._any_log(), (MARKS, LENGTHS)[: self._draws.between(1, 2)]
        answer = await self._ask(lambda runtime: runtime.workflow(log).baseline(*folds))
        if answer.value is not None:
            self._notes.saw(log, answer.value.events)
        self._note("baseline", log, answer)

    async def replay(self) -> None:
        """Replay a log by a fold, from whatever is kept of it, which may leave a snapshot."""
        log = self._any_log()
        answer = await self._ask(lambda runtime: runtime.workflow(log).replay(MARKS))
        if answer.value is not None:
            self._notes.replays.setdefault(log, []).append(answer.value)
        self._note("replay", log, answer)

    async def snapshot(self) -> None:
        """Keep the state of a log."""
        log = self._any_log()
        self._note("snapshot", log, await self._ask(lambda runtime: runtime.workflow(log).snapshot(MARKS)))

    async def prune(self) -> None:
        """Ask for a cut oneself, beside the sweeps; or for one where no replay could begin."""
        log = self._draws.one_of([*self._notes.plain, *self._notes.durable, "l0"])
        seen = list(self._notes.seen.get(log, ()))
        before = self._draws.one_of(seen) if seen and self._draws.below(2) else None
        if log[0] != "c":
            self._note("prune", log, await self._ask(lambda rt: rt.workflow(log).prune(before)))

    async def branch_log(self) -> None:
        """Branch a plain log at any event that it keeps; what it shares must stay."""
        parent = self._any_log()
        events = await self._read(parent)
        if not events or parent[0] == "c":
            return
        at, to = self._draws.one_of(events).seq, f"p{self._notes.next_number()}"

        async def call(runtime: Runtime) -> bool:
            await runtime.workflow(parent).branch(at=at, to=to)
            return True

        answer = await self._ask(call)
        self._note("branch log", parent, answer)
        self._notes.own_from[to] = at + 1
        if answer.value is not None:
            self._notes.plain[to] = None
            self._notes.saw(to, [event for event in events if event.seq <= at])
            self._notes.acknowledged.setdefault(to, []).append(mark_of_branch(parent, at))

    async def begin_in_the_middle(self) -> None:
        """Begin a log with a copy of another's last events, under the digest that stood before them."""
        source = self._any_log()
        share, to = self._draws.fraction(), f"c{self._notes.next_number()}"
        copied: list[WorkflowEvent] = []

        async def call(runtime: Runtime) -> bool:
            (head,) = await runtime.store.heads([WorkflowId(source)])
            events = await runtime.workflow(source).read(head.first_kept_seq).list()
            first = int(share * len(events))
            before = head.digest_before
            if first:
                (row,) = await runtime.store.audit(WorkflowId(source), events[first].seq - 2, limit=1)
                before = row.digest
            copied[:] = events[first:]
            if not copied:
                raise NothingToCopyError("there is nothing to copy")
            await begin_log(runtime, WorkflowId(to), copied, before)
            return True

        answer = await self._ask(call)
        self._note("begin", to, answer)
        if copied:
            self._notes.began[to] = self._notes.own_from[to] = copied[0].seq
        if answer.value is not None:
            self._notes.plain[to] = None
            self._notes.saw(to, copied)

    async def close_one(self) -> None:
        """Close a log of one's own by an event, so that those closed before it may go."""
        log = f"m{self._notes.next_number()}"
        await self._append(log, [self._mark(log)])
        self._notes.closed[log] = None
        self._notes.plain[log] = None

        async def call(runtime: Runtime) -> WorkflowEvent:
            done = await runtime.workflow(log).append(EventKind.WORKFLOW_COMPLETED, payload_of(log, "closed"))
            return done.events[0]

        answer = await self._ask(call)
        if answer.value is not None:
            self._notes.closed[log] = answer.value.timestamp
        elif answer.outcome == "refused":
            del self._notes.closed[log]
        self._note("close", log, answer)


class NothingToCopyError(UsageError):
    """What a client raises who finds nothing to begin a log with."""
