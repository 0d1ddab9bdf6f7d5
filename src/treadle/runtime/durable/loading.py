"""Loading: heads and logs of many workflows, a few hops for all of them, and no more at once than allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from treadle.engine import Status
from treadle.engine.marks import goes_below
from treadle.engine.origins import decoded_events
from treadle.errors import CodecError, CorruptStoreError, EventsPrunedError, TreadleError
from treadle.events import WorkflowEvent
from treadle.kernel import Kernel
from treadle.payloads import CodecChain
from treadle.runtime.durable.instance import Instance, Phase
from treadle.runtime.durable.wire import WHAT_IF
from treadle.stores import Head, Store


class Loading:
    """Reads the logs of instances that are wanted in memory.

    One hop for each workflow would cost more than its replay; those that come while a hop is under way share
    the next one. An instance counts among the recoveries from here until `recovered` is called.

    Args:
        store: read.
        kernel: through which it waits.
        codecs: decode payloads.
        recoveries_max: how many are read and replayed at once.
        page_events: how many events one hop fetches.
        runs_here: whether the code of a name is known.
        read: called with each instance that was read; what was found stands in `loaded`, or, when there is
            nothing to replay, in its phase.
        failed: called with instances that could not be read, and why.
    """

    def __init__(
        self,
        store: Store,
        kernel: Kernel,
        codecs: CodecChain,
        *,
        recoveries_max: int,
        page_events: int,
        runs_here: Callable[[str], bool],
        read: Callable[[Instance], object],
        failed: Callable[[Sequence[Instance], TreadleError], object],
    ) -> None:
        self.recovering = 0
        self._store = store
        self._kernel = kernel
        self._codecs = codecs
        self._recoveries_max = recoveries_max
        self._page_events = page_events
        self._runs_here = runs_here
        self._read = read
        self._failed = failed
        # Each once: one that is held is wanted by whatever comes for it until it was read.
        self._wanted: dict[Instance, None] = {}
        self._task: trio.lowlevel.Task | None = None
        self._room: dict[trio.lowlevel.Task, None] = {}
        self._unread: dict[Instance, None] = {}

    def __len__(self) -> int:
        return len(self._wanted) + self.recovering

    def want(self, instance: Instance) -> None:
        """Have an instance read; one that is being read is read again, because its log may have changed.

        Args:
            instance: not LOADING yet.
        """
        if instance.phase is not Phase.HELD:
            instance.phase = Phase.LOADING
        self._wanted[instance] = None
        self._go_on()

    def recovered(self, instance: Instance) -> None:
        """Note that an instance has got over its beginning; does nothing for one that has already.

        Args:
            instance: any.
        """
        if instance.recovering:
            instance.recovering = False
            self.recovering -= 1
            self._go_on()
            waiting, self._room = self._room, {}
            for task in waiting:
                self._kernel.wake(task)

    @trio.lowlevel.enable_ki_protection
    async def wait_room(self) -> None:
        """Wait until little is wanted: whoever wants very many asks for no more than can be begun soon."""
        while len(self) >= 2 * self._recoveries_max:
            task = trio.lowlevel.current_task()
            self._room[task] = None
            await self._kernel.park(lambda task=task: self._room.pop(task, None))  # type: ignore[misc]

    def _go_on(self) -> None:
        if self._task is not None and self._wanted and self.recovering < self._recoveries_max:
            task, self._task = self._task, None
            self._kernel.wake(task)

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            while not self._wanted or self.recovering >= self._recoveries_max:
                self._task = trio.lowlevel.current_task()
                await self._kernel.park(self._forget_task)
            await self._read_some()

    def _forget_task(self) -> None:
        self._task = None

    async def _read_some(self) -> None:
        chosen: list[Instance] = []
        while self._wanted and self.recovering < self._recoveries_max:
            instance = next(iter(self._wanted))
            del self._wanted[instance]
            if not instance.recovering:
                instance.recovering = True
                self.recovering += 1
            chosen.append(instance)
        # Those that were handed on may have begun to live by now, and must not be taken for unread.
        self._unread = dict.fromkeys(chosen)
        try:
            await self._read_all(chosen)
        except TreadleError as error:
            self._failed(list(self._unread), error)

    async def _read_all(self, chosen: list[Instance]) -> None:
        heads = await self._store.heads([instance.workflow_id for instance in chosen])
        whole: list[tuple[Instance, Head]] = []
        for instance, head in zip(chosen, heads, strict=True):
            instance.learn(head)
            facts = head.facts
            if not self._has_code_to_run(instance, head):
                self._give(instance)
            elif facts is not None and facts.run_start_seq == 1 and head.first_kept_seq == 1:
                whole.append((instance, head))
            else:
                assert facts is not None  # noqa: S101  # the pair of _has_code_to_run()
                await self._read_run(instance, head, facts.run_start_seq, [])
        try:
            await self._read_whole(whole)
        except CorruptStoreError:
            # One by one: the others are not to be blamed for what is wrong with one of them.
            for instance, head in whole:
                if instance in self._unread:
                    await self._read_run(instance, head, 1, [])

    def _give(self, instance: Instance) -> None:
        del self._unread[instance]
        if instance in self._wanted:
            instance.loaded = None  # what was found is older than the wish to know
            self.recovered(instance)
            return
        self._read(instance)

    def _has_code_to_run(self, instance: Instance, head: Head) -> bool:
        """Decide by the head what an instance is; only what runs here is worth reading."""
        facts = head.facts
        if instance.phase is Phase.HELD:
            return facts is not None
        if facts is not None and facts.details == WHAT_IF:
            instance.phase = Phase.WHAT_IF
        elif facts is None:
            instance.phase = Phase.PLAIN if head.next_seq > head.first_kept_seq else Phase.ABSENT
        elif Status(facts.status).is_closed:
            instance.phase = Phase.CLOSED
        elif not self._runs_here(facts.name):
            instance.phase = Phase.STRANGE
        elif facts.status == Status.HELD and not instance.retries_held:
            instance.phase = Phase.HELD
        else:
            return True
        return False

    async def _read_whole(self, whole: list[tuple[Instance, Head]]) -> None:
        done = 0
        while done < len(whole):
            rest = whole[done:]
            names = [instance.workflow_id for instance, _ in rest]
            pages = await self._store.read_many(names, events_max=self._page_events)
            for (instance, head), page in zip(rest, pages, strict=False):
                try:
                    events = list(page.events)
                except CorruptStoreError as error:
                    instance.loaded = error
                    self._give(instance)
                    continue
                if page.complete and len(events) == head.next_seq - 1:
                    self._hand_on(instance, head, events)
                else:
                    await self._read_run(instance, head, 1, events)
            done += len(pages)

    async def _read_run(
        self, instance: Instance, head: Head, from_seq: int, events: list[WorkflowEvent]
    ) -> None:
        # Only a runner writes to these logs, and it is this one: what the head says is what is there.
        try:
            while (seq := from_seq + len(events)) < head.next_seq:
                page = await self._store.read(
                    instance.workflow_id, seq, head.next_seq - 1, limit=self._page_events
                )
                if not page:
                    raise _cut_short(instance, seq, head)
                events += page
            del events[head.next_seq - from_seq :]
            if goes_below(events) and from_seq > head.first_kept_seq:
                # A reset went back to an earlier run than the one that was known to its branch.
                await self._read_run(instance, head, head.first_kept_seq, [])
                return
        except (CorruptStoreError, EventsPrunedError) as error:
            instance.loaded = error
            self._give(instance)
            return
        self._hand_on(instance, head, events)

    def _hand_on(self, instance: Instance, head: Head, events: list[WorkflowEvent]) -> None:
        try:
            instance.loaded = (head, decoded_events(instance.workflow_id, events, self._codecs))
        except (CodecError, CorruptStoreError) as error:
            instance.loaded = error
        self._give(instance)


def _cut_short(instance: Instance, seq: int, head: Head) -> CorruptStoreError:
    return CorruptStoreError(
        f"workflow {instance.workflow_id!r}: its head promises events up to seq {head.next_seq - 1}, and"
        f" there is none at {seq}; run treadle log verify",
        workflow_id=instance.workflow_id,
        seq=seq,
    )
