"""A sweep: one look at all logs under a policy, and what may go goes, in small steps.

A step is some cuts in one group of the committer, or one call of `Store.reclaim`, which the store itself
bounds by what it costs: appends wait for either as they wait for each other. What is cut is out of sight at
once; the room comes back afterwards, and a sweep that was killed in between leaves that to the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import attrs
import trio

from treadle.errors import (
    AdmissionError,
    CodecError,
    CorruptStoreError,
    EventsNeededError,
    TreadleError,
)
from treadle.events import WorkflowId
from treadle.runtime.retention.needs import Checkpoint, Needs, is_what_if
from treadle.runtime.retention.policy import RetentionPolicy, RetentionRule
from treadle.runtime.retention.removing import commit
from treadle.stores import PAGE_WORKFLOWS, Head

if TYPE_CHECKING:  # a sweep is a runtime's
    from treadle.runtime.runtime import Runtime

CUTS_MAX: Final = 8
"""How many logs are cut or deleted in one group: each costs the store as much as a hundred events, and they
share the group with whoever appends."""
STEP_PAUSE_SECONDS: Final = 0.002
"""How long others have the store to themselves between two steps, at least: as long as a step takes."""

Doing = Literal["cut", "delete", "keep"]


@attrs.frozen(slots=True)
class Removal:
    """What a sweep does about a log.

    Attributes:
        workflow_id: the log.
        doing: ``"cut"``, ``"delete"``, or ``"keep"``: the policy would, and something speaks against it.
        first_kept_seq: the first seq that is kept then; for a deleted log the one after its last.
        events: how many events go out of sight.
        reason: the rule that lets them go, or what speaks against it.
    """

    workflow_id: WorkflowId
    doing: Doing
    first_kept_seq: int
    events: int
    reason: str


@attrs.define(slots=True)
class Swept:
    """What a sweep has done, or, run dry, would do.

    Attributes:
        logs_seen: how many logs it has looked at.
        logs_cut: how many have lost their beginning.
        logs_deleted: how many were deleted.
        logs_kept: of how many the policy would have removed something, had nothing spoken against it.
        events_removed: how many events went out of sight.
        events_reclaimed: of how many the room was given back, those of earlier sweeps included.
    """

    logs_seen: int = 0
    logs_cut: int = 0
    logs_deleted: int = 0
    logs_kept: int = 0
    events_removed: int = 0
    events_reclaimed: int = 0


class _Closed(NamedTuple):
    """A closed log among those that a rule keeps a number of; the one closed first is the least."""

    closed_ns: int
    workflow_id: WorkflowId
    head: Head


class Sweep:
    """One look at all logs.

    Args:
        runtime: over whose store.
        policy: what may go.
        dry: only tell what would go.
        told: called with each removal, and with what is kept against the policy.
        swept: counts; a new one if left out.
    """

    def __init__(
        self,
        runtime: Runtime,
        policy: RetentionPolicy,
        *,
        dry: bool = False,
        told: Callable[[Removal], object] = lambda _: None,
        swept: Swept | None = None,
    ) -> None:
        self.swept = Swept() if swept is None else swept
        self._runtime = runtime
        self._store = runtime.store
        self._kernel = runtime._kernel
        self._needs = Needs(runtime)
        self._policy = policy
        self._dry = dry
        self._told = told
        self._checkpoint: Checkpoint | None = None
        self._noted: dict[str, int] = {}
        self._failure: TreadleError | None = None
        self._newest: dict[str, list[_Closed]] = {}

    async def run(self) -> Swept:
        """Look at all logs, and remove what may go.

        Returns:
            What was done.

        Raises:
            StoreError: the store failed; what was done is done.
        """
        await self.look()
        if not self._dry:
            await self.reclaim()
        return self.swept

    async def look(self, seen: Callable[[int], object] = lambda _: None) -> None:
        """Look at all logs, and put out of sight what may go.

        Args:
            seen: told after each page how many logs it has looked at.

        Raises:
            StoreError: the store failed; what was done is done.
        """
        now_ns = self._kernel.wall_time_ns()
        async for heads in self._pages():
            # For a page at once: a look-up for each log would cost more than all the rest.
            self._noted = await self._needs.noted(heads[0].workflow_id, heads[-1].workflow_id)
            found = [removal for head in heads if (removal := await self._judge(head, now_ns))]
            await self._carry_out(found)
            seen(len(heads))

    async def reclaim(self, progress: Callable[[int], object] = lambda _: None) -> None:
        """Give back the room of what no log shows any more.

        Args:
            progress: told after each step how many events it has removed.

        Raises:
            StoreError: the store failed; what was done is done.
        """
        while removed := await self._store.reclaim():
            self.swept.events_reclaimed += removed
            progress(removed)
            await self.rest()

    async def rest(self) -> None:
        """Let others have the store between two steps, and the store its checkpoint.

        Raises:
            StoreError: the store failed.
        """
        await self._store.maintain()
        await self._kernel.sleep(STEP_PAUSE_SECONDS)

    # -- looking --

    def _pages(self) -> _HeadPages:
        return _HeadPages(self._runtime, self._policy.prefixes)

    async def _judge(self, head: Head, now_ns: int) -> Removal | None:
        rule = self._policy.rule_for(head.workflow_id)
        if rule is None or head.next_seq == head.first_kept_seq:
            return None
        self.swept.logs_seen += 1
        try:
            return await self._judged(head, rule, now_ns)
        except (AdmissionError, CodecError, CorruptStoreError) as error:
            # One log that cannot be read must not keep all others from being pruned.
            return _kept_because(head, str(error))

    async def _judged(self, head: Head, rule: RetentionRule, now_ns: int) -> Removal | None:
        if is_what_if(head):
            return await self._judged_what_if(head, rule, now_ns)
        if rule.deletes and (closed_ns := await self._needs.closed_ns(head)) is not None:
            if rule.is_old(closed_ns, now_ns):
                return _whole(head, f"closed for more than {rule.closed_days_max:g} days")
            if rule.closed_count_max is not None:
                oldest = self._among_newest(_Closed(closed_ns, head.workflow_id, head), rule)
                if oldest is not None:
                    return _whole(oldest.head, f"not among the last {rule.closed_count_max} closed")
        return await self._cut(head) if rule.cuts else None

    async def _judged_what_if(self, head: Head, rule: RetentionRule, now_ns: int) -> Removal | None:
        """Let a branch go that is only played, by its age alone: it is not one of those that were closed."""
        if rule.closed_days_max is None or (made_ns := await self._needs.made_ns(head)) is None:
            return None
        if not rule.is_old(made_ns, now_ns):
            return None
        return _whole(head, f"a what-if branch made more than {rule.closed_days_max:g} days ago")

    def _among_newest(self, closed: _Closed, rule: RetentionRule) -> _Closed | None:
        """Note a closed log, and tell which one is one too many."""
        newest = self._newest.setdefault(rule.prefix, [])
        if len(newest) < (rule.closed_count_max or 0):
            heappush(newest, closed)
            return None
        return heappushpop(newest, closed) if newest else closed

    async def _cut(self, head: Head) -> Removal | None:
        seq = await self._needs.cut_seq(head, self._noted.get(head.workflow_id))
        if seq == head.first_kept_seq:
            return None
        reason = "before its last baseline" if head.facts is None else f"before run {seq}"
        return Removal(head.workflow_id, "cut", seq, seq - head.first_kept_seq, reason)

    # -- doing --

    async def _carry_out(self, found: list[Removal]) -> None:
        for start in range(0, len(found), CUTS_MAX):
            step = found[start : start + CUTS_MAX]
            # For each step anew: who has registered since this sweep began is waited for as well.
            self._checkpoint = await self._needs.checkpoint()
            if self._dry:
                for removal in step:
                    await self._do(removal)
                continue
            if any(removal.doing != "keep" for removal in step):
                await self._needs.raise_horizon(self._checkpoint)
            # All of a step are in one group of the committer: they share its fsync.
            async with trio.open_nursery() as nursery:
                for removal in step:
                    self._kernel.spawn(nursery, self._do_one, removal)
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            await self.rest()

    async def _do_one(self, removal: Removal) -> None:
        """Note what fails: one error for the step, and no group of them for whoever sweeps."""
        try:
            await self._do(removal)
        except TreadleError as error:
            self._failure = self._failure or error

    async def _do(self, removal: Removal) -> None:
        if removal.doing == "keep":
            self._note(removal)
            return
        (head,) = await self._store.heads([removal.workflow_id])
        if head.next_seq == head.first_kept_seq:
            return  # deleted meanwhile
        if removal.doing == "delete" and head.next_seq != removal.first_kept_seq:
            # Judged by an event that was the last one then: it may be open again.
            self._note(_kept_because(head, "somebody has appended to it since it was looked at"))
            return
        try:
            await self._remove(head, removal)
        except (AdmissionError, EventsNeededError, CodecError, CorruptStoreError) as error:
            self._note(_kept_because(head, str(error)))
        else:
            self._note(removal)

    async def _remove(self, head: Head, removal: Removal) -> None:
        needs, seq = self._needs, removal.first_kept_seq
        if removal.doing == "delete":
            await needs.check_delete(head)
            await needs.check_parent(head)
            await needs.check_read(head, seq, self._checkpoint)
            unit = await needs.delete_unit(head)
        else:
            await needs.check_cut(head, seq)
            await needs.check_read(head, seq, self._checkpoint)
            unit = await needs.cut_unit(head, seq)
            if self._dry:
                await needs.check_shared(head, seq)
        if not self._dry:
            await commit(self._runtime, removal.workflow_id, unit)

    def _note(self, removal: Removal) -> None:
        swept = self.swept
        if removal.doing == "keep":
            swept.logs_kept += 1
        else:
            swept.events_removed += removal.events
            swept.logs_cut += removal.doing == "cut"
            swept.logs_deleted += removal.doing == "delete"
        self._told(removal)


class _HeadPages:
    """The heads of all logs under some prefixes, page by page."""

    def __init__(self, runtime: Runtime, prefixes: Iterable[str]) -> None:
        self._store = runtime.store
        self._prefixes = list(prefixes)
        self._after: WorkflowId | None = None

    def __aiter__(self) -> AsyncIterator[list[Head]]:
        return self

    async def __anext__(self) -> list[Head]:
        while self._prefixes:
            ids = await self._store.list_workflows(
                prefix=self._prefixes[0], after=self._after, hidden=True, limit=PAGE_WORKFLOWS
            )
            if ids:
                self._after = ids[-1]
                return await self._store.heads(ids)
            self._prefixes.pop(0)
            self._after = None
        raise StopAsyncIteration


def _whole(head: Head, reason: str) -> Removal:
    return Removal(head.workflow_id, "delete", head.next_seq, head.next_seq - head.first_kept_seq, reason)


def _kept_because(head: Head, reason: str) -> Removal:
    return Removal(head.workflow_id, "keep", head.first_kept_seq, 0, reason)


async def compact(sweep: Sweep, progress: Callable[[int], object] = lambda _: None) -> int:
    """Write the store's events anew where removed ones have left holes, in small steps.

    Args:
        sweep: whose store, and whose pauses.
        progress: told after each step how many positions further it has come.

    Returns:
        How many steps it took.

    Raises:
        StoreError: the store failed; what was done is done.
    """
    steps, after = 0, 0
    while True:
        then = await sweep._store.compact(after)
        steps += 1
        await sweep.rest()
        if then is None:
            return steps
        progress(then - after)
        after = then
