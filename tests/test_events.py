"""The vocabulary: what is taken, what is refused, and what the refusal says."""

import pickle
from enum import Enum

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import event_contents, workflow_ids
from treadle.errors import InvalidValueError
from treadle.events import (
    BATCH_EVENTS_MAX,
    KEY_SIZE_BYTES_MAX,
    KIND_BY_NUMBER,
    PAYLOAD_SIZE_BYTES_MAX,
    EventKind,
    NewEvent,
    WorkflowEvent,
    check_key,
    check_payload,
    check_seq,
    check_timestamp,
    event_kind,
    trusted_event,
    workflow_id,
)


class Text(str):
    """A user's own string type."""

    __slots__ = ()


# -- workflow ids --


@given(workflow_ids())
def test_valid_ids_are_their_own_names(name):
    assert name == workflow_id(name)
    assert type(workflow_id(name)) is str


@pytest.mark.parametrize("value", [0, 7, 2**64 - 1])
def test_number_becomes_its_decimal_string(value):
    assert str(value) == workflow_id(value)


@pytest.mark.parametrize(
    "name", ["a", "a" * 255, "é" * 127, "\U0001f600" * 63, " ", "a b", "\u2028", "\ufeff"]
)
def test_names_within_the_limits_are_taken(name):
    assert name == workflow_id(name)


def test_subclass_of_str_becomes_plain():
    assert type(workflow_id(Text("a"))) is str


@pytest.mark.parametrize(
    ("value", "came", "do"),
    [
        ("", "an empty string", "name the workflow"),
        ("a" * 256, "256", "shorter name"),
        ("é" * 128, "256", "shorter name"),
        ("a\0", "U+0000 at 1", "strip"),
        ("\n", "U+000A at 0", "strip"),
        ("a\x7f", "U+007F at 1", "strip"),
        ("a\x85b", "U+0085 at 1", "strip"),
        ("\ud800", "lone surrogate", "decode"),
        ("a\udfff", "lone surrogate", "decode"),
        (-1, "-1", "string id"),
        (2**64, str(2**64), "string id"),
        (True, "True (bool)", "str or an int"),
        (1.0, "1.0 (float)", "str or an int"),
        (b"a", "b'a' (bytes)", "str or an int"),
        (None, "None (NoneType)", "str or an int"),
        ([], "[] (list)", "str or an int"),
    ],
)
def test_bad_id_is_refused_saying_what_came_and_what_to_do(value, came, do):
    with pytest.raises(InvalidValueError) as caught:
        workflow_id(value)

    assert "workflow id" in str(caught.value)
    assert came in str(caught.value)
    assert do in str(caught.value)


# -- seqs, timestamps, payloads, keys --


@pytest.mark.parametrize("seq", [0, -1, 2**63, True, False, 1.0, "1", None])
def test_bad_seq_is_refused_everywhere(seq):
    for make in (check_seq, lambda seq: WorkflowEvent(seq, 0, EventKind.CUSTOM)):
        with pytest.raises(InvalidValueError, match=r"a seq is an int from 1 to 2\*\*63-1, got") as caught:
            make(seq)

        assert f"{seq!r} ({type(seq).__name__}); they count" in str(caught.value)


@pytest.mark.parametrize("seq", [1, 2, 2**63 - 1])
def test_good_seq_is_taken(seq):
    check_seq(seq)

    assert seq == WorkflowEvent(seq, 0, EventKind.CUSTOM).seq


@pytest.mark.parametrize("timestamp", [2**63, -(2**63) - 1, True, 1.5, "now"])
def test_bad_timestamp_is_refused_everywhere(timestamp):
    for make in (
        check_timestamp,
        lambda timestamp: WorkflowEvent(1, timestamp, EventKind.CUSTOM),
        lambda timestamp: NewEvent(EventKind.CUSTOM, timestamp=timestamp),
    ):
        with pytest.raises(InvalidValueError, match=r"64 signed bits, got .*; use time\.time_ns\(\)"):
            make(timestamp)


def test_event_with_a_seq_needs_a_timestamp():
    with pytest.raises(InvalidValueError, match="got None"):
        WorkflowEvent(1, None, EventKind.CUSTOM)


@pytest.mark.parametrize("payload", ["text", bytearray(b"x"), memoryview(b"x"), None, 5])
def test_payload_that_is_not_bytes_is_refused_everywhere(payload):
    for make in (
        check_payload,
        lambda payload: WorkflowEvent(1, 0, EventKind.CUSTOM, payload),
        lambda payload: NewEvent(EventKind.CUSTOM, payload),
    ):
        with pytest.raises(InvalidValueError, match=r"a payload is bytes, got .*; encode it first"):
            make(payload)


def test_payload_over_its_limit_is_refused():
    largest = bytes(PAYLOAD_SIZE_BYTES_MAX)

    assert largest == WorkflowEvent(1, 0, EventKind.CUSTOM, largest).payload
    for make in (WorkflowEvent, lambda *args: NewEvent(args[2], args[3])):
        with pytest.raises(InvalidValueError, match=f"at most {PAYLOAD_SIZE_BYTES_MAX} bytes, got"):
            make(1, 0, EventKind.CUSTOM, largest + b"x")


