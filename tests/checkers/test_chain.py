"""`chain` names the first seq at which what is stored is not what was written."""

from typing import NamedTuple

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import event_contents
from treadle.checkers import chain
from treadle.events import EventKind, workflow_id
from treadle.log import next_digest, root_digest

ID = workflow_id("a")


class Row(NamedTuple):
    seq: int
    timestamp: int
    kind: int
    payload: bytes
    digest: bytes


def rows_of(contents, name=ID):
    digest, rows = root_digest(name), []
    for seq, (timestamp, kind, payload) in enumerate(contents, 1):
        digest = next_digest(digest, seq, timestamp, kind, payload)
        rows.append(Row(seq, timestamp, int(kind), payload, digest))
    return rows


FOUR = rows_of([(10 * n, EventKind(n), b"p%d" % n) for n in range(4)])


@given(st.lists(event_contents(), max_size=8))
def test_untouched_log_passes(contents):
    rows = rows_of(contents)
    head = (len(rows) + 1, rows[-1].digest if rows else root_digest(ID))

    assert [] == chain(ID, iter(rows), head=head)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": 99},
        {"kind": 8},
        {"payload": b"other"},
        {"digest": bytes(16)},
        {"seq": 9},
        {"seq": 0},
        {"seq": True},
        {"timestamp": None},
        {"timestamp": 1.0},
        {"timestamp": 2**63},
        {"kind": 15},
        {"kind": True},
        {"kind": "0"},
        {"payload": "text"},
        {"payload": None},
        {"digest": None},
    ],
)
def test_any_changed_field_is_named_by_its_seq(place, change):
    rows = list(FOUR)
    rows[place] = rows[place]._replace(**change)

    assert [place + 1] == [violation.seq for violation in chain(ID, rows)]


@pytest.mark.parametrize("order", [(1, 0, 2, 3), (0, 2, 3), (0, 0, 1, 2, 3), (0, 1, 3, 2)])
def test_moved_dropped_and_doubled_rows_show(order):
    assert 1 == len(chain(ID, [FOUR[place] for place in order]))


def test_whole_logs_cannot_change_places():
    other = workflow_id("b")

    assert [1] == [violation.seq for violation in chain(other, FOUR)]


def test_missing_tail_shows_against_the_head():
    (violation,) = chain(ID, FOUR[:3], head=(5, FOUR[3].digest))

    assert 4 == violation.seq


def test_head_of_another_history_shows():
    assert 1 == len(chain(ID, FOUR, head=(5, bytes(16))))


def test_cut_log_begins_with_the_digest_before_it():
    assert [] == chain(ID, FOUR[2:], first_seq=3, digest_before=FOUR[1].digest)
    assert [3] == [v.seq for v in chain(ID, FOUR[2:], first_seq=3, digest_before=FOUR[0].digest)]


def test_a_violation_is_frozen():
    (violation,) = chain(ID, FOUR[1:])

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        violation.seq = 7
