"""treadle's pytest plugin. It stands outside the package, so that pytest starts without importing treadle.

Options: ``--treadle-paranoid`` (or ``treadle_paranoid = true``) replays every activation of every
rehearsal, and ``treadle_histories`` names folders of exported histories. Fixtures: `rehearse`,
`treadle_history`, `no_entropy`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_PARANOID = "TREADLE_PARANOID"
_OPTION = "treadle_paranoid"
_HISTORIES = "treadle_histories"


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


def pytest_configure(config: pytest.Config) -> None:
    """Make all rehearsals paranoid when the option says so, those of child processes included."""
    if not is_paranoid(config):
        return
    before = os.environ.get(_PARANOID)
    os.environ[_PARANOID] = "1"
    config.add_cleanup(lambda: _restore(before))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each history."""
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
