"""Logs' whole lives: clients that branch, cut and delete them, and transact over several, under all faults.

What is cut can be read by nobody at the end, so whoever cuts reads first, in the same operation; logs that
are deleted through a handle have one writer, who knows all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import trio

from treadle.checkers import Branching, Violation
from treadle.errors import EventsSharedError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.runtime import Runtime
from treadle.sim.workloads.known import Keyed, Known, mark_in, mark_of_branch
from treadle.sim.workloads.lifetime_checks import check_lifetimes
from treadle.sim.workloads.marked import marked_batch, payload_of
from treadle.sim.workloads.transacting import SKEWED, TICKS, TWINS, Ticks, TransactingClient
from treadle.sim.world import Answer, World
from treadle.stores import Branch, Cut, Guard, Head, Refused, Store, Unit

STEP_EVENTS_MAX: Final = 20
"""How many events a step of the housekeeping moves at most: small, so that much happens between two steps."""
STEP_SECONDS_MAX: Final = 20
_MILLE: Final = 1_000


class LifetimeClient(TransactingClient):
    """One client of this workload."""

    def deeds(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """Give what it does, each as often as it is to be drawn."""
        return (
            self.append,
            self.append,
            self.append_with_key,
            self.append_with_known_key,
            self.read_kept,
            self.read_kept,
            self.branch,
            self.branch,
            self.branch_in_unit,
            self.cut,
            self.cut,
            self.delete,
            self.transact,
            self.transact,
            self.twins,
            self.skew,
            self.skew,
            self.tick,
            self.claim,
            self.claim,
        )

    def _log(self) -> str:
        number = self._draws.below(2 * self._world.plan.workflows)
        kind, number = ("w", number // 2) if number % 2 else ("b", self._draws.below(self._branches_max))
        name = f"{kind}{number}"
        self._known.names[name] = None
        return name

    @property
    def _branches_max(self) -> int:
        return 3 * self._world.plan.workflows

    def _any_log(self) -> str:
        if self._draws.below(4):
            return self._log()
        return self._draws.one_of((*TWINS, *SKEWED, *self._known.private))

    # -- reading and writing --

    async def read_kept(self) -> None:
        """Read all that a log keeps, from where it is thought to begin."""
        name = self._any_log()
        first = self._draws.one_of((1, self._known.cuts_begun.get(name, 1), self._draws.between(1, 20)))
        whole = self._draws.below(3) == 0
        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: _read(runtime, name, None if whole else first))
        reads: list[dict[str, Any]] = []
        if answer.value is not None:
            events: list[WorkflowEvent] = answer.value
            if whole and events:
                first = events[0].seq
            marks = [mark_in(event) for event in events]
            self._known.saw(name, first, marks)
            # Where a log without events begins, reading all of it does not say.
            reads = [] if whole and not events else [{"workflow": name, "from": first, "marks": marks}]
        self._note(begin, answer, [], reads)

    async def append_with_key(self) -> None:
        """Append an event under a key, once."""
        name, marks = self._log(), self._new_marks(1)
        key = marks[0].encode()
        answer, begin = await self._append_keyed(name, marks[0], key)
        self._check_appended(name, marks, answer, repeated=False)
        self._note(begin, answer, [(name, marks)], readmitted=True)
        self._remember(name, key, marks[0], answer)

    def _remember(self, name: str, key: bytes, mark: str, answer: Answer[Any]) -> None:
        if answer.value is not None:
            self._known.keyed.append(Keyed(name, key, mark, answer.value.seq))

    async def _append_keyed(self, name: str, mark: str, key: bytes) -> tuple[Answer[Any], int]:
        begin = self._world.recorder.now()
        payload = payload_of(name, mark)
        answer = await self._ask(lambda runtime: runtime.workflow(name).append("custom", payload, key=key))
        return answer, begin

    async def append_with_known_key(self) -> None:
        """Append under a key that its log, or a branch of it, knows unless its event was cut."""
        known = self._known
        if not known.keyed:
            return
        old = known.keyed.pop(self._draws.below(len(known.keyed)))
        branches = self._branches_of(old)
        name = self._draws.one_of([old.name, *branches])
        repeated = await self._append_known(old, name, branches.get(name, 1))
        if repeated:
            known.keyed.append(old)
        elif repeated is False and name == old.name:
            # Its event was cut; a branch that shares it has the key as ever.
            for branch, cut in branches.items():
                if cut <= old.seq:
                    await self._append_known(old, branch, cut)

    async def _append_known(self, old: Keyed, name: str, cut_before: int) -> bool | None:
        """Append under a known key; tell whether it was, unless nobody knows.

        That it is not is right where a cut has taken its event, on a branch also one before it began.
        """
        known, marks = self._known, self._new_marks(1)
        is_gone = known.cuts_ended.get(name, 1) > old.seq
        answer, begin = await self._append_keyed(name, marks[0], old.key)
        repeated = answer.value is not None and answer.value.repeated
        self._note(begin, answer, [] if repeated else [(name, marks)])
        if repeated:
            self._check_appended(old.name, [old.mark], answer, repeated=True, at=old.seq)
            if is_gone:
                self._lie(name, "retention", f"the key of {old.mark} is known, whose event had been cut")
        elif answer.value is not None:
            may_be_gone = max(known.cuts_begun.get(name, 1), cut_before) > old.seq
            if not may_be_gone:
                self._lie(name, "branches", f"the key of {old.mark} is not known, whose event nobody has cut")
            if name == old.name:
                self._remember(name, old.key, marks[0], answer)
        return None if answer.value is None else repeated

    def _branches_of(self, old: Keyed) -> dict[str, int]:
        """Name the branches that share an event, unless it was cut before they began: below what is told."""
        known = self._known
        return {
            one.workflow: known.begun_marks[one.mark]
            for name in known.names
            for one in known.began(name)
            if one.parent == old.name and one.at >= old.seq and one.mark in known.begun_marks
        }

    # -- branches --

    async def branch(self) -> None:
        """Branch a log at its end, at 1, anywhere, or past its end; onto an id that may be in use."""
        known, parent, to = self._known, self._any_log(), f"b{self._draws.below(self._branches_max)}"
        at = await self._place_in(parent)
        if at is None or parent == to or (parent, at) in known.pairs:
            return
        known.pairs.add((parent, at))
        branching = Branching(to, parent, at, mark_of_branch(parent, at))
        known.tries(branching)
        begin = self._world.recorder.now()

        async def call(runtime: Runtime) -> bool:
            await runtime.workflow(parent).branch(at=at, to=to)
            return True

        answers = await self._twice(call) if self._world.arrives_twice() else [await self._ask(call)]
        answer = min(answers, key=lambda one: ("ok", "unknown", "refused").index(one.outcome))
        if sum(one.outcome == "ok" for one in answers) > 1:
            self._lie(to, "branches", f"it was begun twice as a branch of {parent} at {at}")
        self._note_branch(begin, answer, branching, [])

    async def branch_in_unit(self) -> None:
        """Branch past the runtime, and write to another log in the same unit, guarding a third."""
        known, parent, to = self._known, self._any_log(), f"b{self._draws.below(self._branches_max)}"
        beside, guarded, marks = self._log(), self._log(), self._new_marks(2)
        at = await self._place_in(parent)
        if at is None or parent in {to, beside} or to == beside:
            return
        own = self._new_marks(1)[0]
        branching = Branching(to, parent, at, own)
        known.tries(branching)
        begin, seen = self._world.recorder.now(), list[Head]()

        async def call(runtime: Runtime) -> list[Head]:
            seen[:] = await runtime.store.heads([WorkflowId(name) for name in (beside, guarded, parent)])
            unit = await _branching_unit(runtime.store, branching, seen, marks)
            (outcome,) = await runtime.store.append([unit])
            if isinstance(outcome, Refused):
                raise outcome.error
            return seen

        answer = await self._ask(call)
        reads = []
        if answer.value is not None and guarded not in {beside, to, parent}:
            reads = [{"workflow": guarded, "next_seq": seen[1].next_seq}]
        seq = seen[0].next_seq if answer.value is not None else None
        self._note_branch(begin, answer, branching, reads, [(beside, marks)], [seq])

    def _note_branch(
        self,
        begin: int,
        answer: Answer[Any],
        branching: Branching,
        reads: Sequence[dict[str, Any]],
        written: Sequence[tuple[str, list[str]]] = (),
        seqs: Sequence[int | None] = (),
    ) -> None:
        if answer.outcome == "ok":
            self._known.begun_marks[branching.mark] = self._known.cuts_begun.get(branching.parent, 1)
        told = {
            "workflow": branching.workflow,
            "parent": branching.parent,
            "at": branching.at,
            "mark": branching.mark,
        }
        self._note(begin, answer, written, reads, seqs, branches=[told])

    async def _place_in(self, name: str) -> int | None:
        next_seq = await self._next_seq(name)
        if next_seq is None:
            return None
        anywhere = self._draws.between(1, next_seq)
        return self._draws.one_of((1, max(1, next_seq - 1), anywhere, anywhere, anywhere, next_seq))

    # -- cuts --

    async def cut(self) -> None:
        """Take a log's beginning away, or all of it, having read what goes."""
        name, known = self._any_log(), self._known
        if name in known.private:
            return
        share, whole = self._draws.fraction(), self._draws.below(5) == 0
        pause = self._draws.between(0, 3 * _MILLE) / _MILLE if self._draws.below(2) else 0
        begin, seen, cut = self._world.recorder.now(), list[str](), list[Cut]()
        first = 1

        async def call(runtime: Runtime) -> bool:
            nonlocal first
            (head,) = await runtime.store.heads([WorkflowId(name)])
            first = head.first_kept_seq
            events = await _up_to(runtime.store, head)
            seen[:] = [mark_in(event) for event in events]
            known.saw(name, first, seen)
            from_seq = head.next_seq if whole else first + int(share * len(events))
            cut[:] = [Cut(head.workflow_id, head.next_seq, head.digest, from_seq)]
            known.cut_begins(name, from_seq)
            if pause:
                await self._world.kernel.sleep(pause)
            (outcome,) = await runtime.store.append([Unit(cuts=tuple(cut))])
            if isinstance(outcome, Refused):
                raise outcome.error
            return True

        answer = await self._ask(call)
        if answer.value is not None:
            known.cut_ended(name, cut[0].first_kept_seq)
        if isinstance(answer.error, EventsSharedError):
            self._check_sharers(name, answer.error)
        reads = [] if answer.value is None else [{"workflow": name, "from": first, "marks": seen}]
        cuts = [{"workflow": name, "from": cut[0].first_kept_seq}] if cut else []
        self._note(begin, answer, [], reads, cuts=cuts)

    def _check_sharers(self, name: str, error: EventsSharedError) -> None:
        strangers = [one for one in error.branches if not self._known.began(one)]
        if strangers:
            self._lie(name, "retention", f"not cut for the sake of {strangers}, which are no branches")

    async def delete(self) -> None:
        """Fill a log of one's own, delete it, and go on with it."""
        known = self._known
        name = f"d{self.number}.{self._marks}"
        known.names[name] = None
        count = 0
        for _ in range(self._draws.between(1, 3)):
            marks = self._new_marks(2)
            if not await self._append_own(name, marks, count + 1):
                return
            count += len(marks)
        known.private.append(name)
        await self._world.kernel.sleep(self._draws.between(0, 60 * _MILLE) / _MILLE)
        begin = self._world.recorder.now()
        known.cut_begins(name, count + 1)

        async def call(runtime: Runtime) -> bool:
            await runtime.workflow(name).delete()
            return True

        answer = await self._ask(call)
        reads = [{"workflow": name, "next_seq": count + 1}] if answer.value else []
        self._note(begin, answer, [], reads, cuts=[{"workflow": name, "from": count + 1}])
        if answer.value:
            known.cut_ended(name, count + 1)
            await self._append_own(name, self._new_marks(2), count + 1)

    async def _append_own(self, name: str, marks: list[str], seq: int) -> bool:
        answer = await self._append(name, marks)
        if answer.value is None:
            return False
        self._known.saw(name, answer.value.events[0].seq, marks)
        if answer.value.events[0].seq != seq:
            self._lie(
                name,
                "retention",
                f"{marks} belong at seq {seq}, and are told to stand at {answer.value.events[0].seq}",
            )
        return True


