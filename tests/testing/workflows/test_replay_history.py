"""`replay`: code with one line changed, or a history with one event changed, is shown."""

from __future__ import annotations

import inspect
import json
import re

import pytest
import toy_shop as shop
import toy_shop_versions as versions

from treadle import NewEvent, WorkflowEvent, WorkflowLog, formats
from treadle.errors import CorruptStoreError, FormatError, NondeterminismError, UsageError
from treadle.formats import ImportedLog
from treadle.testing import SignalAt, Status, hangs, replay, returns, run_workflow

SCRIPTS = {"pick": 1, "charge": returns("r-1", after_seconds=3)}
ARGUMENTS = ("A-17", 4200)


def rehearsed(definition=versions.sale, **scripts):
    return run_workflow(definition, *ARGUMENTS, activities={**SCRIPTS, **scripts})


def line_of(definition, text):
    lines, first = inspect.getsourcelines(definition.function)
    return next(first + number for number, line in enumerate(lines) if text in line)


def test_history_of_the_same_code_replays():
    found = replay(rehearsed(), versions.sale)

    assert (Status.COMPLETED, 1) == (found.status, found.runs)


def test_exported_file_replays(tmp_path):
    rehearsal = rehearsed()
    path = rehearsal.export(tmp_path / "sale.jsonl")

    assert len(rehearsal.events) == replay(path, versions.sale).events
    assert len(rehearsal.events) == replay(str(path), versions.sale, workflow_id="rehearsal").events


def test_history_of_several_runs_replays(tmp_path):
    adds = [SignalAt(1, "add", number) for number in range(1, 7)]
    rehearsal = run_workflow(shop.counter, messages=adds)

    assert 3 == replay(rehearsal.export(tmp_path / "counter.jsonl"), shop.counter).runs


def test_history_may_begin_with_a_later_run():
    adds = [SignalAt(1, "add", number) for number in range(1, 7)]
    events = run_workflow(shop.counter, messages=adds).events
    later = [event for event in events if event.seq >= first_seq(events, "CONTINUED")]

    assert 2 == replay(later, shop.counter).runs


def test_id_that_was_started_again_replays():
    first, second = rehearsed().events, rehearsed().events
    moved = [
        WorkflowEvent(event.seq + len(first), event.timestamp, event.kind, shifted(event, len(first)))
        for event in second
    ]

    assert 2 == replay([*first, *moved], versions.sale).runs


def shifted(event, by):
    fields = json.loads(event.payload)
    if "seq" in fields:
        fields["seq"] += by
    if "timers" in fields:
        fields["timers"] = [timer + by for timer in fields["timers"]]
    return json.dumps(fields, separators=(",", ":")).encode()


def test_open_history_tells_what_it_waits_for():
    rehearsal = run_workflow(
        versions.sale, *ARGUMENTS, activities={**SCRIPTS, "charge": hangs()}, until_seconds=24 * 3600 + 10
    )
    found = replay(rehearsal, versions.sale)

    assert Status.RUNNING is found.status
    assert "activity 'charge'" in found.waiting_for[0]


def open_history(definition):
    """A history that ends while its activities run."""
    rehearsal = run_workflow(
        definition, *ARGUMENTS, activities={**SCRIPTS, "pick": hangs()}, until_seconds=60
    )
    assert Status.RUNNING is rehearsal.status
    return rehearsal


def first_seq(events, kind):
    return next(event.seq for event in events if event.kind.name == kind)


