"""`treadle sim shrink`, `crash` and `search`: what they find in small worlds, and how it is shown again."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from rich.console import Console

OWN = '''
import trio

from treadle.sim import Violation, Workload


class Own(Workload):
    promises = {"mine": "as I say"}

    def __init__(self):
        self.seen = []

    async def clients(self, world):
        for number in range(world.plan.clients * world.plan.operations):
            world.note("done", number=number)

    async def check(self, world, store):
        return [Violation("mine", "", None, "not so")] if self.breaks(world) else []


class Crowded(Own):
    """Breaks with two clients and more, whatever the rest is."""

    def breaks(self, world):
        return world.plan.clients > 1


class Fine(Own):
    def breaks(self, world):
        return False


class Killed(Own):
    """Breaks when its process is killed behind its first write, and at no other moment."""

    async def clients(self, world):
        await world.insist(world.processes[0], lambda runtime: runtime.workflow("a").append("custom"))

    def breaks(self, world):
        return (1, True) in world.plan.kills and world.processes[0].lives > 1


class Late(Own):
    """Breaks when the first one comes second."""

    async def clients(self, world):
        async with trio.open_nursery() as nursery:
            for number in range(2):
                world.kernel.spawn(nursery, self.come, number)

    async def come(self, number):
        self.seen.append(number)

    def breaks(self, world):
        return self.seen != [0, 1]


class Forced(Own):
    """Breaks in no order of the seed's."""

    async def clients(self, world):
        for number in range(3):
            await world.kernel.turn()

    def breaks(self, world):
        return bool(world.plan.forced)


class Interrupted(Crowded):
    """Somebody presses Ctrl-C in the tenth world."""

    worlds = 0

    async def clients(self, world):
        Interrupted.worlds += 1
        if Interrupted.worlds == 10:
            raise KeyboardInterrupt