async def _read(runtime: Runtime, name: str, first: int | None) -> list[WorkflowEvent]:
    """Read a log from a seq on, or all that it keeps."""
    if first is not None:
        return await runtime.workflow(name).read(first).list()

    def collect(events: list[WorkflowEvent], event: WorkflowEvent) -> list[WorkflowEvent]:
        return [*events, event]

    (replayed,) = [one async for one in runtime.replay_all(collect, list, [name])]
    return replayed.state


async def _up_to(store: Store, head: Head) -> list[WorkflowEvent]:
    events: list[WorkflowEvent] = []
    seq = head.first_kept_seq
    while seq < head.next_seq:
        page = await store.read(head.workflow_id, seq, head.next_seq - 1)
        events += page
        seq = page[-1].seq + 1
    return events


async def _branching_unit(
    store: Store, branching: Branching, heads: Sequence[Head], marks: Sequence[str]
) -> Unit:
    """Begin a branch and write to the first log of `heads`, while the second one is unchanged."""
    beside, guarded, parent = heads
    to, at = WorkflowId(branching.workflow), branching.at
    rows = await store.audit(parent.workflow_id, at - 1, limit=1)
    # Without a row any digest will do: the store says what is wrong with the seq.
    digest = rows[0].digest if rows and rows[0].seq == at else parent.digest
    batches = (
        marked_batch(to, digest, at + 1, [branching.mark]),
        marked_batch(beside.workflow_id, beside.digest, beside.next_seq, marks),
    )
    apart = guarded.workflow_id not in {beside.workflow_id, to, parent.workflow_id}
    guards = (Guard(guarded.workflow_id, guarded.next_seq, guarded.digest),) if apart else ()
    return Unit(batches, guards, branches=(Branch(to, parent.workflow_id, at, digest),))


