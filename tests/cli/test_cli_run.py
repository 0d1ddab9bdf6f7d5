"""`treadle run`: a workflow to its end, however often the process dies on the way."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from process_lines import await_line

from treadle.cli.durable.running import _begun_head
from treadle.cli.durable.waiting import Teller

pytestmark = pytest.mark.usefixtures("shop")


def trace() -> list[str]:
    """What the activities have done in the world."""
    return Path("trace").read_text().splitlines() if Path("trace").exists() else []


def test_the_result_is_printed_as_json(treadle):
    ran = treadle("run", "shop:echo", "--id", "e", '{"id": "A", "cents": 5}', "-o", "json")

    assert (ran.code, ran.out, ran.err) == (0, '{"cents":5,"id":"A"}\n', "")
    assert trace() == ["reserve A"]


def test_a_table_is_json_on_several_lines(treadle):
    ran = treadle("run", "shop:echo", "--id", "e", '{"id": "A", "cents": 5}')

    assert ran.out == '{\n  "cents": 5,\n  "id": "A"\n}\n'


def test_an_id_is_made_and_told_when_none_is_given(treadle):
    ran = treadle("run", "shop:nap", "0")

    assert ran.code == 0
    name = ran.err.removeprefix("workflow ").strip()
    assert name.startswith("nap-")
    assert treadle("workflow", "result", name).json == "awake"


def test_the_only_workflow_of_a_module_needs_no_name(treadle):
    Path("single.py").write_text("from shop import reserve, nap as _nap\n" + _ONE_WORKFLOW)

    assert treadle("run", "single", "--id", "s", "x").json == "r-x"


_ONE_WORKFLOW = """
from treadle import workflow

@workflow.define
async def single(order_id: str) -> str:
    return await workflow.activity(reserve, order_id)
