"""A projection says how the feed becomes a state; one that could not is refused when it is made."""

import pytest

from treadle.errors import InvalidValueError
from treadle.projections import Projection, Projections


async def waits(state, _):
    return state


SOUND = {"name": "count", "initial": lambda: 0, "apply": lambda state, _: state + 1}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "printable str"),
        ({"name": "two\nlines"}, "printable str"),
        ({"name": "x" * 101}, "printable str"),
        ({"name": 7}, "printable str"),
        ({"initial": {}}, "write lambda"),
        ({"apply": None}, "a projection's apply is a function"),
        ({"apply": waits}, "async function"),
        ({"key": "workflow_id"}, "a projection's key is a function"),
        ({"version": 0}, "an int from 1 on"),
        ({"version": True}, "an int from 1 on"),
        ({"encode": bytes}, "one of encode and decode"),
        ({"decode": bytes}, "projection 'count' has one of encode and decode"),
    ],
)
def test_a_projection_that_could_not_be_kept_is_refused_when_it_is_made(wrong, words):
    with pytest.raises(InvalidValueError, match=words):
        Projection(**{**SOUND, **wrong})


@pytest.mark.parametrize(
    ("projections", "options", "words"),
    [
        ((), {}, "without projections"),
        ((SOUND["apply"],), {}, "made of projections"),
        ((Projection(**SOUND), Projection(**SOUND, version=2)), {}, "two projections of one set"),
        ((Projection(**SOUND),), {"every_events": 0}, "every_events is an int"),
        ((Projection(**SOUND),), {"every_events": 1.5}, "every_events is an int"),
        ((Projection(**SOUND),), {"every_seconds": 0}, "positive number of seconds"),
        ((Projection(**SOUND),), {"every_seconds": float("nan")}, "positive number of seconds"),
        ((Projection(**SOUND),), {"standby_seconds": "1"}, "positive number of seconds"),
    ],
)
def test_a_set_that_could_not_be_kept_up_is_refused_when_it_is_made(projections, options, words):
    with pytest.raises(InvalidValueError, match=words):
        Projections(*projections, **options)