class Lifetimes:
    """The workload."""

    workflows = ()
    activities = ()
    foreign_writers = True
    promises: Mapping[str, str] = {
        "branches": "a branch is its parent's first events, then its own",
        "transactions": "whole or not at all, on what was read",
        "retention": "what was cut stays cut, all else is kept",
        "gap_free": "every log's seqs follow one another, from the first that it keeps",
        "chain": "every log's digests lead to its head, a branch's from its parent's",
        "shown": "lists and the feed show each log, and each event that is its own, once",
        "structure": "the store finds nothing wrong in itself",
    }

    def __init__(self) -> None:
        self.known = Known()
        self.ticks = Ticks()
        self.made: list[LifetimeClient] = []

    async def clients(self, world: World) -> None:
        """Let clients live, and somebody clean up behind them.

        Args:
            world: where.
        """
        count = range(world.plan.clients)
        self.made = [LifetimeClient(world, number, self.known, self.ticks) for number in count]
        self.known.names.update(dict.fromkeys((*TWINS, *SKEWED, TICKS)))
        async with trio.open_nursery() as nursery:
            world.kernel.spawn(nursery, _keep_house, world)
            async with trio.open_nursery() as clients:
                for client in self.made:
                    world.kernel.spawn(clients, client.live)
            world.be_calm()
            nursery.cancel_scope.cancel()

    async def check(self, world: World, store: Store) -> list[Violation]:
        """Hold every promise against what is left, and write the logs into the history.

        Args:
            world: where it happened.
            store: what is left.

        Returns:
            What was broken.
        """
        lies = [lie for client in self.made for lie in client.lies]
        return lies + await check_lifetimes(world, store, self.known, self.ticks)


async def _keep_house(world: World) -> None:
    """Remove what no log shows, and write events anew, in small steps all the time."""
    draws, after = world.draws("housekeeping"), 0
    while True:
        await world.kernel.sleep(draws.between(0, STEP_SECONDS_MAX * _MILLE) / _MILLE)
        process, most = draws.one_of(world.processes), draws.between(1, STEP_EVENTS_MAX)
        if draws.below(2):
            await world.ask(process, lambda runtime: runtime.store.reclaim(events_max=most))  # noqa: B023
        else:
            answer = await world.ask(
                process,
                lambda runtime: runtime.store.compact(after, events_max=most),  # noqa: B023
            )
            after = answer.value or 0


def make_workload() -> Lifetimes:
    """Make this workload."""
    return Lifetimes()
