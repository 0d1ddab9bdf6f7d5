"""treadle's pytest plugin. It stands outside the package, so that pytest starts without importing treadle.

Options: ``--treadle-paranoid`` (or ``treadle_paranoid = true``) replays every activation of every
rehearsal, ``treadle_histories`` names folders of exported histories, and ``--treadle-worlds N`` (or
``treadle_worlds``) says in how many worlds a test runs. Fixtures: `rehearse`, `treadle_history`,
`no_entropy`, `world`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_PARANOID = "TREADLE_PARANOID"
_OPTION = "treadle_paranoid"
_HISTORIES = "treadle_histories"
_WORLDS = "treadle_worlds"
_WORLDS_USUALLY = 20
_WORLD = "_treadle_world_number"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest of the options."""
    group = parser.getgroup("treadle", "durable workflows")
    words = "replay every activation of every rehearsed workflow from scratch and compare; slower"
    group.addoption("--treadle-paranoid", action="store_true", dest=_OPTION, help=words)
    parser.addini(_OPTION, words, type="bool", default=False)
    parser.addini(
        _HISTORIES,
        "files and folders of histories (JSON Lines), one test each where treadle_history is asked for",
        type="paths",
        default=[],
    )
    worlds = "in how many worlds each test that asks for the fixture world is run"
    group.addoption("--treadle-worlds", type=int, dest=_WORLDS, metavar="N", help=worlds)
    parser.addini(_WORLDS, worlds, default=str(_WORLDS_USUALLY))


def pytest_configure(config: pytest.Config) -> None:
    """Make all rehearsals paranoid when the option says so, those of child processes included."""
    if not is_paranoid(config):
        return
    before = os.environ.get(_PARANOID)
    os.environ[_PARANOID] = "1"
    config.add_cleanup(lambda: _restore(before))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each history, and of each world."""
    if _WORLD in metafunc.fixturenames:
        numbers = range(_worlds(metafunc.config))
        metafunc.parametrize(_WORLD, numbers, ids=[_world_id(number) for number in numbers], indirect=True)
    if "treadle_history" not in metafunc.fixturenames:
        return
    places: list[Path] = [Path(place) for place in metafunc.config.getini(_HISTORIES)]
    if not places:
        raise pytest.UsageError(
            f"the fixture treadle_history needs {_HISTORIES} in the ini file: folders with exported histories"
        )
    files = [file for place in places for file in _files(place)]
    metafunc.parametrize("treadle_history", files, ids=[file.name for file in files])


def is_paranoid(config: pytest.Config) -> bool:
    """Tell what option and ini file say."""
    return bool(config.getoption(_OPTION) or config.getini(_OPTION))


@pytest.fixture
def rehearse(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """`treadle.testing.run_workflow`; in paranoid mode each rehearsal is evicted everywhere as well."""
    from treadle.testing import Rehearsal, evict_everywhere, run_workflow  # noqa: PLC0415  # see above

    made: list[Rehearsal[Any]] = []

    def run(*args: Any, **kwargs: Any) -> Rehearsal[Any]:
        made.append(run_workflow(*args, **kwargs))
        return made[-1]

    yield run
    if is_paranoid(request.config):
        for rehearsal in made:
            evict_everywhere(rehearsal)


@pytest.fixture
def no_entropy() -> Iterator[Any]:
    """`treadle.testing.forbid_entropy` round the whole test, for tests with a runtime of their own."""
    from treadle.testing import forbid_entropy  # noqa: PLC0415  # see above

    with forbid_entropy() as guard:
        yield guard


@pytest.fixture(name=_WORLD)
def _world_number(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def world(request: pytest.FixtureRequest, _treadle_world_number: int) -> Any:
    """A world for `treadle.testing.simulate`: the test runs in many, each of another seed and crash.

    Every third has its store on a simulated disk, where a crash leaves what SQLite leaves.
    """
    from treadle.testing import Conditions  # noqa: PLC0415  # see above

    number = _treadle_world_number
    made = Conditions(number, (), _crash(number), "disk" if number % 3 == 2 else "memory")
    node = request.node
    node.add_report_section("call", "treadle", f"{made!r}\nagain: pytest {shlex.quote(node.nodeid)}")
    return made


def _worlds(config: pytest.Config) -> int:
    told = config.getoption(_WORLDS)
    text = config.getini(_WORLDS) if told is None else str(told)
    if not text.isdigit() or int(text) < 1:
        raise pytest.UsageError(f"{_WORLDS} is a whole number from 1, got {text!r}")
    return int(text)


def _crash(number: int) -> tuple[int, Any] | None:
    """No crash in the first world; then append after append, before it and after it."""
    return None if number == 0 else ((number + 1) // 2, "before" if number % 2 else "after")


def _world_id(number: int) -> str:
    crash = _crash(number)
    return f"seed{number}" if crash is None else f"seed{number}-crash-{crash[1]}-{crash[0]}"


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found = sorted(file for ending in ("*.jsonl", "*.jsonl.gz") for file in place.rglob(ending))
    if not found:
        raise pytest.UsageError(f"{_HISTORIES}: expected histories (*.jsonl) in {place}, got none")
    return found


def _restore(before: str | None) -> None:
    if before is None:
        os.environ.pop(_PARANOID, None)
    else:
        os.environ[_PARANOID] = before
