"""What a history says about capacity: percentiles, pieces of time, attempts at once, and pictures of them."""

import json
import sys

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from treadle import FormatError, UsageError
from treadle.engine import api as workflow
from treadle.engine.definitions import define_activity, define_workflow
from treadle.errors import InvalidValueError
from treadle.sim import Plan, Workload, fault_rates, run_world, stand_in
from treadle.sim.arrivals import BURST_MAX, arrival_times
from treadle.sim.draws import Draws
from treadle.sim.models import _check
from treadle.sim.plotting import PictureError, draw
from treadle.sim.reporting import Attempted, Away, percentile, pieces, report, spread

SECOND = 1_000_000_000


def lines(*given):
    return [json.dumps(line, separators=(",", ":")).encode() for line in given]


def attempt(number, begins, ends, how, seq=2):
    told = {"attempt": number, "workflow": "a", "seq": seq, "activity": "work"}
    return {**told, "begins": begins, "ends": ends, "how": how}


HAND_MADE = lines(
    {"history": 1, "seed": 1},
    {"limits": {"activities_max": 1, "processes": 1}},
    {"life": "p0.1", "begins": 1, "at": 0},
    {"wrote": "a", "at": 0, "begins": True, "scheduled": [[2, "work"], [3, "work"]]},
    attempt(1, 10, 30, "failed"),
    {"wrote": "a", "at": 30, "again": [[2, 1, 50]]},
    attempt(2, 55, 60, "lost"),
    {"life": "p0.1", "ends": 2, "why": "killed", "at": 60},
    {"fault": "crash", "place": "p0.1", "moment": 3, "at": 60},
    {"life": "p0.2", "begins": 4, "at": 70},
    attempt(3, 75, 90, "ok"),
    {"late": 7, "at": 91},
    {"wrote": "a", "at": 98, "ended": [[2, "completed"]], "over": "completed"},
    {"life": "p0.2", "ends": 5, "why": "closed", "at": 100},
    {"ends": 6, "decisions": 9, "violations": 0},
)


# -- numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mille", "expected"), [(0, 1), (500, 50), (501, 51), (900, 90), (990, 99), (999, 100), (1_000, 100)]
)
def test_a_percentile_is_the_nearest_rank(mille, expected):
    assert expected == percentile(range(1, 101), mille)


def test_a_spread_of_one_is_that_one_and_of_none_is_nothing():
    one = spread([7])

    assert (1, 7, 7, 7, 7, 7) == (one.count, one.p50, one.p90, one.p99, one.max, one.mean)
    assert spread([]).count == 0


@given(st.lists(st.integers(0, 10**15), min_size=1))
def test_percentiles_were_seen_and_rise(values):
    told = spread(values)

    assert {told.p50, told.p90, told.p99, told.max} <= set(values)
    assert list(told.curve) == sorted(told.curve)
    assert told.p50 <= told.p90 <= told.p99 <= told.max == max(values)
    assert sum(value <= told.p90 for value in values) * 10 >= len(values) * 9


# -- pieces ---------------------------------------------------------------------------------------------


def test_each_piece_of_a_hand_made_history_is_what_it_is():
    told = report(HAND_MADE)
    (work,) = told.activities

    assert {
        "queueing": 10 + 5, "work": 15, "failed": 20, "lost": 5, "backoff": 20, "recovering": 5, "away": 10,
        "recording": 8,
    } == dict(work.pieces)  # fmt: skip
    assert (2, {"completed": 1}, 1) == (work.scheduled, work.ended, work.unfinished)
    assert (3, 2) == (work.attempts, work.retries)
    assert (98, 10, 15) == (work.latency.max, work.queueing.max, work.running.max)
    assert (1, {"completed": 1}, 0, 98) == (told.begun, told.ended, told.unfinished, told.latency.p50)
    assert (100, 10, 7, {"crash": 1}) == (told.virtual, told.away, told.store_late, told.faults)
    assert told.whole
    assert (1, 1, 40) == (told.at_once.allowed, told.at_once.most, told.at_once.saturated)
    assert told.at_once.mean == pytest.approx(0.4)


