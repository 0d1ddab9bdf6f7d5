"""An instance: one durable workflow in this process, and what waits for its turn.

It takes its inputs one after another; several may share a batch ("input, its commands, next input, its
commands"). While a unit of its is under way nothing else is taken: what follows would be decided on a state
that may never be. When a unit is not written, the execution is thrown away and replayed from the log, and
its inputs are offered again.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, TypeAlias

import attrs

from treadle.engine import Effect, Execution, Input, ParentLink, Update, WorkflowDefinition
from treadle.errors import TreadleError
from treadle.events import WorkflowEvent, WorkflowId
from treadle.runtime.durable.replies import Reply
from treadle.runtime.durable.wire import IdPolicy
from treadle.runtime.inbox import Proposal
from treadle.stores import Head, HeadFacts, Message, Record, Taken


class Phase(IntEnum):
    """What is known of a workflow in this process.

    COLD: nothing. NEW: believed not to exist, by whoever starts it. LOADING: its log is being read. LIVE:
    its code is in memory. HELD: its code must not run. STRANGE: its code is not known here. ABSENT: it has
    no log, or one that was deleted. CLOSED: it has ended. PLAIN: its log is no workflow's. WHAT_IF: it is a
    branch in which nothing really happens, and no runner's.
    """

    COLD = 1
    NEW = 2
    LOADING = 3
    LIVE = 4
    HELD = 5
    STRANGE = 6
    ABSENT = 7
    CLOSED = 8
    PLAIN = 9
    WHAT_IF = 10


@attrs.define(slots=True, eq=False)
class Offer:
    """An input that waits for its turn.

    Attributes:
        input: what has happened.
        message: the mailbox's row it came in, or None.
        reply: who waits until it was taken, for an update until it was answered.
        records: to be written with it.
        accepted: who waits only until an update was accepted.
        asks_again: whether the log may have it already: then nobody may say that it was refused.
    """

    input: Input
    message: Message | None = None
    reply: Reply | None = None
    records: tuple[Record, ...] = ()
    accepted: Reply | None = None
    asks_again: bool = False


@attrs.define(slots=True, eq=False)
class StartOffer:
    """A wish to begin a run.

    Attributes:
        definition: its code; None when it is not known here.
        name: the name its code is known by.
        args_json: its arguments.
        seed: the run's chance; it also tells this start from another's.
        policy: what becomes of it when the id is taken.
        parent: whose child it is.
        signal: a signal that comes with it: name and arguments.
        message: the mailbox's row it came in, or None.
        reply: who waits until it has begun; is given the run's seq.
    """

    definition: WorkflowDefinition[..., Any] | None
    name: str
    args_json: bytes
    seed: bytes
    policy: IdPolicy = "reject"
    parent: ParentLink | None = None
    signal: tuple[str, bytes] | None = None
    message: Message | None = None
    reply: Reply | None = None


@attrs.define(slots=True, eq=False)
class Ask:
    """A question about the workflow as it stands, or a wish that its code does not see.

    Attributes:
        what: ``"query"``, ``"stack"``, ``"describe"``, ``"resume"`` or ``"reset"``.
        reply: who asks.
        name: of the query.
        args_json: of the query; of a reset its `ResetMessage`.
        message: the mailbox's row it came in, or None.
    """

    what: str
    reply: Reply | None = None
    name: str = ""
    args_json: bytes = b"[]"
    message: Message | None = None


AnyOffer: TypeAlias = Offer | StartOffer | Ask


@attrs.define(slots=True)
class Decided:
    """What a turn has decided.

    Attributes:
        offers: the inputs it took, to be offered again should it not be written.
        events: for the log.
        effects: to be carried out when all of it is durable.
        taken: messages consumed.
        put: rows for other mailboxes.
        records: to be set or removed.
        facts: the head facts from now on; None leaves them.
        started: the run's seq, when it begins one.
        marks: for each activation but the first, how many events, messages taken and effects stood before it.
    """

    # Tuples, because most of them stay empty: one container for each turn is a tenth of what a turn costs.
    offers: tuple[AnyOffer, ...] = ()
    events: tuple[WorkflowEvent, ...] = ()
    effects: tuple[Effect, ...] = ()
    taken: tuple[Taken, ...] = ()
    put: tuple[Message, ...] = ()
    records: tuple[Record, ...] = ()
    facts: HeadFacts | None = None
    started: int = 0
    marks: tuple[tuple[int, int, int], ...] = ()

    @property
    def writes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.events or self.taken or self.records or self.put or self.facts is not None)


@attrs.frozen(slots=True)
class Part:
    """What one unit of a flight that was cut carries.

    Attributes:
        events: for the log.
        taken: messages whose inputs are among them.
        put: rows for other mailboxes, behind the last event of the activation that sends them.
    """

    events: tuple[WorkflowEvent, ...]
    taken: tuple[Taken, ...] = ()
    put: tuple[Message, ...] = ()


@attrs.define(slots=True, eq=False)
class Flight:
    """What a turn has decided, on its way to the store.

    Attributes:
        instance: whose it is.
        decided: what.
        digest: of the last event in the unit under way.
        left: what follows in further units, the last ones first; None when there never were any.
        has_landed: whether a unit of it is durable already.
    """

    instance: Instance
    decided: Decided
    digest: bytes = b""
    left: list[Part] | None = None
    has_landed: bool = False


class EngineProposal(Proposal):
    """A unit of the engine's on its way through the committer.

    Attributes:
        settled: called with it when its outcome is known.
        flight: what it carries, when it is an instance's.
        tokens: what the store gave for the next batch, or None.
    """

    settled: Any = None
    flight: Any = None
    tokens: tuple[object, ...] | None = None

    @property
    def contents(self) -> tuple[Any, ...]:
        """Its events, for whoever counts them."""
        return self.events or ()

    def learn(self, tokens: tuple[object, ...]) -> None:
        """Take the store's tokens; see `Proposal.learn`."""
        self.tokens = tokens

    def decide(self, kernel: object) -> None:  # noqa: ARG002  # nobody waits in a task for it
        """Tell the runner; see `Proposal.decide`."""
        self.decided = True
        self.settled(self)


