"""Worlds in which every process keeps projections up: duality holds, and a planted bug breaks it."""

import pytest

from treadle.projections import keeper
from treadle.sim import Plan, fault_rates, run_world

FAULTS = fault_rates(["all", "crash=4000", "pause=4000", "restart=2000", "full_store=1000"])
SMALL = {
    "workload": "projections", "clients": 4, "operations": 12, "duration_seconds": 400, "faults": FAULTS,
}  # fmt: skip


def world(seed, **changes):
    return run_world(seed, Plan(**{**SMALL, **changes}))


def broken_promises(seed, **changes):
    return {violation.promise for violation in world(seed, **changes).violations}


def test_projections_live_through_what_the_logs_live_through():
    for seed in range(3):
        assert broken_promises(seed) == set()


def test_worlds_with_projections_are_the_same_each_time():
    assert world(5).digest == world(5).digest


def test_a_keeper_that_forgets_what_it_failed_to_write_is_found(monkeypatch):
    unit = keeper.Keeper.unit

    def settles_too_early(self, *arguments):
        made = unit(self, *arguments)
        if self.folding is not None:
            self.folding.settle()
        return made

    monkeypatch.setattr(keeper.Keeper, "unit", settles_too_early)

    assert any("duality" in broken_promises(seed) for seed in range(5))


@pytest.mark.slow
def test_many_worlds_keep_duality():
    for seed in range(100):
        assert broken_promises(seed, processes=2) == set()


@pytest.mark.slow
def test_a_projection_that_is_written_without_its_guard_is_found(monkeypatch):
    guarded = keeper.Keeper._guarded
    monkeypatch.setattr(
        keeper.Keeper, "_guarded", lambda self, *rest: guarded(self, *rest)._replace(expected=())
    )

    assert any("duality" in broken_promises(seed, processes=3) for seed in range(60))
