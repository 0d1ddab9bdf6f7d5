"""The digest chain: fixed for ever on disk, and every change shows in it."""

import struct
from hashlib import blake2b

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strategies import event_contents, logs, payloads, timestamps, workflow_ids
from treadle.events import EventKind, WorkflowEvent, workflow_id
from treadle.log import DIGEST_SIZE_BYTES, chain_digest, next_digest, root_digest


def digest_of(name, events):
    digest = root_digest(name)
    for event in events:
        digest = chain_digest(digest, event)
    return digest


ID = workflow_id("order-7")
seqs = st.integers(1, 2**63 - 1)
digests = st.binary(min_size=DIGEST_SIZE_BYTES, max_size=DIGEST_SIZE_BYTES)


def test_known_values_never_change():
    event = WorkflowEvent(1, -5, EventKind.SIGNAL_RECEIVED, b"paid")

    assert blake2b(b"order-7", digest_size=16).digest() == root_digest(ID)
    by_hand = root_digest(ID) + struct.pack(">qqI", 1, -5, 5) + b"paid"
    assert blake2b(by_hand, digest_size=16).digest() == chain_digest(root_digest(ID), event)


@given(digests, seqs, event_contents())
def test_both_ways_to_continue_agree(before, seq, content):
    assert next_digest(before, seq, *content) == chain_digest(before, WorkflowEvent(seq, *content))


@given(digests, digests, seqs, seqs, event_contents(), event_contents())
def test_any_changed_field_changes_the_digest(before, other_before, seq, other_seq, content, other):
    one, two = (before, seq, *content), (other_before, other_seq, *other)
    for place in range(5):
        changed = (*one[:place], two[place], *one[place + 1 :])

        assert (changed == one) == (next_digest(*changed) == next_digest(*one))


@given(digests, seqs, timestamps(), payloads(), payloads())
def test_a_payload_cannot_pretend_to_be_another_field(before, seq, timestamp, head, tail):
    # The fixed-width fields end at the same place whatever the payload holds.
    assume(head)
    longer = next_digest(before, seq, timestamp, EventKind.CUSTOM, head + tail)

    assert longer != next_digest(before, seq, timestamp, EventKind.CUSTOM, tail)


@given(logs(max_size=8), st.data())
def test_any_other_order_changes_the_digest(events, data):
    order = data.draw(st.permutations(events))

    assert (order == events) == (digest_of(ID, order) == digest_of(ID, events))


@given(logs(max_size=8), st.data())
def test_any_dropped_or_doubled_event_changes_the_digest(events, data):
    assume(events)
    place = data.draw(st.integers(0, len(events) - 1))

    assert digest_of(ID, events) != digest_of(ID, events[:place] + events[place + 1 :])
    assert digest_of(ID, events) != digest_of(ID, [*events[: place + 1], *events[place:]])


@given(workflow_ids(), workflow_ids(), logs(max_size=4))
def test_equal_events_of_two_workflows_have_other_digests(one, two, events):
    assert (one == two) == (digest_of(one, events) == digest_of(two, events))


@pytest.mark.parametrize("kind", EventKind)
def test_a_digest_has_its_size(kind):
    assert len(next_digest(root_digest(ID), 1, 0, kind, b"")) == DIGEST_SIZE_BYTES