# -- a line of the code is changed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "kind", "line", "both_sides"),
    [
        (versions.renamed, "ACTIVITY_SCHEDULED", "activity(bill", [("name", "'charge'", "'bill'")]),
        (versions.other_argument, "ACTIVITY_SCHEDULED", "cents + 1", [("argument 2", "4200", "4201")]),
        (versions.other_timer, "TIMER_STARTED", "sleep(2", "deadline_ns"),
        (
            versions.swapped,
            "ACTIVITY_SCHEDULED",
            "sleep(DAY",
            [("kind", "ACTIVITY_SCHEDULED", "TIMER_STARTED")],
        ),
        (versions.extra_step, "WORKFLOW_COMPLETED", "thank-you", "kind"),
        (versions.missing_step, "TIMER_STARTED", "charge", "kind"),
        (versions.other_result, "WORKFLOW_COMPLETED", None, [("result", '"paid r-1"', '"paid with r-1"')]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_changed_line_is_shown_with_both_sides(changed, kind, line, both_sides):
    """Activity renamed, argument, timer length or result changed, order swapped, a step more or less."""
    history = rehearsed()

    with pytest.raises(NondeterminismError) as caught:
        replay(history, changed)

    error = caught.value
    assert kind == history.events[error.seq - 1].kind.name
    assert error.expected.startswith(kind)
    if isinstance(both_sides, str):
        assert both_sides in str(error.differences)
    else:
        assert both_sides == list(error.differences)
    if line is not None:
        assert (
            f"{__file__.replace('test_replay_history', 'toy_shop_versions')}:{line_of(changed, line)}"
            == error.where
        )


def test_step_more_beside_another_is_shown():
    with pytest.raises(NondeterminismError, match="nothing more before ACTIVITY_COMPLETED") as caught:
        replay(rehearsed(), versions.extra_wait)

    assert "box" in caught.value.actual


def test_step_more_at_the_end_of_an_open_history_is_shown():
    """The log has nothing there to compare it with; still it is told, with the line."""
    history = open_history(versions.two_at_once)

    with pytest.raises(
        NondeterminismError, match="nothing more: it ends with the ACTIVITY_SCHEDULED"
    ) as caught:
        replay(history, versions.three_at_once)

    assert "tape" in caught.value.actual
    assert caught.value.where is not None
    assert history.events[-1].seq + 1 == caught.value.seq


def test_step_less_at_the_end_of_an_open_history_is_shown():
    with pytest.raises(NondeterminismError, match="less"):
        replay(open_history(versions.three_at_once), versions.two_at_once)


def test_other_failure_is_shown():
    history = run_workflow(versions.fails, "A", activities=SCRIPTS)

    with pytest.raises(NondeterminismError, match="KeyError"):
        replay(history, versions.fails_otherwise)


@pytest.mark.parametrize("changed", [versions.other_options, versions.equal_argument])
def test_drift_is_a_failure_in_tests_unless_it_is_allowed(changed):
    """Production goes on with the logged value; a test wants to know."""
    with pytest.raises(NondeterminismError, match="drift"):
        replay(rehearsed(), changed)

    assert 1 == len(replay(rehearsed(), changed, allow_drift=True).drifts)


def test_code_of_another_name_is_refused():
    with pytest.raises(NondeterminismError, match="another workflow"):
        replay(rehearsed(), shop.order)


def test_activities_may_be_named_strictly():
    with pytest.raises(Exception, match=r"activity 'charge'.*is unknown"):
        replay(rehearsed(), versions.sale, activities=[versions.pick])
    assert replay(rehearsed(), versions.sale, activities=[versions.pick, versions.charge])


# -- the history is changed ----------------------------------------------------------------------------


def damaged(path, change):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(lines)))
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:4], *lines[5:]],
        lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
        lambda lines: [line.replace("4200", "4201") for line in lines],
        lambda lines: [line.replace("r-1", "r-2") for line in lines],
        lambda lines: lines[:-1],
        lambda lines: [lines[0], *lines[2:]],
    ],
    ids=["dropped", "swapped", "argument changed", "result changed", "cut short", "beginning dropped"],
)
def test_file_with_a_changed_line_is_refused(tmp_path, change):
    path = damaged(rehearsed().export(tmp_path / "sale.jsonl"), change)

    with pytest.raises(FormatError, match=r"sale\.jsonl"):
        replay(path, versions.sale)


def repaired(events):
    """Give events a chain that fits, as somebody who edits a history by hand and exports it again."""
    return [
        WorkflowEvent(seq, event.timestamp, event.kind, event.payload) for seq, event in enumerate(events, 1)
    ]


def changed_events(change):
    return repaired(change(list(rehearsed().events)))