'''
QUICK = ("--clients", "3", "--operations", "2", "--duration", "9", "--faults", "none")


@pytest.fixture(autouse=True)
def _own(tmp_path, monkeypatch):
    """A user's module in the current folder; forgotten afterwards."""
    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("mine", None)


def again(treadle, ran):
    """Run the command that a command has printed."""
    return treadle(*shlex.split(ran.json["reproduce"])[1:], "-o", "json")


# -- shrink ---------------------------------------------------------------------------------------------


def test_a_world_is_shrunk_and_its_command_shows_it_again(treadle):
    ran = treadle("sim", "shrink", "4", "mine:Crowded", *QUICK, "-o", "json")

    assert ran.code == 4
    assert {"from": 3, "to": 2} == ran.json["sizes"]["clients"]
    assert {"from": 2, "to": 1} == ran.json["sizes"]["operations each"]
    assert {"from": 5, "to": 1} == ran.json["sizes"]["workflows"]
    assert ran.json["sizes"]["lines"]["to"] < ran.json["sizes"]["lines"]["from"]
    assert ("nothing smaller", {"mine": 1}.items()) <= (ran.json["ended"], ran.json["promises"].items())
    assert "reproduce: treadle sim run mine:Crowded" in ran.err
    shown = again(treadle, ran)
    assert (shown.code, shown.json["digest"]) == (4, ran.json["digest"])
    assert treadle("sim", "replay", "--history", ran.json["history"], "-o", "json").json["same"] is True


def test_a_table_tells_from_what_to_what(treadle):
    ran = treadle("sim", "shrink", "4", "mine:Crowded", *QUICK)

    assert ran.code == 4
    for label, sizes in (("workflows", "5 -> 1"), ("clients", "3 -> 2"), ("operations each", "2 -> 1")):
        assert any(line.split(maxsplit=label.count(" ") + 1)[-1] == sizes for line in ran.out.splitlines()), (
            label
        )
    assert "nothing smaller was found" in ran.out
    assert "BROKEN 1 times: as I say" in ran.out


def test_a_saved_history_says_what_is_shrunk(treadle):
    run = treadle("sim", "run", "mine:Crowded", "--seed", "4", *QUICK, "-o", "json")
    ran = treadle("sim", "shrink", "--history", run.json["history"], "-o", "json")

    assert ran.code == 4
    assert 2 == ran.json["sizes"]["clients"]["to"]


def test_a_second_shrink_begins_with_what_the_first_has_found(treadle):
    """Kept where hypothesis keeps its examples, or where it is wished."""
    first = treadle("sim", "shrink", "4", "mine:Crowded", *QUICK, "--database", "kept", "-o", "json")
    second = treadle("sim", "shrink", "4", "mine:Crowded", *QUICK, "--database", "kept", "-o", "json")

    assert first.json["digest"] == second.json["digest"]
    assert second.json["tried"] < first.json["tried"]


def test_what_holds_is_not_shrunk(treadle):
    ran = treadle("sim", "shrink", "4", "mine:Fine", *QUICK)

    assert ran.code == 2
    assert "seed 4 breaks no promise with this plan: there is nothing to shrink" in ran.err
    assert ["mine.py"] == [path.name for path in Path.cwd().iterdir()]


def test_time_that_is_over_ends_it(treadle):
    ran = treadle("sim", "shrink", "4", "mine:Crowded", *QUICK, "--minutes", "0.000001")

    assert ran.code == 4
    assert re.search(r"0 worlds in [0-9.]+ s; the time was over; --minutes gives it more", ran.out)


def test_ctrl_c_tells_the_smallest_so_far(treadle):
    ran = treadle("sim", "shrink", "4", "mine:Interrupted", *QUICK, "-o", "json")

    assert ran.code == 130
    assert "interrupted; this is the smallest so far" in ran.err
    assert ran.json["ended"] == "interrupted"
    assert Path(ran.json["history"]).exists()


def test_progress_is_shown_where_somebody_watches(treadle, monkeypatch):
    monkeypatch.setattr(
        "rich.console.Console", lambda **options: Console(force_terminal=True, width=120, **options)
    )
    monkeypatch.setattr("treadle.cli.sim.worlds._is_watched", lambda: True)
    shrunk = treadle("sim", "shrink", "4", "mine:Crowded", *QUICK, "-o", "json")
    searched = treadle("sim", "search", "4", "mine:Fine", *QUICK, "-o", "json")

    assert "tried; smallest so far: 1 workflow, 2 clients, 1 operation each, 0 kinds" in shrunk.err
    assert "seed 4  world 1 of 1,000  0 broken" in searched.err


# -- crash ----------------------------------------------------------------------------------------------


def test_a_crash_that_breaks_a_promise_is_told_and_shrunk(treadle):
    """Its history alone says where the process was killed."""
    ran = treadle("sim", "crash", "4", "mine:Killed", *QUICK, "-o", "json")
    (broken,) = ran.json["broken"]

    assert ran.code == 4
    assert [[1, True]] == broken["kills"]
    assert "violation: mine: not so" in ran.err
    assert f"reproduce: treadle sim replay --history {broken['history']}" in ran.err
    replayed = treadle(*shlex.split(broken["reproduce"])[1:], "-o", "json")
    assert (replayed.code, replayed.json["same"]) == (4, True)
    shrunk = treadle("sim", "shrink", "--history", broken["history"], "-o", "json")
    assert (shrunk.code, shrunk.json["sizes"]["kills"]) == (4, {"from": 1, "to": 1})
    assert (again(treadle, shrunk).code, again(treadle, shrunk).json["same"]) == (4, True)


def test_crashes_that_break_nothing_are_counted(treadle):
    ran = treadle("sim", "crash", "4", "logs", "--pairs", "1", "--workflows", "1", *QUICK, "-o", "json")

    assert (ran.code, ran.err, ran.json["broken"]) == (0, "", [])
    assert 1 + 2 * ran.json["appends"] <= ran.json["worlds"] <= 2 + 2 * ran.json["appends"]
    assert {"gap_free": 0, "chain": 0}.items() <= ran.json["promises"].items()


def test_a_crash_after_which_workflows_return_something_else_is_told(treadle, monkeypatch):
    results = iter(range(100))
    monkeypatch.setattr("treadle.sim.exploring.crashes.results_of", lambda _run: next(results))
    ran = treadle("sim", "crash", "4", "mine:Fine", *QUICK, "--same-results", "-o", "json")

    # A workload that appends nothing has nothing to be crashed at.
    assert (ran.code, ran.json["differing"]) == (0, 0)
    ran = treadle("sim", "crash", "4", "logs", *QUICK, "--same-results")
    assert ran.code == 4
    assert "same_results: a workflow has returned something else than without crashes" in ran.err
    assert "BROKEN 1 times: workflows return what they return without crashes" in ran.out


# -- search ---------------------------------------------------------------------------------------------


def test_an_order_that_breaks_a_promise_is_told_and_shrunk_to_one_of_the_seeds(treadle):
    ran = treadle("sim", "search", "4", "mine:Late", *QUICK, "-o", "json")
    (broken,) = ran.json["broken"]

    assert ran.code == 4
    assert 1 == len(broken["forced"])
    replayed = treadle(*shlex.split(broken["reproduce"])[1:], "-o", "json")
    assert (replayed.code, replayed.json["same"]) == (4, True)
    shrunk = treadle("sim", "shrink", "--history", broken["history"], "-o", "json")
    assert {"from": 1, "to": 0} == shrunk.json["sizes"]["forced decisions"]
    assert "treadle sim run mine:Late" in shrunk.json["reproduce"]
    assert again(treadle, shrunk).json["digest"] == shrunk.json["digest"]


def test_forced_decisions_that_a_bug_needs_are_shrunk_and_kept(treadle):
    ran = treadle("sim", "search", "4", "mine:Forced", *QUICK, "--deviations", "2", "-o", "json")
    (broken,) = ran.json["broken"]
    shrunk = treadle("sim", "shrink", "--history", broken["history"], "-o", "json")

    assert {"from": 1, "to": 1} == shrunk.json["sizes"]["forced decisions"]
    assert "treadle sim replay --history" in shrunk.json["reproduce"]
    assert (again(treadle, shrunk).code, again(treadle, shrunk).json["same"]) == (4, True)


def test_orders_that_break_nothing_are_counted(treadle):
    ran = treadle("sim", "search", "4", "mine:Fine", *QUICK, "-o", "json")

    assert (ran.code, ran.json["broken"], ran.json["exhausted"]) == (0, [], True)
    assert "all promises hold" in treadle("sim", "search", "4", "mine:Fine", *QUICK, "--runs", "1").out


def test_a_history_keeps_what_was_forced(treadle):
    treadle("sim", "search", "4", "mine:Late", *QUICK)
    (history,) = Path.cwd().glob("sim-4-*.jsonl")

    assert json.loads(history.read_bytes().splitlines()[0])["plan"]["forced"]


# -- what cannot be asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("shrink",), 2, "give a SEED, or a saved history with --history FILE"),
        (("shrink", "4", "mine:Crowded", "--faults", "crsh"), 2, "did you mean 'crash'?"),
        (("shrink", "4", "--faults", "delay=1001"), 2, "thousandths of calls, 0 to 1,000, got '1001'"),
        (("shrink", "-1"), 2, "a seed is a whole number, 0 to 9223372036854775807, got -1"),
        (("shrink", "four"), 2, "expected a whole number such as 42, got 'four'"),
        (("shrink", "4", "lgs"), 2, "did you mean 'logs'?"),
        (("shrink", "4", "--minutes", "0"), 2, "Must be > 0"),
        (("shrink", "4", "--minutes", "99999"), 2, "Must be <= 10080"),
        (("shrink", "--history", "none.jsonl"), 3, "none.jsonl"),
        (("shrink", "--history", "mine.py"), 1, "mine.py:1: expected a history's header"),
        (("shrink", "4", "mine:Crowded", *QUICK, "--database", "mine.py"), 1, "mine.py: File exists"),
        (("crash",), 2, "requires an argument"),
        (("crash", "4", "--pairs", "-1"), 2, "Must be >= 0"),
        (("crash", "4", "--stop-after", "0"), 2, "Must be >= 1"),
        (("crash", "4", "--faults", "crsh"), 2, "did you mean 'crash'?"),
        (("crash", str(2**63)), 2, f"got {2**63}"),
        (("crash", "4", "mine:Fin"), 3, "did you mean 'Fine'?"),
        (("search",), 2, "requires an argument"),
        (("search", "4", "--deviations", "11"), 2, "Must be <= 10"),
        (("search", "4", "--runs", "0"), 2, "Must be >= 1"),
        (("search", "4", "--faults", "delay=-1"), 2, "got '-1'"),
        (("search", "-1"), 2, "got -1"),
        (("search", "4", "nowhere:Load"), 3, "no module 'nowhere' in this folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_told_and_changes_nothing(treadle, arguments, code, says):
    ran = treadle("sim", *arguments)

    assert says in ran.err
    assert (code, "") == (ran.code, ran.out)
    assert ["mine.py"] == [path.name for path in Path.cwd().iterdir()]
