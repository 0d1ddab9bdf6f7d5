"""Folds: what has no name, no version or only half of a form is refused where it is made."""

from __future__ import annotations

import pytest

from treadle import EventKind, Fold, InvalidValueError, WorkflowEvent
from treadle.log import FoldedState, decode_folded, encode_folded, is_folded
from treadle.log.folds import NAME_SIZE_BYTES_MAX


def add(total, event):
    return total + len(event.payload)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "n" * (NAME_SIZE_BYTES_MAX + 1)},
        {"name": "\ud800"},
        {"name": 7},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"initial": 0},
        {"apply": None},
        {"encode": str.encode},
        {"decode": bytes.decode},
        {"snapshot_every": 0},
    ],
)
def test_what_is_no_fold_is_refused_where_it_is_made(wrong):
    """Whatever is wrong, no fold is made of which a state could be kept."""
    right = {"name": "total", "version": 1, "initial": int, "apply": add}
    Fold(**right)

    with pytest.raises(InvalidValueError, match="fold"):
        Fold(**{**right, **wrong})


def test_what_is_kept_is_read_back_and_nothing_else_is_taken_for_it():
    """A kept state comes back whole; another document is refused, not guessed at."""
    kept = FoldedState("total", 3, "order-7", 41, "00ff", data=b"\x00\xff")

    assert decode_folded(encode_folded(kept)) == kept

    for other in (b"", b"{}", b"\xff", b'{"fold": 1}', b"[1]"):
        with pytest.raises(InvalidValueError, match="no state"):
            decode_folded(other)


def test_only_a_baseline_is_kept_from_apply():
    """Every other kind says something that happened."""
    unseen = [kind for kind in EventKind if not is_folded(WorkflowEvent(1, 0, kind))]

    assert unseen == [EventKind.BASELINE]
