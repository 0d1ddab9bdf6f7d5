"""The payloads: what is documented is what is written; what cannot have been written is told."""

from pathlib import Path

import msgspec
import pytest

from treadle import activity
from treadle.engine.records import (
    COMMAND_KINDS,
    INPUT_KINDS,
    RECORD_BY_KIND,
    ActivityScheduled,
    Answered,
    RunStarted,
    decode_record,
    is_engine_start,
    options_of,
    scheduled_prefix,
)
from treadle.errors import CorruptStoreError
from treadle.events import EventKind, WorkflowEvent

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "workflow-log.md"


def test_the_page_lists_each_kind_with_its_fields():
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| ") and line.split("|")[2].strip().isdigit()
    ]

    assert [
        [
            kind.name,
            str(kind.value),
            "input" if kind in INPUT_KINDS else "command" if kind in COMMAND_KINDS else "neither",
            ", ".join(f"`{field}`" for field in struct.__struct_fields__),
        ]
        for kind, struct in sorted(RECORD_BY_KIND.items())
    ] == shown


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("workflow_started", b'{"rule_set":1,"name":"x"}', True),
        ("continued", b'{"rule_set":1,"name":"x"}', True),
        ("workflow_started", b'{"xes:trace":[]}', False),
        ("workflow_started", b'{"eventId":1,"rule_set":1}', False),
        ("workflow_started", b"", False),
        ("custom", b'{"rule_set":1}', False),
        ("signal_received", b'{"rule_set":1}', False),
    ],
)
def test_a_durable_workflow_is_told_by_its_first_event(kind, payload, expected):
    assert expected is is_engine_start(WorkflowEvent(1, 0, kind, payload))


def test_the_rule_set_stands_first():
    assert "rule_set" == RunStarted.__struct_fields__[0]


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"seq":"x"}', b"[1]", b"\xff", b'{"seq":1'])
def test_a_payload_that_no_engine_wrote_is_corruption(payload):
    event = WorkflowEvent(7, 0, EventKind.TIMER_CANCELLED, payload)
    with pytest.raises(CorruptStoreError, match="seq 7: TIMER_CANCELLED") as told:
        decode_record(event, Answered)

    assert told.value.seq == 7


@activity.define(
    retry=activity.Retry(
        initial_seconds=0.5, backoff=3, maximum_seconds=9, attempts=None, non_retryable=(KeyError,)
    ),
    start_to_close_seconds=1,
    schedule_to_close_seconds=2,
    heartbeat_seconds=0.25,
    on_cancel="abandon",
)
def everything() -> None: ...


@activity.define
def nothing() -> None: ...


@pytest.mark.parametrize("definition", [everything, nothing])
def test_options_come_back_as_they_were(definition):
    record = msgspec.json.decode(scheduled_prefix(definition) + b"[]}", type=ActivityScheduled)
    options = options_of(record)

    assert (definition.name, b"[]") == (record.name, bytes(record.args))
    assert definition.options.retry.non_retryable_names == options.retry.non_retryable_names
    for field in ("start_to_close_ns", "schedule_to_close_ns", "heartbeat_ns", "on_cancel"):
        assert getattr(definition.options, field) == getattr(options, field)
    for field in ("initial_seconds", "backoff", "maximum_seconds", "attempts"):
        assert getattr(definition.options.retry, field) == getattr(options.retry, field)


def test_what_is_default_is_left_out():
    assert b'{"name":"nothing","args":' == scheduled_prefix(nothing)