@pytest.mark.parametrize(
    "change",
    [
        lambda events: [*events[:1], *events[2:]],
        lambda events: [*events[:2], *events[3:]],
        lambda events: [*events[:3], *events[4:]],
        lambda events: [*events[:1], events[2], events[1], *events[3:]],
        lambda events: [*events[:4], events[6], events[5], events[4], *events[7:]],
        lambda events: [*events[:2], events[2], *events[2:]],
        lambda events: [with_payload(event, b"4200", b"4201") for event in events],
        lambda events: [with_payload(event, b'"r-1"', b'"r-2"') for event in events],
        lambda events: [with_payload(event, b'"seq":6', b'"seq":2') for event in events],
        lambda events: [with_payload(event, b'"timers":[4]', b'"timers":[4,5]') for event in events],
    ],
    ids=[
        "command dropped", "result dropped", "timer dropped", "command and result swapped",
        "later ones swapped", "doubled", "argument changed",
        "activity's result changed", "answer to another", "timers changed",
    ],
)  # fmt: skip
def test_history_with_a_changed_event_is_shown(change):
    """Also when its chain was made to fit again, so that only the code can tell."""
    with pytest.raises((NondeterminismError, CorruptStoreError)) as caught:
        replay(changed_events(change), versions.sale)

    assert re.search(r"seq \d+", str(caught.value))


def with_payload(event, before, after):
    if event.seq == 1:
        return event
    return WorkflowEvent(event.seq, event.timestamp, event.kind, event.payload.replace(before, after))


def test_error_tells_the_line_of_the_file(tmp_path):
    path = rehearsed().export(tmp_path / "sale.jsonl")

    with pytest.raises(NondeterminismError) as caught:
        replay(path, versions.renamed)

    number = caught.value.seq + 1
    assert f"{path}:{number}" in "".join(caught.value.__notes__)
    assert '"charge"' in path.read_text().splitlines()[number - 1].replace("\\", "")


def test_cut_history_is_refused_unless_it_may_be_cut():
    events = open_history(versions.two_at_once).events[:-1]

    with pytest.raises(NondeterminismError, match="nothing more"):
        replay(events, versions.two_at_once)
    assert Status.RUNNING is replay(events, versions.two_at_once, allow_cut=True).status


# -- which history -------------------------------------------------------------------------------------


def several(tmp_path):
    writer = formats.writer("jsonl")
    path = tmp_path / "store.jsonl"
    plain = WorkflowLog()
    plain.extend("plain", [NewEvent("custom", b"{}", 1)])
    logs = [
        ImportedLog("order-1", rehearsed().events),
        ImportedLog("plain", tuple(plain.read("plain"))),
        ImportedLog("order-2", rehearsed().events),
        ImportedLog("fan", run_workflow(shop.fan_out, 2, activities={shop.reserve: 1}).events),
    ]
    path.write_bytes(writer.begin() + b"".join(map(writer.log, logs)) + writer.end())
    return path


def test_export_of_a_whole_store_needs_an_id(tmp_path):
    path = several(tmp_path)

    with pytest.raises(UsageError, match=r"'order-1', 'order-2'.*workflow_id"):
        replay(path, versions.sale)
    assert "order-2" == replay(path, versions.sale, workflow_id="order-2").workflow_id
    assert "fan" == replay(path, shop.fan_out).workflow_id
    with pytest.raises(UsageError, match="order-9"):
        replay(path, versions.sale, workflow_id="order-9")


def test_events_with_a_gap_are_refused():
    events = list(rehearsed().events)

    with pytest.raises(UsageError, match="seq 3 follows 2, got 4"):
        replay([*events[:2], *events[3:]], versions.sale)


@pytest.mark.parametrize("history", [[], 7, [1], [WorkflowEvent(1, 1, "custom", b"{}")]])
def test_what_is_no_history_is_refused(history):
    with pytest.raises(UsageError, match="a history"):
        replay(history, versions.sale)


def test_only_workflows_are_replayed():
    with pytest.raises(UsageError, match=r"workflow\.define"):
        replay(rehearsed(), versions.charge)
