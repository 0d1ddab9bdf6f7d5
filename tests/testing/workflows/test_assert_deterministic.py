"""`assert_deterministic`: twice in this process, and in others whose sets have another order."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys

import nondeterministic
import pytest
import toy_shop as shop
import toy_shop_versions as versions

from treadle.errors import NondeterminismError, UsageError
from treadle.payloads import JsonConverter
from treadle.testing import ReplayDifferenceError, Status, assert_deterministic, run_workflow

pytestmark = pytest.mark.slow  # each starts a Python of its own


@pytest.fixture(autouse=True)
def fresh_global():
    nondeterministic.drawn["count"] = 0


def rehearsed(definition):
    return run_workflow(definition, activities={nondeterministic.step: "done"}, guard=False)


def test_sound_workflow_passes(tmp_path):
    rehearsal = run_workflow(shop.order, "A", 7, activities={shop.reserve: 1, shop.charge: "r"})

    found = assert_deterministic(shop.order, rehearsal, hash_seeds=[1])

    assert Status.COMPLETED is found.status
    assert assert_deterministic(shop.order, rehearsal.export(tmp_path / "order.jsonl"), hash_seeds=[])


def test_order_of_a_set_shows_in_another_process():
    rehearsal = rehearsed(nondeterministic.orders_a_set)

    with pytest.raises(
        ReplayDifferenceError, match=r"PYTHONHASHSEED=\d[^$]*argument 1:[^$]*nondeterministic\.py:\d+"
    ):
        assert_deterministic(nondeterministic.orders_a_set, rehearsal)


def test_sorted_set_passes_everywhere():
    assert assert_deterministic(
        nondeterministic.orders_it_sorted, rehearsed(nondeterministic.orders_it_sorted), hash_seeds=[1]
    )


def test_wait_that_differs_elsewhere_shows_too():
    """No command tells it; the comparison of tasks does."""
    rehearsal = rehearsed(nondeterministic.waits_for_one_of_a_set)

    with pytest.raises(ReplayDifferenceError, match=r"PYTHONHASHSEED[^$]*tasks:"):
        assert_deterministic(nondeterministic.waits_for_one_of_a_set, rehearsal)


def test_changed_global_shows_in_this_process():
    rehearsal = rehearsed(nondeterministic.counts)

    with pytest.raises(NondeterminismError, match="number 2"):
        assert_deterministic(nondeterministic.counts, rehearsal, hash_seeds=[])


def test_second_replay_is_compared_with_the_first():
    nondeterministic.drawn["count"] = 1
    rehearsal = rehearsed(nondeterministic.goes_elsewhere_later)

    with pytest.raises(ReplayDifferenceError, match="a second time"):
        assert_deterministic(nondeterministic.goes_elsewhere_later, rehearsal, hash_seeds=[])


def test_workflow_of_main_is_refused(tmp_path):
    """The other process would import it, and run the program."""
    script = tmp_path / "program.py"
    script.write_text(
        "from treadle import workflow\n"
        "from treadle.testing import assert_deterministic, run_workflow\n"
        "@workflow.define\n"
        "async def greet() -> str:\n"
        "    return 'hello'\n"
        "assert_deterministic(greet, run_workflow(greet))\n"
    )

    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)

    assert "defined in __main__" in ended.stderr
    assert "move it to a module" in ended.stderr


def test_workflow_that_another_name_hides_is_refused():
    rehearsal = run_workflow(versions.sale, "A", 1, activities={"pick": 1, "charge": "r"})
    hidden = versions.sale.__class__(versions.sale.function, "sale", ())

    with pytest.raises(UsageError, match="that is this one"):
        assert_deterministic(hidden, rehearsal)


def test_module_that_cannot_be_imported_is_told(tmp_path, monkeypatch):
    """It works here, because this process has imported it already."""
    module = tmp_path / "passing.py"
    module.write_text(
        "from treadle import workflow\n@workflow.define\nasync def greet() -> str:\n    return 'hello'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    passing = importlib.import_module("passing")
    module.write_text("import no_such_module\n")

    with pytest.raises(UsageError, match=r"imports 'passing'.*no_such_module"):
        assert_deterministic(passing.greet, run_workflow(passing.greet), hash_seeds=[1])


def test_test_module_that_was_loaded_by_path_is_found(tmp_path):
    """As pytest does with --import-mode=importlib."""
    path = tmp_path / "elsewhere.py"
    path.write_text(
        "from treadle import workflow\n@workflow.define\nasync def greet() -> str:\n    return 'hello'\n"
    )
    spec = importlib.util.spec_from_file_location("some.package.elsewhere", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["some.package.elsewhere"] = module
    try:
        spec.loader.exec_module(module)
        assert assert_deterministic(module.greet, run_workflow(module.greet), hash_seeds=[1])
    finally:
        del sys.modules["some.package.elsewhere"]


class Own(JsonConverter):
    """A converter of the user's own."""


def test_converter_is_made_anew_elsewhere():
    rehearsal = run_workflow(shop.broken, converter=Own())

    assert assert_deterministic(shop.broken, rehearsal, converter=Own(), hash_seeds=[1])

    class Nested(JsonConverter):
        pass

    with pytest.raises(UsageError, match="converter"):
        assert_deterministic(shop.broken, rehearsal, converter=Nested(), hash_seeds=[1])
