"""`treadle workflow start|signal|query|...`: to workflows that another process runs, and that nobody runs."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from process_lines import await_line

pytestmark = pytest.mark.usefixtures("shop")

Workflow = Callable[..., Any]
_numbers = count(1)


@pytest.fixture
def new_id() -> str:
    """An id that no other test of the served store has."""
    return f"order-{next(_numbers)}"


@pytest.fixture
def there(treadle, served) -> Workflow:
    """A `treadle workflow` command about a store that another process runs."""
    return lambda command, *arguments: treadle("workflow", command, *arguments, "--store", served)


@pytest.fixture
def waiting(there, new_id) -> str:
    """An order that has reserved, and waits for a decision, in another process."""
    assert there("start", "order", "A", "5", "--id", new_id).code == 0
    await_told(lambda: there("describe", new_id).out, "signal 'decision'")
    return new_id


def await_told(ask: Callable[[], str], text: str) -> str:
    """Ask until the answer holds a text."""
    for _ in range(200):
        if text in (told := ask()):
            return told
        time.sleep(0.05)
    raise AssertionError(f"expected {text!r}, got {told}")


# -- somebody runs them --------------------------------------------------------------------------------


def test_a_workflow_that_another_process_runs_is_reset(there, new_id):
    assert there("start", "nap", "0", "--id", new_id).code == 0
    assert there("result", new_id).json == "awake"
    ran = there("reset", new_id, "--at", "1", "-o", "json")

    assert (ran.code, ran.json["at"], ran.json["reapply"]) == (0, 1, "signals")
    assert there("result", new_id).json == "awake"
    kinds = [event["kind"] for event in there("show", new_id, "-o", "json").json["history"]]
    assert kinds.count("RESET") == 1
    assert kinds.count("WORKFLOW_COMPLETED") == 2
    assert there("reset", new_id, "--at", "99").code == 5


def test_a_started_workflow_is_run_by_the_other_process(there, new_id):
    ran = there("start", "nap", "0", "--id", new_id, "-o", "json")

    assert (ran.code, ran.err) == (0, "")
    assert ran.json | {"runner": None} == {"workflow_id": new_id, "name": "nap", "run": 1, "runner": None}
    assert ran.json["runner"]["pid"] > 0
    assert there("result", new_id).json == "awake"


def test_an_id_in_use_is_a_conflict_unless_the_policy_says_otherwise(there, waiting):
    refused = there("start", "order", "B", "5", "--id", waiting)
    found = there("start", "order", "B", "5", "--id", waiting, "--id-policy", "use_existing", "-o", "json")

    assert (refused.code, refused.out) == (5, "")
    assert "runs already" in refused.err
    assert (found.code, found.json["run"]) == (0, 1)


def test_a_workflow_that_has_ended_may_begin_again_under_its_id(there, new_id):
    there("start", "nap", "0", "--id", new_id)
    there("result", new_id)
    refused = there("start", "nap", "0", "--id", new_id)
    again = there("start", "nap", "0", "--id", new_id, "--id-policy", "allow_when_closed", "-o", "json")

    assert refused.code == 5
    assert again.json["run"] > 1


def test_a_signal_may_come_with_the_start(there, new_id):
    there("start", "order", "A", "5", "--id", new_id, "--signal", "decision", "--value", "yes")

    assert there("result", new_id).json["decision"] == "yes"


def test_a_workflow_that_the_runner_does_not_know_is_refused(there, new_id):
    ran = there("start", "nothing", "--id", new_id)

    assert (ran.code, ran.out) == (2, "")
    assert "knows no workflow 'nothing'" in ran.err


def test_a_signal_reaches_it_and_its_result_comes_back(there, waiting):
    sent = there("signal", waiting, "decision", '{"by": "me"}', "-o", "json")

    assert (sent.code, sent.err) == (0, "")
    assert sent.json["sent"] == "signal 'decision'"
    assert sent.json["runner"]["pid"] > 0
    assert there("result", waiting, "-o", "json").json == {
        "decision": {"by": "me"},
        "notes": [],
        "paid": "c-5",
        "reserved": "r-A",
    }


def test_a_signal_sent_again_with_its_key_is_taken_once(there, waiting):
    for _ in range(2):
        assert there("signal", waiting, "other", "x", "--key", "k").code == 0
    there("signal", waiting, "decision", "yes")
    there("result", waiting)

    kinds = there("show", waiting, "-o", "json").json["kinds"]
    assert kinds["SIGNAL_RECEIVED"] == 2


def test_updates_and_queries_are_answered(there, waiting):
    assert there("update", waiting, "add_note", "gift", "-o", "json").out == "1\n"
    assert there("query", waiting, "notes", "-o", "json").out == '["gift"]\n'


def test_an_update_sent_again_with_its_id_is_done_once(there, waiting):
    answers = [there("update", waiting, "add_note", "x", "--id", "u").json for _ in range(2)]

    assert answers == [1, 1]
    assert there("query", waiting, "notes").json == ["x"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("update", "add_note", "far too long a note"), "ValueError: too long"),
        (("update", "nothing"), "no update 'nothing'; known are: add_note"),
        (("query", "nothing"), "no query 'nothing'; known are: notes"),
    ],
)
def test_what_the_workflow_refuses_ends_with_1_and_its_words(there, waiting, command, says):
    ran = there(command[0], waiting, *command[1:])

    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err


def test_describe_says_in_words_what_it_waits_for(there, waiting):
    table = there("describe", waiting).out
    told = there("describe", waiting, "-o", "json").json

    assert 'workflow    order("A",5)' in table
    assert "waits for   the timer of seq 4, at " in table
    assert "            signal 'decision', at " in table
    assert told["status"] == "running"
    assert told["seen_by"] == "its runner"
    assert len(told["waits_for"]) == 2


def test_stack_shows_the_tasks_with_their_lines(there, waiting):
    table = there("stack", waiting).out
    (tree,) = there("stack", waiting, "-o", "json").json

    assert table.startswith("order: waits for signal 'decision'\n   order  ")
    assert tree["frames"][0]["file"].endswith("shop.py")
    assert there("stack", waiting, "-o", "jsonl").lines == [tree]


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("cancel", "cancelled", "was cancelled: no more"),
        ("terminate", "terminated", "was terminated: no more"),
    ],
)
def test_it_ends_when_it_is_told_to(there, waiting, command, status, says):
    assert there(command, waiting, "--reason", "no more").code == 0
    result = there("result", waiting)

    assert (result.code, result.out) == (1, "")
    assert says in result.err
    assert there("describe", waiting, "-o", "json").json["status"] == status


def test_a_message_to_a_workflow_that_has_ended_is_a_conflict(there, new_id):
    there("start", "nap", "0", "--id", new_id)
    there("result", new_id)

    for command in (
        ("signal", "x"),
        ("update", "x"),
        ("query", "x"),
        ("cancel",),
        ("terminate",),
        ("stack",),
    ):
        ran = there(command[0], new_id, *command[1:])
        assert (ran.code, ran.out) == (5, "")
        assert "is completed" in ran.err


def test_a_result_is_not_waited_for_longer_than_wanted(there, waiting):
    ran = there("result", waiting, "--timeout", "0.05")

    assert (ran.code, ran.out) == (1, "")
    assert "has not ended within 0.05 s; it goes on" in ran.err


def test_a_held_workflow_is_told_and_may_be_tried_again(there, new_id):
    there("start", "slip", "A", "--id", new_id)
    held = await_told(lambda: there("describe", new_id).out, "held because")
    resumed = there("resume", new_id, "-o", "json")

    assert "NameError: name 'mended' is not defined" in held
    assert there("result", new_id).code == 1
    assert resumed.code == 1
    (row,) = resumed.json
    assert (row["workflow_id"], row["status"]) == (new_id, "held")
    assert new_id in there("list", "--status", "held").out
    assert there("terminate", new_id).code == 0
    await_told(lambda: there("describe", new_id).out, "terminated")


def test_one_process_at_a_time_serves_a_store(treadle, served):
    ran = treadle("workflow", "serve", "shop", "--no-standby", "--store", served)

    assert (ran.code, ran.out) == (69, "")
    assert "runs this store's workflows already" in ran.err


def test_a_second_server_stands_by_and_takes_over_when_the_first_is_killed(started, treadle, running):
    name = running("order", "A", 5)
    with started("workflow", "serve", "shop") as first:
        await_line(first.stderr, "running the workflows of ./treadle.db: declined, echo, nap, order")
        with started("workflow", "serve", "shop") as second:
            await_line(second.stderr, f"process {first.pid} on ")
            first.kill()
            first.communicate()
            await_line(second.stderr, "running the workflows")
            assert treadle("workflow", "signal", name, "decision", "yes").code == 0
            assert treadle("workflow", "result", name).json["decision"] == "yes"
            second.send_signal(signal.SIGINT)
            out, err = second.communicate(timeout=30)

    assert (second.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_a_server_tells_of_workflows_that_are_held(started, treadle):
    treadle("run", "shop:nap", "--id", "n", "0")
    treadle("workflow", "start", "slip", "A", "--id", "s")
    with started("workflow", "serve", "shop") as process:
        line = await_line(process.stderr, "is held")
        process.kill()
        process.communicate()

    slip, _, place = line.partition(" (raised at ")

    assert slip == "workflow 's' is held: NameError: name 'mended' is not defined"
    assert "shop.py:" in place


def test_a_server_needs_something_to_run(treadle, tmp_path):
    (tmp_path / "empty.py").write_text("")
    ran = treadle("workflow", "serve", "empty")

    assert (ran.code, ran.out) == (2, "")
    assert "nothing to run: empty holds no workflow" in ran.err


# -- nobody runs them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [("signal", "decision", "yes"), ("cancel",), ("terminate",)], ids=lambda command: command[0]
)
def test_a_message_is_kept_while_nobody_runs_it(treadle, running, command):
    name = running("order", "A", 5)
    ran = treadle("workflow", command[0], name, *command[1:], "-o", "json")

    assert ran.code == 0
    assert ran.json["runner"] is None
    assert "nobody runs the workflows of ./treadle.db now; the " in ran.err
    assert treadle("workflow", "describe", name, "-o", "json").json["messages_waiting"] == 1


@pytest.mark.parametrize(
    "command", [("query", "notes"), ("update", "add_note", "x"), ("stack",), ("result",)], ids=lambda c: c[0]
)
def test_who_needs_an_answer_is_told_that_nobody_runs_it(treadle, running, command):
    ran = treadle("workflow", command[0], running("order", "A", 5), *command[1:])

    assert (ran.code, ran.out) == (69, "")
    assert "nobody runs" in ran.err
    assert "treadle workflow serve MODULE" in ran.err


def test_a_start_is_kept_while_nobody_runs_it_and_begins_with_the_next_runner(treadle, running):
    running("order", "A", 5)
    ran = treadle("workflow", "start", "nap", "0", "--id", "later")
    early = treadle("workflow", "describe", "later")

    assert ran.code == 0
    assert "later begins when somebody does" in ran.err
    assert "not yet" in ran.out
    assert early.code == 69
    assert "has not begun" in early.err
    assert treadle("run", "shop:nap", "0", "--id", "later").json == "awake"


def test_describe_reads_from_the_log_what_it_tells(treadle, running):
    told = treadle("workflow", "describe", running("order", "A", 5), "-o", "json").json

    assert told["seen_by"] == "its log"
    (wait,) = told["waits_for"]
    assert wait.startswith("the timer of seq 4, at ")


def test_with_its_module_it_is_looked_at_here_and_nothing_is_written(treadle, running):
    name = running("order", "A", 5)
    before = treadle("log", "read", name, "-o", "json").json
    described = treadle("workflow", "describe", name, "--module", "shop", "-o", "json").json
    stack = treadle("workflow", "stack", name, "--module", "shop")

    assert treadle("workflow", "query", name, "notes", "--module", "shop", "-o", "json").json == []
    assert described["queries"] == ["notes"]
    assert described["updates"] == ["add_note"]
    assert any("signal 'decision'" in wait for wait in described["waits_for"])
    assert stack.out.startswith("order: waits for signal 'decision'")
    assert before == treadle("log", "read", name, "-o", "json").json


def test_a_module_that_no_longer_fits_is_a_divergence(treadle, running, shop):
    name = running("order", "A", 5)
    shop.write_text(shop.read_text().replace("move_on_after(3600)", "move_on_after(60)"))
    del sys.modules["shop"]

    for command in (("query", "notes"), ("stack",), ("describe",)):
        ran = treadle("workflow", command[0], name, *command[1:], "--module", "shop")
        assert (ran.code, ran.out) == (4, "")
        assert "deadline_ns" in ran.err


# -- what is not there ---------------------------------------------------------------------------------


COMMANDS: tuple[tuple[Any, ...], ...] = (
    ("signal", "x"),
    ("query", "x"),
    ("update", "x"),
    ("cancel",),
    ("terminate",),
    ("result",),
    ("describe",),
    ("stack",),
    ("resume",),
)


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_an_unknown_workflow_is_not_found_and_near_ids_are_told(treadle, command):
    ran = treadle("workflow", command[0], "ordr-1", *command[1:])

    assert (ran.code, ran.out) == (3, "")
    assert "did you mean 'order-1'" in ran.err


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_plain_log_takes_no_messages(treadle, command):
    ran = treadle("workflow", command[0], "order-1", *command[1:])

    assert (ran.code, ran.out) == (2, "")
    assert "is a plain log" in ran.err


@pytest.mark.parametrize("command", [("start", "nap"), *COMMANDS], ids=lambda command: command[0])
def test_a_missing_store_is_told_and_not_made(treadle, tmp_path, command):
    ran = treadle("workflow", command[0], *(() if command[0] == "start" else ("x",)), *command[1:])

    assert (ran.code, ran.out) == (69, "")
    assert "treadle workflow serve MODULE" in ran.err
    assert not (tmp_path / "treadle.db").exists()
