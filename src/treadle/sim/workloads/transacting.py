"""Clients that read several logs, decide, and write to several, as one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import attrs

from treadle.errors import CorruptStoreError, EventsPrunedError, InternalError, UsageError
from treadle.events import EventKind, WorkflowEvent
from treadle.runtime import Runtime
from treadle.runtime.transacting import Transaction
from treadle.sim.workloads.known import Known, mark_in
from treadle.sim.workloads.logs import Client
from treadle.sim.workloads.marked import payload_of
from treadle.sim.world import Answer, World

TWINS: Final = ("t0", "t1")
"""Logs that are only written to together, so that at any moment they are equally long."""
SKEWED: Final = ("s0", "s1")
"""Logs of which everybody reads both and writes to one: what write skew is made of."""
TICKS: Final = "e"
"""A log of equal events: whoever appends one wants it there, though the same stands there already."""
CLAIM_SECONDS: Final = 20
"""How long clients claim logs of one kind; those who come in that time come first to something new."""
_MILLE: Final = 1_000
_NANOSECONDS: Final = 1_000_000_000


@attrs.define(slots=True)
class View:
    """What an attempt has read, and where it wants to write; the last attempt's is what was taken."""

    reads: list[dict[str, Any]] = attrs.Factory(list)
    kept: list[dict[str, Any]] = attrs.Factory(list)
    seqs: list[int | None] = attrs.Factory(list)

    def clear(self) -> None:
        """Forget the attempt before."""
        self.reads, self.kept, self.seqs = [], [], []


@attrs.define(slots=True)
class Ticks:
    """How many equal events were appended, and how many may have been."""

    sure: int = 0
    possible: int = 0


