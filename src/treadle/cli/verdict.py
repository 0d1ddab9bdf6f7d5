"""The promises of a store, held against what its writers know, workflow by workflow.

The checkers decide; this page only reads the store and hands them records.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import aclosing
from typing import Any, Final

import attrs

from treadle.checkers import (
    VIOLATIONS_MAX,
    Violation,
    acknowledged_once,
    gap_free,
    isolation,
    replay_equals_live,
)
from treadle.cli.audit import Audit
from treadle.cli.stores import chosen_workflows
from treadle.events import WorkflowEvent, WorkflowId
from treadle.runtime import Runtime

PROMISES: Final = {
    "gap_free": "no gap, no repeat of a seq",
    "isolation": "nothing of one workflow in another",
    "acknowledged_once": "every acknowledged event exactly once",
    "replay_equals_live": "replayed state equals live state",
    "chain": "digest chains as written",
}
"""What is checked, and how people are told."""


@attrs.define
class Verdict:
    """What the checkers have found.

    Attributes:
        violations: the broken promises, the first of each checker and workflow.
        workflows: how many logs were looked at.
        events: how many events they have.
        promises: what is checked, and how people are told.
    """

    violations: list[Violation] = attrs.Factory(list)
    workflows: int = 0
    events: int = 0
    promises: Mapping[str, str] = PROMISES

    @property
    def holds(self) -> bool:
        """Whether every promise holds."""
        return not self.violations

    def add(self, *found: list[Violation]) -> None:
        """Take findings in.

        Args:
            *found: what checkers returned.
        """
        for violations in found:
            self.violations.extend(violations)

    def by_promise(self) -> dict[str, int]:
        """Count the violations of each promise."""
        return {
            promise: sum(found.promise == promise for found in self.violations) for promise in self.promises
        }

    def record(self) -> dict[str, Any]:
        """Word the verdict as part of a JSON object."""
        return {
            "ok": self.holds,
            "promises": self.by_promise(),
            "violations": [attrs.asdict(found) for found in self.violations[:VIOLATIONS_MAX]],
        }

    def rows(self) -> dict[str, str]:
        """Word the verdict for a table."""
        counts = self.by_promise()
        rows = {
            said: "holds" if not counts[promise] else f"BROKEN in {counts[promise]:,} places"
            for promise, said in self.promises.items()
        }
        return {**rows, "verdict": "all promises hold" if self.holds else "VIOLATION"}


async def check_logs(
    runtime: Runtime,
    verdict: Verdict,
    expected: Callable[[WorkflowId], Collection[Hashable]],
    mark: Callable[[WorkflowEvent], Hashable],
    owner: Callable[[WorkflowEvent], str | None],
    *,
    advance: Callable[[float], None] = lambda _: None,
) -> None:
    """Read every log once and hold it against what was acknowledged.

    Args:
        runtime: read from, concurrently.
        verdict: takes the findings.
        expected: workflow id to the marks of the events that were acknowledged.
        mark: event to its mark.
        owner: event to the workflow that its payload names.
        advance: told for each workflow that it is done.

    Raises:
        StoreError: the store could not be read.
    """
    async for done in runtime.replay_all(_collected, list):
        name, events = done.workflow_id, done.state
        verdict.workflows += 1
        verdict.events += len(events)
        verdict.add(
            gap_free(name, events),
            isolation(name, events, owner),
            acknowledged_once(name, expected(name), ((event.seq, mark(event)) for event in events)),
        )
        advance(1)


def _collected(events: list[WorkflowEvent], event: WorkflowEvent) -> list[WorkflowEvent]:
    events.append(event)
    return events


async def check_chains(
    runtime: Runtime, verdict: Verdict, *, advance: Callable[[float], None] = lambda _: None
) -> None:
    """Recompute every log's digest chain from the rows as they lie there.

    Args:
        runtime: read from.
        verdict: takes the findings.
        advance: told for each workflow that it is done.

    Raises:
        StoreError: the store could not be read.
    """
    audit = Audit(runtime.store)
    await audit.check_structure()
    async with aclosing(chosen_workflows(runtime.store, (), "")) as pages:
        async for page in pages:
            await audit.check_logs(page, advance)
    verdict.add(
        [Violation("chain", found.workflow_id or "", found.seq, found.message) for found in audit.damage]
    )


def check_states(verdict: Verdict, live: Mapping[str, object], replayed: Mapping[str, object]) -> None:
    """Compare replayed with live states.

    Args:
        verdict: takes the findings.
        live: workflow id to the state its writers hold.
        replayed: workflow id to the state its log gives.
    """
    verdict.add(replay_equals_live(live, replayed))
