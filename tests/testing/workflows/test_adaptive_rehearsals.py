"""Retries that learn, rehearsed: seeded, and the same behind every crash and every eviction."""

from __future__ import annotations

import pytest

from treadle import EventKind, activity, workflow
from treadle.engine.learning import Experiences
from treadle.testing import crash_everywhere, evict_everywhere, replay, run_workflow
from treadle.testing.workflows import world

CALLS = 6


@activity.define(
    retry=activity.AdaptiveRetry(
        arms=(1, 5), routes=("primary", "backup"), key=lambda number: f"k{number % 2}"
    )
)
async def fetch(number: int) -> str: ...


@workflow.define
async def fetch_all() -> list[str]:
    found: list[str] = []

    async def fetch_one(number: int) -> None:
        found.append(await workflow.activity(fetch, number))

    for _ in range(2):
        async with workflow.open_nursery() as nursery:
            for number in range(CALLS // 2):
                nursery.start_soon(fetch_one, number)
    return found


@workflow.define
async def fetch_in_turn() -> list[str]:
    return [await workflow.activity(fetch, 0) for _ in range(CALLS)]


def answer(number: int) -> str:
    """One route never comes through, the other does from its second attempt on."""
    info = activity.info()
    if info.route == "primary" or info.attempt + number < 2:
        raise OSError("down")
    return info.route


def rehearse(definition, **options):
    return run_workflow(definition, activities={fetch: answer}, **options)


@pytest.mark.parametrize("definition", [fetch_all, fetch_in_turn])
def test_a_crash_or_an_eviction_anywhere_changes_no_choice(definition):
    rehearsal = rehearse(definition)

    assert crash_everywhere(rehearsal).crashes
    assert crash_everywhere(rehearsal, batch_events_max=1, every=3).crashes
    assert evict_everywhere(rehearsal)
    assert rehearsal.events == rehearse(definition, paranoid=True).events
    assert rehearsal.status is replay(rehearsal, definition).status


def test_it_is_seeded_and_learns_while_it_runs():
    rehearsals = [rehearse(fetch_in_turn, seed=seed) for seed in (1, *range(1, 12))]
    tried = [[b'"route":"primary"' in call.payload for call in scheduled(one)] for one in rehearsals]

    assert rehearsals[0].events == rehearsals[1].events
    assert any(tried[0] != other for other in tried[2:]), "another seed, other choices"
    assert sum(one[-1] for one in tried) < sum(one[0] for one in tried), "fewer go where none comes through"


def scheduled(rehearsal):
    return [event for event in rehearsal.events if event.kind is EventKind.ACTIVITY_SCHEDULED]


def test_every_event_teaches_once(monkeypatch):
    taught = []

    class Noting(Experiences):
        def take(self, events):
            taught.extend(events := list(events))
            super().take(events)

    monkeypatch.setattr(world, "Experiences", Noting)
    rehearsal = rehearse(fetch_in_turn)

    assert list(rehearsal.events) == taught
