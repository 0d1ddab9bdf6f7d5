"""`treadle sim`: worlds from the command line, small."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from treadle.cli.sim.histories import save
from treadle.cli.sim.plans import PlanOptions, reproducing
from treadle.cli.sim.soak import Seeds
from treadle.cli.sim.worlds import _picture, again_of, virtual
from treadle.errors import UsageError
from treadle.sim import FAULTS, Plan, fault_rates, run_world
from treadle.sim.running import SEED_MAX

SMALL = ("--clients", "2", "--operations", "4", "--duration", "60")
OWN = '''
from treadle.sim import Violation, Workload


class Fine(Workload):
    promises = {"mine": "as I say"}

    async def clients(self, world):
        world.note("seen", place=getattr(self, "place", None))
        self.place = "changed"

    async def check(self, world, store):
        return []


class Broken(Fine):
    """Its promise does not hold in every third world."""

    async def check(self, world, store):
        return [] if world.seed % 3 else [Violation("mine", "a", 3, "it is not so")]


class Raises(Fine):
    async def clients(self, world):
        raise ValueError("a slip")


class Endless(Fine):
    async def clients(self, world):
        while True:
            await world.kernel.sleep(1)


class Unsteady(Fine):
    """Depends on more than its seed."""

    worlds = 0

    async def clients(self, world):
        Unsteady.worlds += 1
        world.note("seen", worlds=Unsteady.worlds)


class NeedsAnArgument(Fine):
    def __init__(self, what):
        pass


class Bare:
    async def clients(self, world):
        pass

    async def check(self, world, store):
        return []


one = Fine()
number = 7
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's module in the current folder; forgotten afterwards."""
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield path
    sys.modules.pop("mine", None)


# -- run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workload", ["logs", "lifetimes", "workflows"])
def test_a_world_is_run_and_every_promise_told(treadle, workload):
    ran = treadle("sim", "run", workload, "--seed", "6", *SMALL, "--workflows", "2", "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json["ok"] is True
    assert (ran.json["seed"], ran.json["workload"]) == (6, workload)
    assert {"gap_free": 0, "chain": 0, "comes_to_an_end": 0}.items() <= ran.json["promises"].items()
    assert ran.json["decisions"] > 100
    assert ran.json["history"] is None
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("command", "more"), [("run", ()), ("soak", ("--seeds", "1")), ("replay", ()), ("report", ())]
)
@pytest.mark.parametrize("option", ["--builtin", "--workload"])
def test_a_workload_may_be_given_by_an_option(treadle, command, more, option):
    seed = ("--first", "3") if command == "soak" else ("--seed", "3")
    ran = treadle("sim", command, *seed, option, "logs", *more, *SMALL, "-o", "json")

    assert (ran.code, ran.json["workload"]) == (0, "logs")


def test_a_table_tells_promise_what_was_checked_and_violations(treadle):
    out = treadle("sim", "run", "--seed", "3", *SMALL).out

    assert "logs, seed 3" in out
    assert "gap_free" in out
    assert "holds: every log's seqs are 1, 2, 3 ..." in out
    assert "all promises hold" in out
    assert f"treadle sim run logs --seed 3 {' '.join(SMALL)}" in out


def test_a_seed_that_is_left_out_is_drawn_and_told(treadle):
    seeds = {treadle("sim", "run", *SMALL, "-o", "json").json["seed"] for _ in range(3)}

    assert len(seeds) > 1


def test_the_printed_command_runs_the_same_world(treadle):
    """Whatever was wished for."""
    first = treadle(
        "sim",
        "run",
        "--faults",
        "crash=90000",
        "delay",
        "--seed",
        "8",
        "--processes",
        "2",
        *SMALL,
        "-o",
        "json",
    )
    again = treadle(*shlex.split(first.json["reproduce"])[1:], "-o", "json")

    assert first.json["digest"] == again.json["digest"]
    assert first.json["digest"] != treadle("sim", "run", "--seed", "8", *SMALL, "-o", "json").json["digest"]


@pytest.mark.parametrize("faults", [{}, {"crash": 20_000}, {"crash": 7, "delay": 100}, fault_rates(["all"])])
def test_a_plan_comes_back_from_its_command(treadle, faults):
    plan = Plan(workload="logs", clients=2, operations=3, duration_seconds=9, faults=faults)

    assert treadle(*shlex.split(reproducing(5, plan))[1:], "--history", "h").code == 0
    header = json.loads(Path("h").read_bytes().splitlines()[0])
    assert plan == Plan.from_json(header["plan"])


def test_the_options_begin_with_what_a_plan_begins_with():
    """But for the faults: whoever runs a world on the command line comes for them."""
    assert Plan(faults=fault_rates(["all"])) == PlanOptions().plan("logs")