class TransactingClient(Client):
    """One who transacts.

    Args:
        world: where it lives.
        number: which it is.
        known: what all clients know together.
        ticks: counts what all clients append to `TICKS`.
    """

    def __init__(self, world: World, number: int, known: Known, ticks: Ticks) -> None:
        super().__init__(world, number)
        self._known = known
        self._ticks = ticks

    async def transact(self) -> None:
        """Read some logs and write some, perhaps the same ones, perhaps none."""
        draws = self._draws
        read = sorted({self._log() for _ in range(draws.between(1, 3))})
        wanted = sorted({self._log() for _ in range(draws.between(0, 2))})
        written = [(name, self._new_marks(2)) for name in wanted]
        pause = draws.between(0, _MILLE) / _MILLE if draws.below(2) else 0
        view = View()

        async def decide(tx: Transaction) -> None:
            view.clear()
            for name in read:
                await self._read_in(tx, name, view)
            if pause:
                await self._world.kernel.sleep(pause)
            for name, marks in written:
                await self._append_in(tx, name, marks, view)

        await self._transact(decide, written, view)

    async def twins(self) -> None:
        """Append to both twins; they are never seen unequally long."""
        written = [(name, self._new_marks(1)) for name in TWINS]
        pause = self._draws.between(0, _MILLE) / _MILLE
        only_looks, view = self._draws.below(3) == 0, View()

        async def decide(tx: Transaction) -> None:
            view.clear()
            lengths = []
            for name in TWINS:
                lengths.append(await self._look_in(tx, name, view))
                await self._world.kernel.sleep(pause)
            if lengths[0] != lengths[1]:
                raise UnequalError("the twins are unequally long")
            for name, marks in () if only_looks else written:
                await self._append_in(tx, name, marks, view)

        answer = await self._transact(decide, () if only_looks else written, view)
        if isinstance(answer.error, UnequalError):
            self._lie(TWINS[0], "transactions", "the twins were seen unequally long, and that was answered")

    async def skew(self) -> None:
        """Read two logs and write to one of them: two who do so at once must not both have read the same."""
        written = [(self._draws.one_of(SKEWED), self._new_marks(1))]
        pause, view = self._draws.between(0, _MILLE) / _MILLE, View()

        async def decide(tx: Transaction) -> None:
            view.clear()
            for name in SKEWED:
                await self._read_in(tx, name, view)
            await self._world.kernel.sleep(pause)
            await self._append_in(tx, *written[0], view)

        await self._transact(decide, written, view)

    async def tick(self) -> None:
        """Append an event that looks like all others of its log."""

        async def decide(tx: Transaction) -> None:
            await tx.append(TICKS, "custom", payload_of(TICKS, "tick"), timestamp=0)

        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: runtime.transact(decide))
        self._ticks.possible += answer.outcome != "refused"
        self._ticks.sure += answer.outcome == "ok"
        self._note(begin, answer, [])

    async def claim(self) -> None:
        """Begin a log if a listing shows none of its kind: of each kind there is one at most."""
        kind = f"k{self._world.now_ns() // (CLAIM_SECONDS * _NANOSECONDS)}."
        pause = self._draws.between(0, _MILLE) / _MILLE
        own, all_own = f"{kind}{self.number}", [f"{kind}{n}" for n in range(self._world.plan.clients)]
        marks, view, wrote = self._new_marks(1), View(), list[bool]()

        async def decide(tx: Transaction) -> None:
            view.clear()
            there = set(await tx.list(kind))
            view.reads = [{"workflow": name, "next_seq": 1} for name in all_own if name not in there]
            wrote[:] = [not there]
            await self._world.kernel.sleep(pause)
            if not there:
                await self._append_in(tx, own, marks, view)

        # One that was listed and not decided on has written nothing.
        begin = self._world.recorder.now()
        answer = await self._ask(lambda runtime: runtime.transact(decide))
        written = [(own, marks)] if wrote == [True] else []
        self._note_transaction(begin, answer, written, view)

    # -- what all of them do --

    async def _ask(self, call: Callable[[Runtime], Awaitable[Any]]) -> Answer[Any]:
        answer = await super()._ask(call)
        if isinstance(answer.error, InternalError | CorruptStoreError):
            self._lie("", "raises_nothing", f"{type(answer.error).__name__} was told")
        return answer

    async def _transact(self, decide: Any, written: Sequence[tuple[str, list[str]]], view: View) -> Any:
        begin = self._world.recorder.now()

        async def call(runtime: Runtime) -> None:
            await runtime.transact(decide)

        answer = await self._ask(call)
        self._note_transaction(begin, answer, written, view)
        return answer

    def _note_transaction(
        self, begin: int, answer: Any, written: Sequence[tuple[str, list[str]]], view: View
    ) -> None:
        ok = answer.outcome == "ok"
        seqs = view.seqs if ok else [None] * len(written)
        for (name, marks), seq in zip(written, seqs, strict=True):
            self._known.names[name] = None
            if seq is not None:
                self._known.saw(name, seq, marks)
        # Who is refused has seen only what the error says: all else may have changed while it decided.
        reads, kept = (view.reads, view.kept) if answer.outcome != "refused" else ([], [])
        self._note(begin, answer, written, reads, seqs, kept=kept if ok else [])

    async def _read_in(self, tx: Transaction, name: str, view: View) -> list[WorkflowEvent]:
        first = 1
        try:
            events = await tx.read(name)
        except EventsPrunedError as error:
            first = error.first_kept_seq
            view.kept.append({"workflow": name, "from": first})
            events = await tx.read(name, first)
        marks = [mark_in(event) for event in events]
        self._known.saw(name, first, marks)
        view.reads.append({"workflow": name, "from": first, "marks": marks})
        await self._look_in(tx, name, view)
        return events

    async def _look_in(self, tx: Transaction, name: str, view: View) -> int:
        next_seq = await tx.next_seq(name)
        view.reads.append({"workflow": name, "next_seq": next_seq})
        return next_seq

    async def _append_in(self, tx: Transaction, name: str, marks: Sequence[str], view: View) -> None:
        events = [await tx.append(name, EventKind.CUSTOM, payload_of(name, mark)) for mark in marks]
        view.seqs.append(events[0].seq)


class UnequalError(UsageError):
    """What a decision raises about what it has read."""
