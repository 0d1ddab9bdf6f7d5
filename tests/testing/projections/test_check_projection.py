"""`check_projection` finds a fold that is not pure, and lets a pure one pass."""

import impure_folds as folds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import Projection
from treadle.errors import InvalidValueError, UsageError
from treadle.testing import DualityError, EntropyError, any_feed, check_projection, feed_of

FEED = [(name, "custom", b"x" * length) for length, name in enumerate("abbcaabadabbcab")]


@settings(max_examples=10)
@given(any_feed())
def test_sound_folds_pass_with_any_feed(feed):
    for projection in (folds.COUNT, folds.EACH, folds.TALLY):
        check_projection(projection, feed, tries=3)


@pytest.mark.parametrize(
    ("projection", "trial"),
    [
        (folds.SHARED_INITIAL, "initial"),
        (folds.COUNTS_CALLS, "a second time"),
        (folds.BESIDE, "restarted"),
        (folds.HIDDEN, "restarted"),
        (folds.ACROSS_KEYS, "alone"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_fold_that_keeps_something_beside_its_state_is_found(projection, trial):
    with pytest.raises(DualityError) as caught:
        check_projection(projection, FEED)

    assert trial in caught.value.trial
    assert caught.value.projection == projection.name


@pytest.mark.parametrize(
    ("projection", "call"), [(folds.CLOCK, "time.time_ns()"), (folds.CHANCE, "random.random()")]
)
def test_a_fold_that_asks_the_world_is_found_with_its_line(projection, call):
    with pytest.raises(EntropyError, match="a fold calls") as caught:
        check_projection(projection, FEED)

    assert caught.value.call == call
    assert "impure_folds.py" in caught.value.where


@pytest.mark.parametrize("projection", [folds.NO_FORM, folds.NUMBER_KEYS])
def test_a_state_that_does_not_survive_its_form_is_found(projection):
    with pytest.raises(InvalidValueError, match="would come back as"):
        check_projection(projection, FEED)


def test_what_a_fold_raises_leaves_as_itself_with_its_place():
    broken = Projection("broken", lambda: 0, lambda state, event: state / (event.position - 3))

    with pytest.raises(ZeroDivisionError) as caught:
        check_projection(broken, FEED)

    assert "projection 'broken' at position 3, workflow 'b', seq 2" in caught.value.__notes__[0]


def test_the_first_page_after_which_states_part_is_named():
    with pytest.raises(DualityError, match="one event a page, restarted after each") as caught:
        check_projection(folds.HIDDEN, FEED)

    assert (caught.value.position, caught.value.expected, caught.value.found) == (2, "3", "2")


@pytest.mark.slow
def test_the_order_of_a_set_is_found_in_another_process():
    check_projection(folds.SET_ORDER, FEED)
    with pytest.raises(DualityError, match="PYTHONHASHSEED"):
        check_projection(folds.SET_ORDER, FEED, hash_seeds=(1, 2, 3))
    check_projection(folds.EACH, FEED, hash_seeds=(1, 2))


def test_a_projection_that_no_process_could_import_is_refused():
    local = Projection("local", lambda: 0, lambda state, _: state + 1)
    with pytest.raises(UsageError, match="stands at the top of no module"):
        check_projection(local, FEED, hash_seeds=(1,))


def test_a_feed_is_numbered_as_a_store_would():
    feed = feed_of([("a", "custom", b"1"), ("b", "timer_fired", b""), ("a", "custom", b"2")])

    assert [(row.position, row.workflow_id, row.event.seq) for row in feed] == [
        (1, "a", 1),
        (2, "b", 1),
        (3, "a", 2),
    ]
    assert feed_of(feed) == feed


@settings(max_examples=10)
@given(any_feed(st.just(b"p"), workflow_ids=("x",), kinds=("timer_fired",), events_max=3))
def test_a_feed_can_be_narrowed(feed):
    assert len(feed) <= 3
    assert all((row.workflow_id, row.event.payload) == ("x", b"p") for row in feed)
