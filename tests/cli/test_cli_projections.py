"""`treadle projection`: what a store's records tell, and what a module's fold says to them."""
# ruff: noqa: ARG001  # the store is asked for, in the default place

from __future__ import annotations

import importlib
import sys

import pytest
import trio

from treadle import Projections, open_runtime

VIEWS = """
from treadle import Projection, Projections

COUNT = Projection("count", lambda: 0, lambda state, event: state + 1)
EACH = Projection("each", lambda: 0, lambda state, event: state + {step}, key=lambda event: event.workflow_id)

def refuse(state, event):
    if event.position > 2:
        raise ValueError("no more")
    return state + 1

VIEWS = Projections(COUNT, Projection("refusing", lambda: 0, refuse))
"""


@pytest.fixture
def write_views(tmp_path, monkeypatch):
    """Write the module of projections, and import it anew."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write(step="1"):
        (tmp_path / "views_here.py").write_text(VIEWS.replace("{step}", step))
        sys.modules.pop("views_here", None)
        importlib.invalidate_caches()
        return importlib.import_module("views_here")

    yield write
    sys.modules.pop("views_here", None)


@pytest.fixture
def kept(orders, write_views, monkeypatch):
    """A store of orders whose projections are kept."""
    module = write_views()

    async def keep():
        views = Projections(module.COUNT, module.EACH, module.VIEWS.projection("refusing"))
        async with open_runtime(orders, projections=views):
            await views.caught_up("count", "each")

    trio.run(keep)
    monkeypatch.setenv("TREADLE_STORE", str(orders))


def test_the_records_tell_how_far_each_has_read_and_why_one_has_stopped(treadle, kept):
    listed = {row["projection"]: row for row in treadle("projection", "list", "-o", "jsonl").lines}

    assert {name: row["status"] for name, row in listed.items()} == {
        "count": "kept",
        "each": "kept",
        "refusing": "stopped",
    }
    assert (listed["each"]["position"], listed["each"]["behind"], listed["each"]["keys"]) == (7, 0, 3)
    stopped = listed["refusing"]
    assert (stopped["position"], stopped["failed_position"], stopped["behind"]) == (2, 3, 5)
    assert stopped["failure"] == "ValueError: no more"
    assert "stopped at 3" in treadle("projection", "list").out


def test_states_are_shown_without_any_code(treadle, kept):
    sys.modules.pop("views_here", None)

    assert treadle("projection", "show", "count", "-o", "json").json["state"] == 7
    assert treadle("projection", "show", "each", "-o", "json").json["keys"] == 3
    one = treadle("projection", "show", "each", "--key", "order-1", "-o", "json").json
    assert (one["state"], one["workflow_id"]) == (3, "order-1")
    rows = treadle("projection", "show", "each", "--keys", "-o", "json").json
    assert [(row["key"], row["state"]) for row in rows] == [("order-1", 3), ("order-2", 2), ("parcel-9", 2)]
    assert "views_here" not in sys.modules


def test_what_holds_holds(treadle, kept):
    ran = treadle("projection", "verify", "each", "views_here")

    assert ran.code == 0
    assert "holds" in ran.out
    assert "the first event" in ran.out


def test_a_fold_changed_without_its_version_is_found_and_mended_by_a_rebuild(treadle, kept, write_views):
    write_views(step="event.event.seq")
    ran = treadle("projection", "verify", "each", "views_here:EACH", "-o", "json")

    assert ran.code == 4
    assert ran.json["differing"] == 3
    first = ran.json["differences"][0]
    assert (first["key"], first["workflow_id"], first["kept"], first["rebuilt"]) == (
        "order-2",
        "order-2",
        "2",
        "3",
    )
    assert f"position {first['position']}, workflow 'order-2'" in ran.err
    assert treadle("projection", "rebuild", "each", "views_here", "-o", "json").json["keys"] == 3
    assert treadle("projection", "verify", "each", "views_here").code == 0


def test_a_projection_of_a_set_is_found(treadle, kept):
    assert treadle("projection", "verify", "refusing", "views_here:VIEWS").code == 0
    assert treadle("projection", "rebuild", "refusing", "views_here").code == 2
    assert treadle("projection", "list", "-o", "json").code == 0


def test_a_deleted_projection_is_gone(treadle, kept):
    assert treadle("projection", "delete", "each").code == 0

    listed = treadle("projection", "list", "-o", "jsonl").lines
    assert [row["projection"] for row in listed] == ["count", "refusing"]
    assert treadle("projection", "delete", "each").code == 3


def test_what_cannot_be_read_is_listed_as_that(treadle, kept, orders):
    async def spoil():
        async with open_runtime(orders) as runtime:
            await runtime.set_record("treadle:projection", b"count", b"no JSON")
            await runtime.set_record("treadle:projection", b"each", b'{"position": 99, "version": 1}')

    trio.run(spoil)
    listed = {row["projection"]: row for row in treadle("projection", "list", "-o", "jsonl").lines}

    assert [listed[name]["status"] for name in ("count", "each")] == ["unreadable", "ahead"]
    assert "unreadable" in treadle("projection", "list").out
    assert treadle("projection", "verify", "count", "views_here").code == 2
    assert treadle("projection", "rebuild", "count", "views_here").code == 0
    assert treadle("projection", "verify", "count", "views_here").code == 0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["show", "counts"], 3, "did you mean 'count'?"),
        (["show", "each", "--key", "none"], 3, "keeps no state of key 'none'"),
        (["show", "count", "--key", "a"], 2, "it has one state, and no keys"),
        (["show", "each", "--key", "a", "--keys"], 2, "leave one of them out"),
        (["verify", "other", "views_here"], 3, "it holds: 'count', 'each', 'refusing'"),
        (["verify", "count", "views_here:NONE"], 3, "holds nothing named 'NONE'"),
        (["verify", "count", "nowhere_here"], 3, "no module"),
        (["verify", "count", "views.py"], 2, "write views"),
        (["verify", "count"], 2, "MODULE"),
    ],
)
def test_what_cannot_be_right_is_told(treadle, kept, words, code, told):
    ran = treadle("projection", *words)

    assert ran.code == code
    assert told in ran.err


def test_a_store_without_projections_says_how_to_keep_one(treadle, orders, monkeypatch):
    monkeypatch.setenv("TREADLE_STORE", str(orders))
    ran = treadle("projection", "list", "-o", "json")

    assert ran.json == []
    assert "no projection is kept here" in ran.err