def test_a_result_that_nobody_wrote_down_is_repeated_work():
    attempts = [Attempted(0, 10, "ok", 1), Attempted(20, 30, "ok", 2)]

    assert {"repeated": 10, "recovering": 10, "work": 10} == pieces(0, 30, attempts, {}, Away())


@st.composite
def histories(draw):
    scheduled = draw(st.integers(0, 50))
    ended = scheduled + draw(st.integers(0, 300))
    attempts = []
    for number in range(draw(st.integers(0, 5))):
        begins = scheduled + draw(st.integers(0, 300))
        how = draw(st.sampled_from(["ok", "failed", "hung", "cancelled", "lost"]))
        attempts.append(Attempted(begins, begins + draw(st.integers(0, 90)), how, number + 1))
    due = draw(st.dictionaries(st.integers(1, 6), st.integers(0, 400)))
    edges = sorted(draw(st.sets(st.integers(0, 400), max_size=8)))
    return scheduled, ended, attempts, due, list(zip(edges[::2], edges[1::2], strict=False))


@given(histories())
def test_the_pieces_add_up_to_the_whole_time(history):
    """Whatever order attempts, retries and outages came in: nothing counts twice, nothing is left out."""
    scheduled, ended, attempts, due, gaps = history

    found = pieces(scheduled, ended, attempts, due, Away(gaps))

    assert ended - scheduled == sum(found.values())
    assert all(value > 0 for value in found.values())


def test_what_nobody_saw_scheduled_is_counted_apart():
    told = report(lines({"life": "p0.1", "begins": 1, "at": 0}, attempt(1, 0, 5, "ok")))

    assert (1, ()) == (told.unseen, told.activities)
    assert not told.whole


@pytest.mark.parametrize(
    "broken", [b'{"attempt":1}', b'{"wrote":"a"', b'{"late":"x","at":1}', b'{"wrote":"a","at":"x"}']
)
def test_a_line_that_is_none_is_told_with_its_number(broken):
    with pytest.raises(FormatError, match="line of a world's history") as caught:
        report([*HAND_MADE[:3], broken], source="x.jsonl")

    assert (4, "x.jsonl") == (caught.value.line, caught.value.source)


# -- worlds ---------------------------------------------------------------------------------------------


@define_activity(name="tests.sim.report.call")
async def call():
    await stand_in([(1, 2_000)])


@define_workflow(name="tests.sim.report.order")
async def order():
    await workflow.activity(call)


class Orders(Workload):
    """Workflows of one activity that takes exactly two seconds; all come at once."""

    workflows = (order,)
    activities = (call,)

    async def clients(self, world):
        async def one(number):
            name = f"o{number}"
            await world.insist(world.processes[0], lambda runtime: runtime.start(order, id=name))
            await world.insist(world.processes[0], lambda runtime: runtime.workflow(name).result())

        async with trio.open_nursery() as nursery:
            for number in range(world.plan.workflows):
                world.kernel.spawn(nursery, one, number)

    async def check(self, _world, _store):
        return []


def test_ten_calls_of_two_seconds_through_two_slots_take_ten_seconds():
    run = run_world(1, Plan(workload="own", workflows=10, limits="usual", activities_max=2), own=Orders())
    told = report(run.lines)

    assert run.holds, run.violations
    assert (10, {"completed": 10}) == (told.begun, told.ended)
    assert [10 * SECOND] * 2 == [told.latency.max, told.activity_latency.max]
    assert (4 * SECOND, 8 * SECOND) == (told.queueing.p50, told.queueing.max)
    assert {"queueing": 40 * SECOND, "work": 20 * SECOND} == dict(told.pieces)
    assert (2, 2, 10 * SECOND) == (told.at_once.allowed, told.at_once.most, told.at_once.saturated)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_world_with_every_fault_adds_up_as_well(seed):
    plan = Plan(workload="workflows", workflows=10, faults=fault_rates(["all"]))
    run = run_world(seed, plan)
    told = report(run.lines)

    ended = sum(sum(one.ended.values()) for one in told.activities)
    assert ended == told.activity_latency.count > 0
    assert told.at_once.most >= 1
    assert run.faults == told.faults
    assert run.digest == run_world(seed, plan).digest