@attrs.define(slots=True, eq=False)
class Instance:
    """One durable workflow in this process.

    Attributes:
        workflow_id: its id.
        phase: what is known of it.
        execution: its code, while it is LIVE.
        next_seq: the seq its log takes next; only what is durable counts.
        digest: the digest of its last durable event.
        token: the store's mark for that head.
        facts: its head facts as they are stored.
        offers: what waits for its turn.
        behind_mail: updates that came while mail put before them was still to be read.
        flight: the unit under way.
        known: ids of the messages among the offers and in the flight.
        updates: who waits for which update's answer.
        loaded: its head and log, read and not yet replayed, or why they cannot be.
        posted: whether it waits for its turn on the stage.
        recovering: whether it counts among the recoveries.
        inputs_max: how many inputs a turn takes; 1 after a turn that could not be finished.
        failures: units in a row that were not written.
        paused: whether it waits until the store may be well again.
        crashed: whether a unit of its was not written and its code is still to be thrown away.
        wants_mail: whether its mailbox is to be read.
        has_looked: whether its mailbox was read since nothing was found under its id.
        retries_held: whether it is to be replayed although it is held.
        held: why it is held.
    """

    workflow_id: WorkflowId
    phase: Phase = Phase.COLD
    execution: Execution | None = None
    next_seq: int = 1
    digest: bytes = b""
    token: object = None
    facts: HeadFacts | None = None
    # A list, because an empty deque takes 700 bytes more and most instances only wait.
    offers: list[AnyOffer] = attrs.Factory(list)
    behind_mail: list[AnyOffer] = attrs.Factory(list)
    flight: Flight | None = None
    # A dict, because an empty set takes 150 bytes more.
    known: dict[bytes, None] = attrs.Factory(dict)
    updates: dict[str, tuple[Update, list[Reply]]] = attrs.Factory(dict)
    loaded: tuple[Head, Sequence[WorkflowEvent]] | TreadleError | None = None
    posted: bool = False
    recovering: bool = False
    inputs_max: int = 1_000
    failures: int = 0
    paused: bool = False
    crashed: bool = False
    wants_mail: bool = False
    has_looked: bool = False
    retries_held: bool = False
    held: str = ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it waits or is under way."""
        waits = self.offers or self.posted or self.paused or self.crashed or self.wants_mail
        return not (waits or self.flight is not None)

    def learn(self, head: Head) -> None:
        """Take over where its log stands.

        Args:
            head: fresh from the store.
        """
        self.next_seq = head.next_seq
        self.digest = head.digest
        self.token = head.token
        self.facts = head.facts