@pytest.mark.parametrize("key", [b"", bytes(KEY_SIZE_BYTES_MAX + 1), "key", None, bytearray(b"k")])
def test_bad_key_is_refused(key):
    advice = "hash a longer one|leave an empty one out|encode it first"
    with pytest.raises(InvalidValueError, match=rf"a key is .*bytes, got .*; ({advice})"):
        check_key(key)


@pytest.mark.parametrize("key", [b"\0", bytes(KEY_SIZE_BYTES_MAX)])
def test_good_key_is_taken(key):
    check_key(key)


def test_limits_are_those_on_disk():
    assert (2 * 1024 * 1024, 1_000, 64) == (PAYLOAD_SIZE_BYTES_MAX, BATCH_EVENTS_MAX, KEY_SIZE_BYTES_MAX)


# -- kinds --


def test_numbers_of_kinds_never_change():
    assert [
        "WORKFLOW_STARTED",
        "ACTIVITY_SCHEDULED",
        "ACTIVITY_COMPLETED",
        "ACTIVITY_FAILED",
        "TIMER_FIRED",
        "SIGNAL_RECEIVED",
        "WORKFLOW_COMPLETED",
        "WORKFLOW_FAILED",
        "CUSTOM",
    ] == [EventKind(number).name for number in range(9)]
    assert not [kind for kind in EventKind if 9 <= kind.value <= 15]
    assert [
        "CONTINUED",
        "SIGNAL_CARRIED",
        "TIMER_STARTED",
        "TIMER_CANCELLED",
        "ACTIVITY_ATTEMPT_FAILED",
        "ACTIVITY_CANCEL_REQUESTED",
        "ACTIVITY_CANCELLED",
        "CANCEL_REQUESTED",
        "WORKFLOW_CANCELLED",
        "WORKFLOW_TERMINATED",
        "SIDE_EFFECT",
        "PATCHED",
        "CHILD_SCHEDULED",
        "CHILD_COMPLETED",
        "CHILD_FAILED",
        "CHILD_CANCEL_REQUESTED",
        "SIGNAL_SENT",
        "SIGNAL_FAILED",
        "CANCEL_SENT",
        "UPDATE_ACCEPTED",
        "UPDATE_COMPLETED",
        "BASELINE",
        "BRANCHED",
        "RESET",
    ] == [kind.name for kind in EventKind if kind.value > 15]
    assert list(range(16, 40)) == [kind.value for kind in EventKind if kind.value > 15]


@pytest.mark.parametrize("kind", EventKind)
def test_kind_is_made_from_itself_its_number_and_its_name(kind):
    for value in (kind, kind.value, kind.name, kind.name.lower()):
        assert event_kind(value) is kind
        assert WorkflowEvent(1, 0, value).kind is kind
        assert NewEvent(value).kind is kind
    assert KIND_BY_NUMBER[kind.value] is kind


@pytest.mark.parametrize("value", [-1, 9, 15, 10**30, True, 8.0, "", "customs", "8", None, b"custom", []])
def test_unknown_kind_is_refused_with_the_list_of_kinds(value):
    for make in (event_kind, lambda value: WorkflowEvent(1, 0, value), NewEvent):
        with pytest.raises(InvalidValueError, match=r"one of workflow_started \(0\), .*custom \(8\).*; got"):
            make(value)


# -- events --


@given(st.integers(1, 2**63 - 1), event_contents())
def test_events_with_equal_values_are_equal_and_frozen(seq, content):
    event = WorkflowEvent(seq, *content)

    assert (seq, *content) == attrs.astuple(event)
    assert event == trusted_event(seq, *content)
    assert hash(event) == hash(trusted_event(seq, *content))
    assert event == pickle.loads(pickle.dumps(event))  # noqa: S301  # our own bytes
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.seq = 5


def test_events_that_differ_anywhere_are_unequal():
    event = WorkflowEvent(1, 2, EventKind.CUSTOM, b"x")

    for other in (
        WorkflowEvent(2, 2, EventKind.CUSTOM, b"x"),
        WorkflowEvent(1, 3, EventKind.CUSTOM, b"x"),
        WorkflowEvent(1, 2, EventKind.TIMER_FIRED, b"x"),
        WorkflowEvent(1, 2, EventKind.CUSTOM, b"y"),
    ):
        assert event != other


def test_defaults():
    assert b"" == WorkflowEvent(1, 0, EventKind.CUSTOM).payload
    assert NewEvent("custom") == NewEvent(EventKind.CUSTOM, b"", None)


def test_events_carry_nothing_but_their_values():
    for event in (WorkflowEvent(1, 0, EventKind.CUSTOM), NewEvent(EventKind.CUSTOM)):
        assert not hasattr(event, "__dict__")
        with pytest.raises((AttributeError, TypeError)):
            event.other = 1


def test_new_event_is_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        NewEvent("custom").payload = b"x"


def test_an_id_is_the_characters_of_its_string():
    """A subclass of str that shows itself otherwise, as an enum does, names what its value names."""

    class Order(str, Enum):  # noqa: UP042  # a StrEnum shows its value, this one does not
        A = "order-a"

    class Liar(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "bad\nid"

    assert workflow_id(Order.A) == "order-a"
    assert workflow_id(Liar("good")) == "good"
    assert type(workflow_id(Liar("good"))) is str
