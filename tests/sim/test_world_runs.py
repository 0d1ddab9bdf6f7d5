"""Worlds: one seed, one history, byte for byte; what is broken on purpose is survived, and checked."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import trio

from treadle import workflow
from treadle.errors import OutcomeUnknownError, StoreUnavailableError, UsageError
from treadle.sim import (
    FAULTS,
    Plan,
    Violation,
    Workload,
    current_world,
    fault_rates,
    history,
    limits,
    run_world,
    world_kernel,
)
from treadle.sim.faulty_store import FaultyStore
from treadle.sim.reporting import report
from treadle.sim.running import SEED_MAX, code_digest
from treadle.sim.world_kernel import KernelViolationError

ROOT = Path(__file__).parents[2]
ALL = fault_rates(["all"])
# What happens by the hour, less often: so the worlds of the quick tests are shorter.
FEWER = fault_rates(
    [
        "all",
        "crash=4000",
        "restart=2000",
        "pause=2000",
        "clock_jump=2000",
        "power_cut=1000",
        "full_store=1000",
    ]
)
WORKLOADS = ("logs", "lifetimes", "workflows", "durable_lifetimes")
SMALL = {"workflows": 2, "clients": 4, "operations": 8, "duration_seconds": 240}
DIGESTS = f"""
from treadle.sim import Plan, fault_rates, run_world
for name in {WORKLOADS}:
    for seed in (0, 1):
        print(run_world(seed, Plan(workload=name, faults={FEWER}, **{SMALL})).digest)
"""


def world(name, seed, **changes):
    return run_world(seed, Plan(workload=name, **{**SMALL, "faults": FEWER, **changes}))


@cache
def digests_here():
    return [world(name, seed).digest for name in WORKLOADS for seed in (0, 1)]


# -- a seed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_same_seed_gives_the_same_history_byte_for_byte(name):
    first, second = world(name, 1), world(name, 1)

    assert list(first.lines) == list(second.lines)
    assert first == second


@pytest.mark.parametrize("name", WORKLOADS)
def test_other_seeds_give_other_histories(name):
    # Without their headers, which tell the seed.
    assert 3 == len({tuple(world(name, seed).lines[1:]) for seed in range(3)})


def digests_of(python, hash_seed):
    surroundings = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run(
        [python, "-c", DIGESTS], check=False, env=surroundings, capture_output=True, text=True, timeout=120
    )
    assert not ran.returncode, ran.stderr
    return ran.stdout.split()


@pytest.mark.parametrize("hash_seed", ["0", pytest.param("77", marks=pytest.mark.slow)])
def test_no_hash_shows_in_a_history(hash_seed):
    """Not in another process either, where every object lies elsewhere."""
    assert digests_here() == digests_of(sys.executable, hash_seed)


def pythons(version):
    """Interpreters of a version that may be here: this one, beside the project, and pyenv's."""
    if sys.version.startswith(f"{version}."):
        yield Path(sys.executable)
    yield ROOT / f".venv-{version}" / "bin" / "python"
    yield from sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}*/bin/python"))


def _runs(python):
    needed = "import apsw, attrs, msgspec, outcome, trio"
    return subprocess.run([python, "-c", needed], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_version_of_python_gives_the_same_history(version):
    for python in pythons(version):
        if python.exists() and _runs(python):
            assert digests_here() == digests_of(python, "random")
            return
    pytest.skip(f"no Python {version} with treadle's dependencies; make one at .venv-{version}")


@pytest.mark.parametrize("seed", [-1, SEED_MAX + 1, 1.0, True, "7", None])
def test_what_is_no_seed_is_told(seed):
    with pytest.raises(UsageError, match="a seed is a whole number, 0 to 9223372036854775807, got"):
        run_world(seed, Plan())


def test_the_largest_seed_is_one():
    assert run_world(SEED_MAX, Plan(**SMALL)).holds


def test_a_history_begins_with_what_it_takes_to_make_it_again():
    first = world("logs", 5).lines[0].decode()

    assert f'"code":"{code_digest()}"' in first
    assert '"seed":5' in first
    assert '"clock_jump":2000' in first


# -- promises -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "seed"), [("logs", seed) for seed in range(10)] + [("workflows", seed) for seed in range(4)]
)
def test_every_promise_holds_under_all_faults(name, seed):
    run = world(name, seed, faults=ALL if name == "logs" else FEWER)

    assert () == run.violations
    assert run.faults


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_promise_holds_in_the_calm(name):
    assert () == world(name, 1, faults={}).violations