"""


def test_what_stands_in_an_imported_module_is_registered_too(treadle):
    Path("outer.py").write_text("import shop\n" + _ONE_WORKFLOW.replace("(reserve", "(shop.reserve"))

    assert treadle("run", "outer:single", "--id", "s", "x").json == "r-x"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("order", "A"), "missing a required argument: 'cents'"),
        (("order", "A", "1", "2"), "too many positional arguments"),
        (("order", "A", "x"), "argument cents of workflow 'order' does not fit: Expected `int`, got `str`"),
        (("echo", '{"id": "A"}'), "missing required field `cents`"),
        (("echo", '{"id": "A", }'), "begins with { is JSON"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_made(treadle, arguments, says):
    name, *words = arguments
    ran = treadle("run", f"shop:{name}", "--id", "o", *words)

    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert not Path("treadle.db").exists()


def test_a_word_that_is_no_json_is_a_string_and_quotes_make_any_word_one(treadle):
    values = [treadle("run", "shop:nap", "--id", "n", word).err for word in ("A-17", '"42"', "true")]

    assert ["got `str`" in value for value in values] == [True, True, False]
    assert "got `bool`" in values[2]


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("shpo", 3, "no module 'shpo' in this folder or on Python's path; did you mean shop?"),
        ("shop:ordr", 3, "holds no workflow 'ordr'; did you mean 'order'?"),
        ("shop", 2, "holds several workflows; say which: shop:declined"),
        ("shop.py", 2, "write shop"),
        ("no-module", 2, "a module is named as in an import"),
        ("empty", 2, "holds no workflow; put @workflow.define above an async def"),
        ("torn", 1, "SyntaxError"),
        ("broken", 1, "broken.py:3 in <module>"),
        ("lacking", 1, "could not be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("leaving", 1, "it ended the process"),
    ],
)
def test_a_module_that_cannot_be_used_is_told(treadle, target, code, says):
    Path("empty.py").write_text("")
    Path("torn.py").write_text("def x(:\n")
    Path("broken.py").write_text("\n\nraise ValueError('x')\n")
    Path("lacking.py").write_text("import nowhere\n")
    Path("leaving.py").write_text("raise SystemExit(7)\n")
    ran = treadle("run", target, "--id", "o")

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert not Path("treadle.db").exists()


def test_run_again_it_prints_the_result_and_runs_nothing(treadle):
    treadle("run", "shop:echo", "--id", "e", '{"id": "A", "cents": 5}')
    again = treadle("run", "shop:echo", "--id", "e", "-o", "json")

    assert (again.code, again.out) == (0, '{"cents":5,"id":"A"}\n')
    assert again.err == "workflow e has begun before; going on with it\n"
    assert trace() == ["reserve A"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("shop:nap", "1"), "was started with the arguments [0.0]"),
        (("shop:order", "A", "1"), "runs 'nap', not 'order'"),
    ],
)
def test_an_id_of_another_workflow_or_other_arguments_is_a_conflict(treadle, arguments, says):
    treadle("run", "shop:nap", "--id", "n", "0")
    ran = treadle("run", *arguments[:1], "--id", "n", *arguments[1:])

    assert (ran.code, ran.out) == (5, "")
    assert says in ran.err


def test_a_plain_log_is_no_workflow(treadle):
    treadle("log", "append", "n", "custom", "x")
    ran = treadle("run", "shop:nap", "--id", "n", "0")

    assert ran.code == 2
    assert "plain log" in ran.err


def test_a_workflow_that_fails_ends_with_1_and_its_words(treadle):
    ran = treadle("run", "shop:declined", "--id", "d", "A")

    assert (ran.code, ran.out) == (1, "")
    assert "workflow 'd' failed" in ran.err
    assert "no money for A" in ran.err


def test_a_workflow_that_is_held_ends_with_1_and_goes_on_when_its_code_is_mended(treadle, shop):
    ran = treadle("run", "shop:slip", "--id", "s", "A")

    assert (ran.code, ran.out) == (1, "")
    assert "held: NameError: name 'mended' is not defined" in ran.err
    assert "treadle workflow resume s" in ran.err
    _change(shop, "return mended", 'return "mended"')
    assert treadle("run", "shop:slip", "--id", "s").json == "mended"
    assert trace() == ["reserve A"]


def test_code_that_parts_from_its_log_ends_with_4_and_both_sides(treadle, shop, running):
    running("order", "A", 5)
    _change(shop, "move_on_after(3600)", "move_on_after(60)")
    ran = treadle("run", "shop:order", "--id", "order-1")

    assert (ran.code, ran.out) == (4, "")
    assert "the log has:  TIMER_STARTED" in ran.err
    assert "shop.py:" in ran.err


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    sys.modules.pop("shop", None)


def test_what_it_waits_for_is_told_on_stderr(treadle):
    ran = treadle("run", "shop:nap", "--id", "n", "0.8")

    assert ran.code == 0
    assert ran.err.startswith("n: the timer of seq 2, at ")
    assert ran.err.count("\n") == 1


def test_on_a_terminal_it_is_one_line_that_changes(monkeypatch, capsys):
    monkeypatch.setattr("treadle.cli.durable.waiting.sys.stderr.isatty", lambda: True, raising=False)
    teller = Teller("n")
    with teller.shown():
        teller.tell(())
        teller.tell(tuple(f"child {n}" for n in range(5)))
    told = capsys.readouterr().err

    assert "n: at work" in told or "n: child 0; child 1; child 2; and 2 more" in told


def test_more_than_a_few_things_are_only_counted(capsys):
    teller = Teller("n")
    for _ in range(3):
        teller.tell(tuple(f"child {n}" for n in range(1_005)))

    assert capsys.readouterr().err == "n: child 0; child 1; child 2; and 1,002 more\n"


def test_killed_and_run_again_it_goes_on_where_it_was(started, treadle):
    command = ("run", "shop:order", "--id", "o", "A", "5")
    with started(*command) as process:
        await_line(process.stderr, "signal 'decision'")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    kept = treadle("workflow", "signal", "o", "decision", "yes")
    ran = treadle(*command, "-o", "json")

    assert kept.code == 0
    assert "nobody runs the workflows" in kept.err
    assert ran.json == {"decision": "yes", "notes": [], "paid": "c-5", "reserved": "r-A"}
    assert trace() == ["reserve A", "charge A 5"]


def test_ctrl_c_stops_the_process_and_not_the_workflow(started, treadle):
    with started("run", "shop:order", "--id", "o", "A", "5") as process:
        await_line(process.stderr, "signal 'decision'")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (130, b"")
    assert err.endswith(b"go on with: treadle run shop:order --id o\n")
    assert b"Traceback" not in err
    assert treadle("workflow", "describe", "o", "-o", "json").json["status"] == "running"


def test_where_another_process_runs_the_workflows_it_is_asked_to(served, treadle):
    ran = treadle("run", "shop:nap", "--id", "n", "0", "--store", served)

    assert (ran.code, ran.json) == (0, "awake")
    assert "it is asked to run this one" in ran.err


def test_a_start_that_is_taken_while_one_looks_for_it_has_begun():
    """Whatever is read first, the runner may take the waiting start before the second is read."""

    class Taking:
        looks = 0

        async def heads(self, _):
            self.looks += 1
            return [SimpleNamespace(next_seq=1 if self.looks == 1 else 2)]

        async def messages(self, _, *, limit):
            self.looks += 1
            return ["a start"][:limit] if self.looks == 1 else []

    head = trio.run(_begun_head, Taking(), "o")

    assert head.next_seq == 2