# -- arrivals and durations -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["constant", "uniform", "exponential", "bursts"])
def test_all_arrive_in_order_over_about_the_duration(kind):
    times = list(arrival_times(kind, 2_000, 3_600 * SECOND, Draws(1, "arrivals")))

    assert 2_000 == len(times)
    assert times == sorted(times)
    assert times[0] >= 0
    assert 0.7 < times[-1] / (3_600 * SECOND) < 1.4
    assert times == list(arrival_times(kind, 2_000, 3_600 * SECOND, Draws(1, "arrivals")))


def test_constant_arrivals_are_evenly_apart_and_bursts_are_not():
    constant = list(arrival_times("constant", 10, 100, Draws(1, "arrivals")))
    bursts = list(arrival_times("bursts", 1_000, 1_000 * SECOND, Draws(1, "arrivals")))

    assert list(range(0, 100, 10)) == constant
    assert 1_000 / BURST_MAX <= len(set(bursts)) < 100


@pytest.mark.parametrize(
    "duration", [-1, 1.5, "90", [], [(1,)], [(0, 5)], [(1, -5)], [(1, 2, 3)], [(True, 5)], None]
)
def test_what_is_no_duration_is_told(duration):
    with pytest.raises(UsageError, match=r"a table of \(share, milliseconds\)"):
        _check(duration)


# -- pictures -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_a_picture_is_drawn_and_is_the_same_again(name, begins, tmp_path):
    for told in (report(HAND_MADE), report([])):
        draw(told, tmp_path / name, title="x")
        first = (tmp_path / name).read_bytes()
        draw(told, tmp_path / name, title="x")

        assert first.startswith(begins)
        assert first == (tmp_path / name).read_bytes()


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match=r"a \.png or an \.svg"):
        draw(report([]), tmp_path / "a.pdf", title="x")


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(PictureError, match=r"pip install 'treadle\[sim\]'"):
        draw(report([]), tmp_path / "a.png", title="x")
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("seq", [0, -1, 2**32, 2**80, "2", 2.5])
def test_a_seq_that_no_run_has_is_no_line_of_a_world(seq):
    """Read as it is, it would be taken for an activity of another workflow."""
    with pytest.raises(FormatError, match="line of a world's history"):
        report(lines({"wrote": "a", "at": 1, "scheduled": [[seq, "work"]]}))


def test_an_activity_that_was_lost_and_is_scheduled_again_counts_from_the_second_time():
    """A power cut takes what was written and seen; its seq is then written once more."""
    told = report(
        lines(
            {"wrote": "a", "at": 10, "begins": True, "scheduled": [[2, "work"]]},
            {"wrote": "a", "at": 20, "ended": [[2, "completed"]]},
            {"wrote": "a", "at": 50, "scheduled": [[2, "work"]]},
            attempt(1, 60, 70, "ok"),
            {"wrote": "a", "at": 80, "ended": [[2, "failed"]]},
            {"ends": 90},
        )
    )

    (times,) = told.activities
    assert (1, {"failed": 1}, 30) == (times.scheduled, times.ended, times.latency.max)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(2, 4), st.integers(0, 50), st.integers(0, 50)), max_size=30
    )
)
def test_attempts_find_their_activities_in_whatever_order_they_are_told(made):
    """Attempts of many activities end in any order: each counts at its own, or as unseen."""
    seen = [(workflow, seq) for workflow in range(4) for seq in (2, 3)]
    told = report(
        lines(
            *(
                {"wrote": f"g{name}", "at": 0, "scheduled": [[seq, f"work {name} {seq}"]]}
                for name, seq in seen
            ),
            *(
                {**attempt(1, begins, begins + long, "ok", seq), "workflow": f"g{name}"}
                for name, seq, begins, long in made
            ),
        )
    )

    for name, seq in seen:
        own = [(begins, long) for *where, begins, long in made if where == [name, seq]]
        (times,) = (one for one in told.activities if one.name == f"work {name} {seq}")
        assert (len(own), max(0, len(own) - 1)) == (times.attempts, times.retries)
        assert max((long for _, long in own), default=0) == times.running.max
        assert min((begins for begins, _ in own), default=0) == times.queueing.max
    assert sum((name, seq) not in seen for name, seq, *_ in made) == told.unseen