@pytest.mark.parametrize("seed", range(4))
def test_every_promise_holds_with_several_processes(seed):
    assert () == world("logs", seed, faults=ALL, processes=3).violations


def test_one_process_at_a_time_runs_durable_workflows():
    """Several would fence each other: memory has no lock that lets one of them stand by."""
    with pytest.raises(UsageError, match="got processes=3; give 1"):
        world("workflows", 1, processes=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_promise_holds_over_many_seeds(name):
    broken = {}
    for seed in range(1_000, 1_030 if "workflows" in name or "durable" in name else 1_120):
        run = run_world(seed, Plan(workload=name, faults=ALL, processes=1 + (name == "logs") * (seed % 3)))
        if not run.holds:
            broken[seed] = run.violations

    assert {} == broken


@pytest.mark.slow
def test_every_fault_is_made_by_the_built_in_worlds():
    made = set()
    for name in WORKLOADS:
        for seed in range(60):
            if made != set(FAULTS):
                made |= set(world(name, seed, store=("memory", "disk")[seed % 2]).faults)

    assert set(FAULTS) == made


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 30))
def test_a_crash_at_any_append_is_survived(number):
    """Before its write and after it."""
    for after in (False, True):
        assert () == world("workflows", 3, faults={}, kills=((number, after),)).violations


# -- a user's own workload ------------------------------------------------------------------------------


class Own(Workload):
    """A workload that does one thing."""

    def __init__(self, clients, found=()):
        self._clients = clients
        self._found = list(found)

    async def clients(self, world):
        await self._clients(world)

    async def check(self, _world, _store):
        return self._found


def own(clients, found=(), seed=0, **plan):
    return run_world(seed, Plan(workload="own", **plan), own=Own(clients, found))


async def nothing(_world):
    pass


def test_what_a_check_finds_is_the_verdict():
    found = Violation("mine", "a", 3, "it is so")

    assert (found,) == own(nothing, [found]).violations
    assert own(nothing).holds


def test_a_history_that_was_cut_is_no_verdict(monkeypatch):
    """Without its last lines it would lack the logs: nothing would be checked, or all events be missed."""
    monkeypatch.setattr(history, "LINES_MAX", 20)
    ran = world("logs", 1, faults={})

    assert [found.promise for found in ran.violations] == ["comes_to_an_end"]
    assert f"writes {ran.lines_made - 1:,} lines, of which 20 are kept" in ran.violations[0].message
    assert 20 == len(ran.lines)
    assert not report(ran.lines).whole


def test_a_follower_in_a_world_of_days_may_wait_for_a_look():
    """There runtimes look for what others have written every ten seconds: no promise is broken by that."""
    ran = world("logs", 0, faults={}, processes=3, duration_seconds=2 * 86_400)

    assert () == ran.violations


def test_followers_go_on_until_every_runtime_has_looked_once_more(monkeypatch):
    """However seldom they look: what was written last is missed by nobody."""
    monkeypatch.setattr(limits, "POLLS_MAX", 288)
    ran = world("logs", 0, faults={}, workflows=1, processes=3, operations=3, duration_seconds=86_400)

    assert () == ran.violations


@pytest.mark.parametrize("given", [None, "fine", ["not good"], Violation("mine", "", None, "bare")])
def test_a_check_that_gives_no_violations_is_told_what_it_gives(given):
    class Careless(Own):
        async def check(self, _world, _store):
            return given

    async def nothing(_world):
        pass

    with pytest.raises(UsageError, match="gives a list of Violation, an empty one") as caught:
        run_world(0, Plan(workload="own"), own=Careless(nothing))

    assert repr(given)[:80] in str(caught.value)


def test_checks_may_take_more_decisions_than_an_instant_of_the_world(monkeypatch):
    """No time passes while logs are read, and a hundred thousand of them take a million reads."""

    async def looks_long(world, _store):
        for _ in range(300):
            await world.kernel.turn()
        return []

    monkeypatch.setattr(world_kernel, "INSTANT_DECISIONS_MAX", 200)
    monkeypatch.setattr(Own, "check", lambda _self, world, store: looks_long(world, store))

    assert own(nothing).holds


def test_a_world_that_never_ends_is_told_its_budget():
    async def for_ever(world):
        while True:
            await world.kernel.sleep(1)

    (found,) = own(for_ever, decisions_max=2_000, seed=9).violations

    assert "comes_to_an_end" == found.promise
    assert "seed 9: it takes more than 2,000 decisions; let it do less" == found.message