def test_a_history_is_saved_where_it_is_wished(treadle):
    ran = treadle("sim", "run", "--seed", "3", *SMALL, "--history", "three.jsonl", "-o", "json")
    lines = Path("three.jsonl").read_bytes().splitlines()

    assert "three.jsonl" == ran.json["history"]
    assert len(lines) == ran.json["lines"]
    assert {"history": 1, "seed": 3}.items() <= json.loads(lines[0]).items()
    assert "ends" in json.loads(lines[-1])


@pytest.mark.usefixtures("own")
def test_a_broken_promise_ends_with_4_its_history_and_its_command(treadle):
    ran = treadle("sim", "run", "mine:Broken", "--seed", "3", "--faults", "none")
    (history,) = Path.cwd().glob("sim-3-*.jsonl")

    assert ran.code == 4
    assert "violation: mine: a seq 3: it is not so" in ran.err
    assert f"history: {history.name}" in ran.err
    assert "reproduce: treadle sim run mine:Broken --seed 3 --faults none" in ran.err
    assert "BROKEN 1 times: as I say" in ran.out
    assert treadle(*shlex.split(ran.err.partition("reproduce: ")[2])[1:]).code == 4
    assert [history] == list(Path.cwd().glob("sim-*.jsonl"))


@pytest.mark.usefixtures("own")
def test_what_a_workload_raises_is_a_violation_with_its_line(treadle):
    ran = treadle("sim", "run", "mine:Raises", "--seed", "1")

    assert ran.code == 4
    assert "raises_nothing: ValueError: a slip at mine.py:" in ran.err


@pytest.mark.usefixtures("own")
def test_a_world_without_end_is_told_its_budget(treadle):
    ran = treadle("sim", "run", "mine:Endless", "--seed", "1", "--decisions", "3000")

    assert ran.code == 4
    assert "it takes more than 3,000 decisions; let it do less" in ran.err


@pytest.mark.usefixtures("own")
def test_every_world_begins_anew(treadle):
    """One object of the user's module is not carried from world to world."""
    for name in ("Fine", "one"):
        ran = treadle("sim", "replay", "1", f"mine:{name}", "--faults", "none", "-o", "json")

        assert (ran.code, ran.json["same"]) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "--faults", "crsh"), 2, "no fault is called 'crsh'; did you mean 'crash'?"),
        (("run", "--faults", "delay=1001"), 2, "thousandths of calls, 0 to 1,000, got '1001'"),
        (("run", "--faults", "crash=1.5"), 2, "thousandths of an hour"),
        (("run", "--seed", "-1"), 2, "a seed is a whole number, 0 to 9223372036854775807, got -1"),
        (("run", "--seed", str(SEED_MAX + 1)), 2, f"got {SEED_MAX + 1}"),
        (("run", "--processes", "2", "--store", "disk"), 2, "a simulated disk is locked by one process"),
        (("run", "--clients", "0"), 2, "clients is a whole number, 1 to 10,000, got 0"),
        (("run", "--clients", "1.5"), 2, "expected a whole number such as 42, got '1.5'"),
        (("run", "--duration", "1e3"), 2, "expected a whole number such as 42, got '1e3'"),
        (("run", "lgs"), 2, "no workload is called 'lgs'; did you mean 'logs'?"),
        (("run", "--builtin", "lgs"), 2, "no workload is called 'lgs'; did you mean 'logs'?"),
        (("run", "--builtin"), 2, "parameter --builtin requires an argument"),
        (("run", "logs", "--builtin", "workflows"), 2, "A world has one workload; leave one of them out."),
        (("report", "logs", "--workload", "workflows"), 2, "A world has one workload"),
        (("run", "nowhere:Load"), 3, "no module 'nowhere' in this folder"),
        (("run", "mine:"), 2, "a workload of your own is named as MODULE:name"),
        (("run", "mine:Fin"), 3, "module 'mine' holds nothing named 'Fin'; did you mean 'Fine'?"),
        (("run", "mine:number"), 2, "mine:number is no workload: it has no clients and no check"),
        (("run", "mine:Bare"), 2, "has no workflows, activities, foreign_writers, promises"),
        (("run", "mine:NeedsAnArgument"), 1, "mine:NeedsAnArgument() raises TypeError"),
        (("soak", "--minutes", "0"), 2, "Must be > 0"),
        (("soak", "--jobs", "65"), 2, "Must be <= 64"),
        (("soak", "--first", str(SEED_MAX), "--seeds", "2"), 2, f"seeds go up to {SEED_MAX}"),
        (("replay",), 2, "give a SEED, or a saved history with --history FILE"),
        (("replay", "--history", "none.jsonl"), 3, "none.jsonl"),
        (("replay", "--history", "mine.py"), 1, "mine.py:1: expected a history's header"),
        (("run", "--history", "none/h", "--seed", "1", *SMALL), 3, "none/h"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_bad_input_is_told_and_changes_nothing(treadle, own, arguments, code, says):
    ran = treadle("sim", *arguments)

    assert code == ran.code
    assert says in ran.err
    assert ran.out == ""
    assert [own] == list(Path.cwd().iterdir())


# -- soak -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.usefixtures("own")
def test_a_soak_tries_every_seed(treadle, jobs):
    ran = treadle(
        "sim", "soak", "mine:Fine", "--seeds", "5", "--jobs", jobs, "--faults", "none", "-o", "json"
    )

    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["ok"], ran.json["worlds"], ran.json["broken"]) == (True, 5, [])
    assert 0 == ran.json["promises"]["mine"]


