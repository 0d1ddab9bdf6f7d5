"""The real event logs, where they lie beside the project: counts, and nothing lost on the way back."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from format_samples import NO_REAL_FILES, REAL_FILES, read, written

from treadle.events import EventKind
from treadle.formats.contract import ImportedLog

pytestmark = pytest.mark.skipif(not REAL_FILES.is_dir(), reason=NO_REAL_FILES)

HISTORIES = {
    "cadence-workflow+cadence-go-client__activity.cancel.sm.repro": 14,
    "cadence-workflow+cadence-go-client__continue_as_new": 5,
    "temporalio+samples-go__rainbowstatusesworkflow": 12,
    "temporalio+sdk-go__bad-upsert-memo-workflow-2": 12,
    "temporalio+sdk-go__multiple-updates-canceled": 40,
    "temporalio+sdk-go__partial-replay-non-command-event": 8,
    "temporalio+sdk-go__update-reset-rejected": 13,
    "temporalio+sdk-go__workflow_with_bad_unknown_event": 26,
    "temporalio+sdk-java__complexHistory1": 14,
    "temporalio+sdk-java__testAsyncActivityRetryHistory": 11,
    "temporalio+sdk-java__testAsyncWorkflowOperationTestHistory": 43,
    "temporalio+sdk-java__testCancelNexusOperationHistory": 15,
    "temporalio+sdk-java__testLocalActivityAfterCancelTest": 21,
    "temporalio+sdk-java__testUnknownHistoryEventMayIgnore": 6,
    "temporalio+sdk-typescript__cancel_fake_progress_history.bin": 16,
    "temporalio+sdk-typescript__otel_v2_smorgasbord_1_18_1": 38,
    "temporalio+vscode-debugger-extension__multiple-signals-terminated-after-days": 12,
}
"""Every one is whole: their ids run 1 to n, so none is refused. The events of each."""


def test_the_permit_process_is_read_and_comes_back_from_both_formats():
    items = read((REAL_FILES / "receipt.xes.gz").read_bytes(), "receipt.xes.gz")
    logs = [item for item in items if isinstance(item, ImportedLog)]

    assert (len(logs), sum(len(log.events) for log in logs)) == (1_434, 10_011)
    assert len(items) == 1 + len(logs)
    assert items == read(written("xes", items))
    assert items == read(written("jsonl", items))


@pytest.mark.slow
def test_the_incident_process_is_read_and_comes_back():
    items = read((REAL_FILES / "bpic2013_incidents.xes.gz").read_bytes(), "bpic2013_incidents.xes.gz")
    logs = [item for item in items if isinstance(item, ImportedLog)]

    assert (len(logs), sum(len(log.events) for log in logs)) == (7_554, 7_554 + 65_533)
    assert items == read(written("xes", items))


def test_the_list_of_histories_is_complete():
    assert sorted(HISTORIES) == sorted(path.stem for path in (REAL_FILES / "histories").iterdir())


@pytest.mark.parametrize("stem", HISTORIES)
def test_a_real_history_is_read_whole(stem):
    data = (REAL_FILES / "histories" / f"{stem}.json").read_bytes()
    (log,) = read(data, f"histories/{stem}.json")
    original = json.loads(data)
    events = original if isinstance(original, list) else original["events"]

    assert log.workflow_id == stem
    assert len(log.events) == HISTORIES[stem]
    assert log.events[0].kind is EventKind.WORKFLOW_STARTED
    assert sorted(events, key=lambda event: int(event["eventId"])) == [
        json.loads(event.payload) for event in log.events
    ]


def test_real_histories_hold_every_kind():
    found = Counter(
        event.kind
        for stem in HISTORIES
        for log in read((REAL_FILES / "histories" / f"{stem}.json").read_bytes(), f"{stem}.json")
        for event in log.events
    )

    assert set(found) == {EventKind(number) for number in range(9)}
