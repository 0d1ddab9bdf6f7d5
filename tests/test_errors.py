"""The errors: one tree, four families, each error whole after a journey between processes."""

import copy
import inspect
import pickle

import pytest

from treadle import errors
from treadle.errors import InternalError, StoreError, TreadleError, UsageError, WorkflowError

CLASSES = [
    value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, BaseException)
]
FACTS = {
    "workflow_id": "order-7",
    "next_seq": 5,
    "seq": 3,
    "stored": b"stored",
    "offered": b"offered",
    "first_kept_seq": 2,
    "needed_by": "run 57",
    "branches": ("order-7-b",),
    "projection": "totals",
    "recorded_version": 1,
    "version": 2,
    "position": 41,
    "store_position": 40,
    "namespace": "treadle:projection",
    "key": b"totals",
    "epoch": 1,
    "current_epoch": 2,
    "source": "orders.xes",
    "line": 12,
    "path": ("items", 3, "price"),
    "reason": "it is no number",
    "status": "failed",
    "name": "order",
    "expected": "ACTIVITY_SCHEDULED charge",
    "actual": "ACTIVITY_SCHEDULED refund",
    "differences": (("name", "charge", "refund"),),
    "where": "orders.py:12",
    "failure_type": "Declined",
    "failure_message": "no money",
    "details": (4200, {"currency": "EUR"}),
    "cause": None,
    "members": (),
    "activity": "charge",
    "attempts": 3,
    "timeout": "start_to_close",
    "pid": 41,
    "host": "here",
}


def make(cls):
    signature = inspect.signature(cls.__init__)
    keyword_only = [p.name for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
    return cls("expected this, got that", **{name: FACTS[name] for name in keyword_only}), keyword_only


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_stands_in_one_of_four_families(cls):
    all_families = (UsageError, StoreError, WorkflowError, InternalError)
    families = [family for family in all_families if issubclass(cls, family)]

    assert issubclass(cls, TreadleError)
    assert (0 if cls is TreadleError else 1) == len(families)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_says_what_it_means(cls):
    assert inspect.getdoc(cls)
    assert cls.__doc__ != TreadleError.__doc__ or cls is TreadleError


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])  # noqa: S301
@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_a_journey(cls, copied):
    error, facts = make(cls)
    error.add_note("seen on the way")

    arrived = copied(error)

    assert cls is type(arrived)
    assert (str(error), error.args) == (str(arrived), arrived.args)
    assert {name: FACTS[name] for name in facts} == {name: getattr(arrived, name) for name in facts}
    assert ["seen on the way"] == arrived.__notes__
    assert error.written == arrived.written


def test_only_an_unknown_outcome_and_our_own_bugs_leave_it_open_whether_it_is_written():
    unknown = {cls.__name__ for cls in CLASSES if cls.written == "unknown"}

    assert {"OutcomeUnknownError", "InternalError"} == unknown


def test_bad_values_are_value_errors_too():
    assert issubclass(errors.InvalidValueError, ValueError)
    assert issubclass(errors.BatchError, ValueError)


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "no trace"),
        ({"source": "a.xes"}, "a.xes: no trace"),
        ({"line": 3}, "3: no trace"),
        ({"source": "a.xes", "line": 3}, "a.xes:3: no trace"),
    ],
)
def test_format_error_tells_where(facts, text):
    assert text == str(errors.FormatError("no trace", **facts))


def test_users_may_derive_their_own():
    class MineError(errors.ConflictError):
        """A user's own."""

    error = MineError("x", workflow_id="a", next_seq=2, seq=1)
    with pytest.raises(errors.AdmissionError):
        raise error
    assert (1, None) == (error.seq, error.stored)


def test_nondeterminism_shows_both_sides_field_by_field():
    error, _ = make(errors.NondeterminismError)

    assert (
        "expected this, got that\n"
        "  workflow 'order-7', seq 3\n"
        "  the log has:  ACTIVITY_SCHEDULED charge\n"
        "  the code did: ACTIVITY_SCHEDULED refund\n"
        "  name: charge -> refund\n"
        "  at orders.py:12"
    ) == str(error)


def test_recorded_cause_shows_in_the_traceback_and_survives_a_journey():
    cause = errors.RecordedError("inner", failure_type="KeyError", failure_message="'sku'")
    error = errors.WorkflowFailedError(
        "outer", workflow_id="w", failure_type="Broken", failure_message="outer", cause=cause
    )

    assert error.__cause__ is error.cause is cause
    arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert arrived.__cause__ is arrived.cause
    assert ("KeyError", "'sku'") == (arrived.cause.failure_type, arrived.cause.failure_message)