@pytest.mark.usefixtures("own")
def test_a_soak_stops_at_the_first_violation(treadle):
    ran = treadle(
        "sim", "soak", "mine:Broken", "--seeds", "50", "--first", "1", "--faults", "none", "-o", "json"
    )

    assert ran.code == 4
    assert (3, [3]) == (ran.json["worlds"], [found["seed"] for found in ran.json["broken"]])
    assert Path(ran.json["broken"][0]["history"]).exists()
    assert "violation: seed 3: mine: a seq 3: it is not so" in ran.err
    assert "reproduce: treadle sim run mine:Broken --seed 3 --faults none" in ran.err


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.usefixtures("own")
def test_a_soak_stops_after_as_many_violations_as_are_wished(treadle, jobs):
    ran = treadle(
        "sim", "soak", "mine:Broken", "--seeds", "50", "--stop-after", "2", "--jobs", jobs, "-o", "json",
        "--faults", "none",
    )  # fmt: skip

    assert ran.code == 4
    assert 2 == len(ran.json["broken"])
    assert all(not found["seed"] % 3 for found in ran.json["broken"])


@pytest.mark.usefixtures("own")
def test_a_soak_goes_on_for_a_time(treadle):
    ran = treadle("sim", "soak", "mine:Fine", "--minutes", "0.002", "--faults", "none", "-o", "json")

    assert ran.code == 0
    assert ran.json["worlds"] > 0


def test_jobs_share_the_seeds_and_try_each_once():
    for number in (1, 2, 7, 8):
        shares = Seeds(10, number, None).shares(3)

        assert list(range(10, 10 + number)) == sorted(seed for share in shares for seed in share.each())


# -- replay ---------------------------------------------------------------------------------------------


@pytest.fixture
def saved(treadle):
    """The history of a world."""
    assert treadle("sim", "run", "--seed", "3", *SMALL, "--history", "h.jsonl").code == 0
    return Path("h.jsonl")


@pytest.mark.usefixtures("saved")
def test_a_saved_history_is_made_again_byte_for_byte(treadle):
    for arguments in (("--history", "h.jsonl"), ("3", "--history", "h.jsonl")):
        ran = treadle("sim", "replay", *arguments, "-o", "json")

        assert (ran.code, ran.err) == (0, "")
        assert (ran.json["same"], ran.json["same_code"]) == (True, True)


@pytest.mark.parametrize("change", ["changed", "dropped", "added"])
def test_where_two_histories_part_is_told(treadle, saved, change):
    lines = saved.read_bytes().splitlines()
    if change == "changed":
        lines[6] = lines[6].replace(b'"', b"'", 1)
    lines = {"changed": lines, "dropped": lines[:6] + lines[7:], "added": [*lines, b"{}"]}[change]
    saved.write_bytes(b"\n".join(lines) + b"\n")
    ran = treadle("sim", "replay", "--history", "h.jsonl", "-o", "json")

    assert ran.code == 4
    assert ran.json["parted_at_line"] == (len(lines) if change == "added" else 7)
    assert f"parted at line {ran.json['parted_at_line']}" in ran.err
    assert "the same code and seed gave two histories" in ran.err


@pytest.mark.parametrize("key", ["code", "treadle", "own"])
def test_a_history_that_other_code_made_is_told(treadle, saved, key):
    """Never silently another world."""
    first, *rest = saved.read_bytes().splitlines()
    header = json.loads(first)
    header[key] = "other"
    saved.write_bytes(b"\n".join([json.dumps(header).encode(), *rest]) + b"\n")
    ran = treadle("sim", "replay", "--history", "h.jsonl", "-o", "json")

    assert "other code made this history: " in ran.err
    assert "'other' then" in ran.err
    assert (ran.code, ran.json["same"], ran.json["same_code"]) == (0, True, False)