def test_a_world_in_which_time_stands_still_is_told():
    async def busy(world):
        while True:
            await world.kernel.turn()

    (found,) = own(busy, decisions_max=3_000).violations

    assert "comes_to_an_end" == found.promise


def test_a_world_in_which_nothing_can_happen_any_more_is_told():
    async def waits(world):
        await world.kernel.park(lambda: None)

    (found,) = own(waits).violations

    assert "comes_to_an_end" == found.promise
    assert "every task waits and nothing can wake one" in found.message
    assert "test_world_runs.py" in found.message


def test_what_clients_raise_is_told_with_its_line():
    async def slip(world):
        await world.kernel.sleep(1)
        raise ZeroDivisionError("mine")

    (found,) = own(slip).violations

    assert "raises_nothing" == found.promise
    assert "ZeroDivisionError: mine at test_world_runs.py:" in found.message
    assert found.message.endswith(" in slip")


def test_a_real_wait_inside_a_world_is_named_with_its_line():
    """Its seed would mean nothing."""

    async def waits(_world):
        await trio.sleep(1)

    with pytest.raises(KernelViolationError, match=r"test_world_runs.py:\d+ in waits"):
        own(waits)


def test_notes_stand_in_the_history():
    async def tell(world):
        await world.kernel.sleep(2)
        world.note("paid", order=7)

    assert b'{"note":"paid","moment":2,"at":2000000000,"order":7}' in own(tell).lines


def test_a_model_knows_its_world_and_nobody_else_has_one():
    seen = []

    async def look(world):
        seen.append(current_world() is world and world.workload)

    run_world(0, Plan(workload="own"), own=(workload := Own(look)))

    assert [workload] == seen
    with pytest.raises(UsageError, match="inside a simulation only"):
        current_world()


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, "ok"),
        (StoreUnavailableError("busy"), "refused"),
        (OutcomeUnknownError("gone"), "unknown"),
    ],
    ids=["answered", "refused", "unknown"],
)
@pytest.mark.parametrize("killed", [False, True])
def test_a_client_is_told_what_is_sure_and_nothing_by_the_dead(raised, outcome, killed):
    answers = []

    async def ask(world):
        process = world.processes[0]

        async def call(_runtime):
            if killed:
                world.kernel.sever(process.life)
            if raised is not None:
                raise raised
            return 7

        answers.append(await world.ask(process, call))

    own(ask)
    (answer,) = answers

    assert ("unknown" if killed else outcome) == answer.outcome
    assert (7 if outcome == "ok" and not killed else None) == answer.value


def test_whoever_insists_is_answered_in_the_end():
    """However often the process is killed meanwhile."""
    answers = []

    async def insist(world):
        for number in range(30):
            key = b"%d" % number
            answers.append(
                await world.insist(
                    world.processes[0],
                    lambda runtime, key=key: runtime.workflow("a").append("custom", key, key=key),
                )
            )
            await world.kernel.sleep(1)

    run = own(insist, faults=fault_rates(["crash=600000", "unknown_written=300", "slow_store=300"]))

    assert run.holds
    assert run.faults["crash"] > 1
    assert list(range(1, 31)) == [answer.value.seq for answer in answers]


@workflow.define(name="world_runs.nap")
async def nap() -> None:
    await workflow.sleep(300)


def test_a_process_that_comes_back_while_it_opens_may_take_the_place_of_its_successor(monkeypatch):
    """In memory no lock keeps it away: whoever raised the epoch last is the runner; nothing is broken."""
    really, calls = FaultyStore.raise_epoch, []

    async def late(store):
        calls.append(store.name)
        if len(calls) == 1:
            await store._kernel.sleep(40)  # it stands here when it is paused, and when its successor comes
        return await really(store)

    async def clients(world):
        [process] = world.processes
        await world.kernel.sleep(100)
        await world.insist(process, lambda runtime: runtime.start(nap, id="nap"))
        await world.insist(process, lambda runtime: runtime.workflow("nap").result())

    monkeypatch.setattr(FaultyStore, "raise_epoch", late)
    load = Own(clients)
    load.workflows = (nap,)
    plans = [Plan(workload="own", faults={"pause": rate}) for rate in (400_000, 800_000)]
    runs = [run_world(seed, plan, own=load) for plan in plans for seed in range(6) if calls.clear() is None]

    assert [run.violations for run in runs] == [()] * len(runs)
    assert any(b'"fenced"' in line for run in runs for line in run.lines)
