"""Projections, sound ones and each with one slip of its own, for the kit to find."""

import itertools
import random
import time

from treadle import Projection

COUNT = Projection("count", lambda: 0, lambda state, _: state + 1)
EACH = Projection("each", lambda: 0, lambda state, _: state + 1, key=lambda event: event.workflow_id)


def tally(state, event):
    """Change the state that is given, which is allowed."""
    state[event.workflow_id] = state.get(event.workflow_id, 0) + len(event.event.payload)
    return state


TALLY = Projection("tally", dict, tally)

SHARED = []


def into_shared(state, event):
    state.append(event.event.seq)
    return state


SHARED_INITIAL = Projection(
    "shared initial", lambda: SHARED, into_shared, key=lambda event: event.workflow_id
)

calls = itertools.count()
COUNTS_CALLS = Projection("counts calls", lambda: 0, lambda _, __: next(calls))
CLOCK = Projection("clock", lambda: 0, lambda _, __: time.time_ns())
CHANCE = Projection("chance", lambda: 0, lambda _, __: random.random())
NO_FORM = Projection("no form", tuple, lambda state, event: (*state, event.event.seq))
NUMBER_KEYS = Projection("number keys", dict, lambda state, event: {**state, event.event.seq: 1})

last_seen = {}


def beside(state, event):
    """Remember the workflow that came before in a global: a page border, a restart is not seen by it."""
    before = last_seen.get("id")
    last_seen["id"] = event.workflow_id
    return state + (before == event.workflow_id)


BESIDE = Projection("beside", lambda: 0, beside)


class Cached:
    """A state that keeps something that its form leaves out."""

    def __init__(self, count=0):
        self.count, self.hidden = count, 0

    def __eq__(self, other):
        return self.count == other.count

    __hash__ = None


def cached(state, _):
    state.hidden += 1
    state.count += state.hidden
    return state


HIDDEN = Projection(
    "hidden", Cached, cached, encode=lambda state: b"%d" % state.count, decode=lambda form: Cached(int(form))
)


def across_keys(state, event):
    """Count for a key what another one has seen."""
    totals["all"] = totals["all"] + 1 if event.position > 1 else 1
    return state + totals["all"]


totals = {"all": 0}
ACROSS_KEYS = Projection("across keys", lambda: 0, across_keys, key=lambda event: event.workflow_id)
SET_ORDER = Projection(
    "set order", lambda: "", lambda _, event: next(iter({f"{event.workflow_id}{n}" for n in range(40)}))
)