def test_a_history_of_other_code_that_parts_is_told_both(treadle, saved):
    first, *rest = saved.read_bytes().splitlines()
    header = {**json.loads(first), "code": "other"}
    saved.write_bytes(b"\n".join([json.dumps(header).encode(), *rest[1:]]) + b"\n")
    ran = treadle("sim", "replay", "--history", "h.jsonl")

    assert ran.code == 4
    assert "other code: the seed means another world to it" in ran.err


@pytest.mark.parametrize("arguments", [("4",), ("--clients", "9"), ("--faults", "none"), ("3", "workflows")])
@pytest.mark.usefixtures("saved")
def test_a_history_says_itself_what_it_is_of(treadle, arguments):
    ran = treadle("sim", "replay", *arguments, "--history", "h.jsonl")

    assert ran.code == 2
    assert "h.jsonl" in ran.err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "expected a history's header, a JSON object"),
        (b"[]", "expected a history's header, a JSON object"),
        (b'{"op": 1}', "expected the header of a simulated history"),
        (b'{"history": 2, "seed": 1, "plan": {}}', "it is of version 2, this treadle reads up to 1"),
        (b'{"history": 1, "seed": 1, "plan": {"clients": 0}}', "clients is a whole number"),
        (b'{"history": 1, "seed": 1, "plan": {"wheels": 4}}', "this is no plan of a world"),
        (b'{"history": 1, "seed": -1, "plan": {}}', "a seed is a whole number"),
        (b"\xff\xfe", "expected a history's header"),
    ],
)
def test_a_file_that_is_no_history_is_told(treadle, line, says):
    Path("h.jsonl").write_bytes(line + b"\n")
    ran = treadle("sim", "replay", "--history", "h.jsonl")

    assert ran.code != 0
    assert says in ran.err
    assert ran.out == ""


@pytest.mark.usefixtures("own")
def test_a_workload_that_is_not_the_seeds_alone_is_told(treadle):
    """Run twice in one process, it shows."""
    ran = treadle("sim", "replay", "1", "mine:Unsteady", "--faults", "none")

    assert ran.code == 4
    assert '"worlds":1' in ran.err
    assert '"worlds":2' in ran.err


def test_a_plan_with_kills_is_run_again_from_its_history():
    with pytest.raises(UsageError, match="treadle sim replay --history FILE"):
        reproducing(1, Plan(kills=((3, True),)))


def test_the_command_of_a_plan_with_kills_is_one_for_a_shell(treadle):
    """Wherever its history is."""
    ran = run_world(1, Plan(workload="logs", clients=1, operations=2, kills=((2, True),)))
    command = again_of(ran, save(ran, Path("my worlds' history.jsonl")))

    assert treadle(*shlex.split(command)[1:], "-o", "json").json["digest"] == ran.digest


# -- faults ---------------------------------------------------------------------------------------------


def test_faults_are_listed_with_their_reasons(treadle):
    rows = treadle("sim", "faults", "-o", "jsonl").lines

    assert list(FAULTS) == [row["fault"] for row in rows]
    assert [fault.reason for fault in FAULTS.values()] == [row["reason"] for row in rows]
    for fault in FAULTS.values():
        assert f"{fault.what}: {fault.reason}" in treadle("sim", "faults").out


# -- progress -------------------------------------------------------------------------------------------


def test_progress_is_shown_where_somebody_watches(treadle, monkeypatch):
    monkeypatch.setattr(
        "rich.console.Console", lambda **options: Console(force_terminal=True, width=90, **options)
    )
    monkeypatch.setattr("treadle.cli.sim.worlds._is_watched", lambda: True)
    ran = treadle("sim", "run", "--seed", "3", *SMALL, "-o", "json")

    assert "seed 3" in ran.err
    assert " decisions  virtual " in ran.err
    assert " of 0:01:00" in ran.err
    assert ran.json["ok"]


def test_progress_tells_how_much_of_the_time_is_over_and_how_many_logs_are_checked():
    """A world of months takes minutes, and its checks one of them."""
    kernel = SimpleNamespace(decisions=1_234, current_time=lambda: 90_000.0)
    world = SimpleNamespace(
        kernel=kernel,
        plan=Plan(duration_seconds=180_000),
        faults_made={"crash": 1, "pause": 2},
        logs_checked=0,
        logs_to_check=0,
    )
    lived = "seed 7  1,234 decisions  virtual 1 day 1:00:00 of 2 days 2:00:00  3 faults"

    assert "seed 7" == _picture(7, [])
    assert lived == _picture(7, [world])

    world.logs_checked, world.logs_to_check = 1_000, 2_500

    assert f"{lived}  checked 1,000 of 2,500 logs" == _picture(7, [world])


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0:00:00"), (59.9, "0:00:59"), (3_723, "1:02:03"), (180_000, "2 days 2:00:00")]
)
def test_virtual_time_is_worded(seconds, said):
    assert said == virtual(seconds)
