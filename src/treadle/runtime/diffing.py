"""Two logs held against each other: where they part, and what each of them holds from there on.

Digests find the place: two chains that agree at a seq agree on everything before, so a search by halves needs
a few digests and no events, however long the part is that a branch shares with its parent. Chains that never
agree, because the logs have different ids, are compared event by event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, Self, TypeVar

import attrs

from treadle.errors import InvalidValueError, WorkflowNotFoundError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.runtime.replaying import fold
from treadle.stores import Head, Store

S = TypeVar("S")

_SIDES: Final = (0, 1)


@attrs.frozen(slots=True)
class Parting:
    """Where two logs part.

    Attributes:
        first_seq: the first seq that both keep.
        equal_to_seq: the last seq up to which both hold the same; one below `first_seq` for none.
        left_next_seq: the seq behind the left log's last event.
        right_next_seq: the seq behind the right log's last event.
    """

    first_seq: int
    equal_to_seq: int
    left_next_seq: int
    right_next_seq: int

    @property
    def differs_at(self) -> int | None:
        """The first seq at which one holds what the other does not; None when there is none."""
        seq = self.equal_to_seq + 1
        return None if self.left_next_seq == self.right_next_seq == seq else seq


@attrs.frozen(slots=True)
class DiffRow(Generic[S]):
    """What stands at one seq.

    Attributes:
        seq: the seq.
        left: the left log's event; None where it has ended.
        right: the right log's event; None where it has ended.
        same: whether both stand there and are equal.
        left_state: the state after it, as the reducer returned it; None without one.
        right_state: the same of the right log.
    """

    seq: int
    left: WorkflowEvent | None
    right: WorkflowEvent | None
    same: bool
    left_state: S | None = None
    right_state: S | None = None


class LogDiff(Generic[S]):
    """Streams what two logs hold from where they part; from `Runtime.diff`. Safe to leave at any time.

    The heads are read once: what is appended afterwards is not in it.

    Args:
        store: read from.
        left: one log.
        right: the other.
        apply: the reducer, or None.
        make_state: makes each log's first state.
        times: whether event times count.
        page_events: how many events one page has.

    Attributes:
        names: the two logs.
    """

    def __init__(
        self,
        store: Store,
        left: WorkflowId,
        right: WorkflowId,
        apply: Callable[[Any, WorkflowEvent], Any] | None,
        make_state: Callable[[], Any] | None,
        *,
        times: bool,
        page_events: int,
    ) -> None:
        self._store = store
        self.names = (left, right)
        self._apply = apply
        self._make_state = make_state
        self._times = times
        self._page_events = page_events
        self._parting: Parting | None = None
        self._states: list[Any] = [None, None]
        self._pages: tuple[deque[WorkflowEvent], deque[WorkflowEvent]] = (deque(), deque())
        self._seq: int | None = None

    def __aiter__(self) -> Self:
        """Iterate over the rows."""
        return self

    async def parting(self) -> Parting:
        """Tell where the logs part.

        Returns:
            The place.

        Raises:
            WorkflowNotFoundError: one of them has no events.
            StoreError: the store could not be read.
        """
        if self._parting is None:
            heads = await self._store.heads(self.names)
            for head in heads:
                if head.next_seq == head.first_kept_seq:
                    raise WorkflowNotFoundError(
                        f"workflow {head.workflow_id!r} has no events: there is nothing to compare",
                        workflow_id=head.workflow_id,
                    )
            self._parting = await self._find(heads[0], heads[1])
        return self._parting

    async def __anext__(self) -> DiffRow[S]:
        """Give what stands at the next seq.

        Returns:
            Both events, and both states when there is a reducer.

        Raises:
            StopAsyncIteration: both logs have ended.
            WorkflowNotFoundError: one of them has no events.
            EventsPrunedError: with a reducer: the beginning of one was removed, so it has no state.
            StoreError: the store could not be read.
            Exception: whatever the reducer raises, with a note that names workflow and seq.
        """
        parting = await self.parting()
        if self._seq is None:
            await self._fold_shared(parting)
            self._seq = parting.equal_to_seq + 1
        seq = self._seq
        if seq >= max(parting.left_next_seq, parting.right_next_seq):
            raise StopAsyncIteration
        left, right = [await self._event(side, seq, parting) for side in _SIDES]
        # Both are there: only now is anything changed, so that a cancelled call can be made again.
        self._seq = seq + 1
        for side, event in enumerate((left, right)):
            if event is not None:
                self._pages[side].popleft()
                self._step(side, event)
        return DiffRow(seq, left, right, self._are_same(left, right), *self._states)

    def _step(self, side: int, event: WorkflowEvent) -> None:
        if self._apply is not None:
            self._states[side] = fold(self._apply, self._states[side], (event,), self.names[side])

    def _are_same(self, left: WorkflowEvent | None, right: WorkflowEvent | None) -> bool:
        if left is None or right is None:
            return False
        if self._times:
            return left == right
        return (left.seq, left.kind, left.payload) == (right.seq, right.kind, right.payload)

    async def _event(self, side: int, seq: int, parting: Parting) -> WorkflowEvent | None:
        end = (parting.left_next_seq, parting.right_next_seq)[side]
        if seq >= end:
            return None
        page = self._pages[side]
        if not page:
            page.extend(await self._store.read(self.names[side], seq, end - 1, limit=self._page_events))
        return page[0]

    async def _fold_shared(self, parting: Parting) -> None:
        if self._apply is None or self._make_state is None:
            return
        states = []
        for name in self.names:
            # Each side by itself: a reducer may change its state in place.
            state, seq = self._make_state(), 1
            while seq <= parting.equal_to_seq:
                events = await self._store.read(name, seq, parting.equal_to_seq, limit=self._page_events)
                state = fold(self._apply, state, events, name)
                seq = events[-1].seq + 1
            states.append(state)
        self._states = states

    # -- where they part --

    async def _find(self, left: Head, right: Head) -> Parting:
        first = max(left.first_kept_seq, right.first_kept_seq)
        last = min(left.next_seq, right.next_seq) - 1
        equal = await self._last_equal_digest(first, last)
        if equal < last and (equal < first or not self._times):
            equal = await self._last_equal_event(max(equal, first - 1), last)
        return Parting(first, equal, left.next_seq, right.next_seq)

    async def _last_equal_digest(self, first: int, last: int) -> int:
        low, high = first - 1, max(last, first - 1)
        while low < high:
            middle = (low + high + 1) // 2
            if await self._digests_agree(middle):
                low = middle
            else:
                high = middle - 1
        return low

    async def _digests_agree(self, seq: int) -> bool:
        rows = [await self._store.audit(name, seq - 1, limit=1) for name in self.names]
        return all(found and found[0].seq == seq for found in rows) and rows[0][0].digest == rows[1][0].digest

    async def _last_equal_event(self, equal: int, last: int) -> int:
        while equal < last:
            left, right = [
                await self._store.read(name, equal + 1, last, limit=self._page_events) for name in self.names
            ]
            for one, other in zip(left, right, strict=False):
                if not self._are_same(one, other):
                    return equal
                equal = one.seq
        return equal


def check_diff(apply: object, make_state: object, times: object) -> None:
    """Refuse what `Runtime.diff` cannot work with.

    Args:
        apply: the reducer, or None.
        make_state: makes a state, or None.
        times: whether event times count.

    Raises:
        InvalidValueError: one of them is not what it must be.
    """
    if type(times) is not bool:
        raise InvalidValueError(f"times is True or False, got {times!r:.60}")
    if (apply is None) != (make_state is None):
        raise InvalidValueError(
            "apply and make_state come together: a reducer, and what makes the state it begins with; got"
            f" {apply!r:.60} and {make_state!r:.60}"
        )
    if apply is not None and not (callable(apply) and callable(make_state)):
        raise InvalidValueError(f"apply and make_state are called, got {apply!r:.60} and {make_state!r:.60}")
