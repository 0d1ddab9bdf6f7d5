"""`treadle replay`: every workflow folded again, many at once, into one digest that two runs share."""

from __future__ import annotations

from contextlib import aclosing
from time import perf_counter
from typing import Annotated, Any, Final

import attrs
import trio
from cyclopts import Parameter

from treadle.cli.audit import StoreDigest
from treadle.cli.durable.checking import check_history, names_history
from treadle.cli.durable.connecting import CodecsOption
from treadle.cli.durable.modules import load_codecs
from treadle.cli.exits import OK, CommandError
from treadle.cli.notes import note
from treadle.cli.options import (
    DEFAULT_STORE,
    WHOLE,
    Flag,
    OutputOption,
    Positive,
    PrefixOption,
    StoreOption,
)
from treadle.cli.output import counted, progress, show_facts
from treadle.cli.stores import chosen_workflows, reading_runtime
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.log import chain_digest
from treadle.stores import Head

EXAMPLES: Final = """Examples:

  treadle replay
  treadle replay order-1 order-2
  treadle replay --prefix order- -o json
  treadle replay history.jsonl orders:order
"""
USAGE: Final = "Usage: treadle replay [OPTIONS] [WORKFLOW-ID... | FILE MODULE[:NAME]]"


@attrs.define
class State:
    """A workflow's replayed state: everything it has seen, in 16 bytes and a few counts.

    Args:
        digest: chained over all events so far.
        counts: how many events of each kind, by the kind's place.
        final_kind: the kind of the last event.
    """

    digest: bytes
    counts: dict[EventKind, int] = attrs.Factory(dict)
    final_kind: EventKind | None = None


def apply(state: State, event: WorkflowEvent) -> State:
    """Fold one event.

    Args:
        state: the state before; changed.
        event: the event.

    Returns:
        The state after.
    """
    kind = event.kind
    state.digest = chain_digest(state.digest, event)
    state.counts[kind] = state.counts.get(kind, 0) + 1
    state.final_kind = kind
    return state


@attrs.define
class Total:
    """What all workflows come to.

    Attributes:
        workflows: how many there are.
        events: how many events they have.
        kinds: how many events of each kind.
        final_kinds: how many workflows end with each kind.
        digests: each workflow's digest.
    """

    workflows: int = 0
    events: int = 0
    kinds: dict[EventKind, int] = attrs.Factory(dict)
    final_kinds: dict[EventKind, int] = attrs.Factory(dict)
    digests: dict[str, bytes] = attrs.Factory(dict)

    def add(self, workflow_id: WorkflowId, state: State, events: int) -> None:
        """Take one workflow in.

        Args:
            workflow_id: the workflow.
            state: its state.
            events: how many events it has.
        """
        self.workflows += 1
        self.events += events
        self.digests[workflow_id] = state.digest
        for kind, count in state.counts.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        if state.final_kind is not None:
            self.final_kinds[state.final_kind] = self.final_kinds.get(state.final_kind, 0) + 1

    def digest(self) -> str:
        """Tell one digest of all states; it does not depend on who was replayed first."""
        together = StoreDigest()
        for name in sorted(self.digests):
            together.add(name, self.digests[name])
        return together.hex()


class _Beginnings:
    """Where the chains of some logs begin: a branch's with its parent, a cut one's in the middle."""

    def __init__(self, heads: list[Head]) -> None:
        self._digests = {head.workflow_id: head.digest_before for head in heads}

    def state(self, workflow_id: WorkflowId) -> State:
        """Make a log's first state.

        Args:
            workflow_id: the log.

        Returns:
            The state.
        """
        return State(self._digests[workflow_id])


def replay(
    workflow_id: Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)] = None,
    /,
    *,
    prefix: PrefixOption = "",
    concurrency: Annotated[int, WHOLE, Parameter(validator=Positive)] = 4,
    strict: Flag = False,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Replay all workflows, or those named, concurrently and each by itself; or a history against code.

    Prints how many events there are of each kind, with which kind the workflows end, and one digest of
    all replayed state: the same digest means the same histories. Rates go to stderr, so that two runs
    over the same store print the same.

    With a FILE that `treadle log export` has written and a MODULE, each durable workflow in the file is
    replayed with the module's code instead, and nothing is written anywhere. Where the code does
    something else, both sides are shown field by field with the line, and the exit code is 4.

    Args:
        workflow_id: the workflows to replay; all if left out. Or FILE MODULE[:NAME].
        prefix: only workflows whose id begins so.
        concurrency: how many pages of logs are under way at once.
        strict: FILE MODULE: a drift (the same said differently, such as other options) counts as well.
        codecs: FILE MODULE: what the payloads went through.
        output: how the result is printed.
        store: the store; of no meaning with FILE MODULE.

    Returns:
        The exit code.

    Raises:
        CommandError: workflows are named and chosen by prefix.
        NotFoundError: there is no such workflow, file or module.
        FormatError: the file is not what its format says.
        StoreError: the store could not be opened or read.
    """
    names = workflow_id or []
    if not prefix and names_history(names):
        return check_history(names[0], names[1], output, load_codecs(codecs), strict=strict)
    if strict or codecs is not None:
        raise CommandError("--strict and --codecs belong to `treadle replay FILE MODULE`; leave them out")
    if names and prefix:
        raise CommandError("workflows are named or chosen by --prefix, got both")
    total, seconds = trio.run(_replay, store, names, prefix, concurrency)
    note(
        f"replayed {counted(total.events, 'event')} of {counted(total.workflows, 'workflow')} in"
        f" {seconds:.2f} s ({total.events / max(seconds, 1e-9):,.0f} events/s)"
    )
    kinds, final_kinds = _named(total.kinds), _named(total.final_kinds)
    facts: dict[str, Any] = {
        "workflows": total.workflows,
        "events": total.events,
        "digest": total.digest(),
        "kinds": kinds,
        "final_kinds": final_kinds,
    }
    rows = {key: facts[key] for key in ("workflows", "events", "digest")}
    rows |= {f"{kind} events": count for kind, count in kinds.items()}
    rows |= {f"end with {kind}": count for kind, count in final_kinds.items()}
    show_facts(output, "replayed", facts, rows)
    return OK


async def _replay(url: str, names: list[str], prefix: str, concurrency: int) -> tuple[Total, float]:
    total = Total()
    async with reading_runtime(url) as runtime:
        count = len(names) or await runtime.store.count_workflows(prefix=prefix)
        started = perf_counter()
        with progress("replaying", count) as advance:
            async with aclosing(chosen_workflows(runtime.store, names, prefix)) as pages:
                async for page in pages:
                    first = _Beginnings(await runtime.store.heads(page))
                    replayed = runtime.replay_all(
                        apply, first.state, page, concurrency=concurrency, from_first_kept=True
                    )
                    async for done in replayed:
                        total.add(done.workflow_id, done.state, done.events)
                        advance(1)
        return total, perf_counter() - started


def _named(counts: dict[EventKind, int]) -> dict[str, int]:
    return {kind.name: count for kind, count in sorted(counts.items())}
