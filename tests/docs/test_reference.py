"""The reference and the explanations say what the code says: tables here are held against the code's own."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import attrs
import pytest

import treadle
import treadle.activity
import treadle.workflow
from treadle import errors
from treadle.cli.exits import EXIT_BY_ERROR, FAILED
from treadle.formats import FORMATS
from treadle.formats.histories import CADENCE_TYPES, KIND_BY_TYPE, TEMPORAL_TYPES
from treadle.formats.xes.content import KIND_BY_TRANSITION
from treadle.log import ADMISSION
from treadle.projections import scd
from treadle.runtime.durable.handle import DurableHandle
from treadle.sim import FAULTS
from treadle.sim.disk import FAULTS as DISK_FAULTS
from treadle.sim.running import PROMISES
from treadle.sim.workloads import WORKLOADS, workload

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ROOMS_WITH_LIMITS = (
    "events",
    "log",
    "payloads",
    "engine",
    "stores",
    "formats",
    "checkers",
    "projections",
    "runtime",
    "sim",
)
SENTINELS = {
    "INTEGER_MAX",  # SQLite's own largest number
    "POSITION_MAX",  # cuts nothing
}


def tables(page: str) -> list[list[list[str]]]:
    """Read the tables of a page: rows of cells, the header first."""
    found: list[list[list[str]]] = [[]]
    for line in (DOCS / page).read_text().splitlines():
        if not line.startswith("|"):
            found.append([])
        elif set(line) - set("|-: "):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return [table for table in found if table]


def table(page: str, *header: str) -> list[list[str]]:
    """Find the rows of the one table with this beginning of its header."""
    (rows,) = [rows for rows in tables(page) if rows[0][: len(header)] == list(header)]
    return rows[1:]


def plain(cell: str) -> str:
    return cell.replace("`", "")


def all_errors() -> list[type[Exception]]:
    own = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in own if issubclass(value, errors.TreadleError)]


def test_admission_table_is_the_codes_own() -> None:
    """The promises' page shows the literal table, row by row, in its order."""
    shown = [tuple(row[:2]) for row in table("explanation/promises.md", "the batch", "answer")]

    assert [(text, answer.value) for text, _, answer in ADMISSION] == shown


def test_every_error_is_in_the_tree() -> None:
    """The tree of errors tells each error's parent and whether anything may be written."""
    shown = [tuple(plain(cell) for cell in row[:3]) for row in table("reference/errors.md", "error", "below")]

    assert [(error.__name__, error.__base__.__name__, error.written) for error in all_errors()] == shown


def test_exit_codes_are_the_command_lines_own() -> None:
    """Each error of the table ends the command with the code of its row."""
    by_name = {kind.__name__: code for kind, code in EXIT_BY_ERROR}
    shown = {
        name: int(row[0])
        for row in table("reference/errors.md", "code", "meaning")
        for name in re.findall(r"`(\w+)`", row[2])
    }

    assert by_name == shown
    assert FAILED == 1


def test_every_public_name_has_a_line() -> None:
    """The API's page lists exactly what the front door lists."""
    listed = [
        plain(row[0]) for rows in tables("reference/api.md") if rows[0][0] == "name" for row in rows[1:]
    ]

    assert sorted(treadle.__all__) == sorted(listed)


@pytest.mark.parametrize("name", ["Runtime", "WorkflowHandle", "WorkflowLog"])
def test_every_method_has_a_line(name: str) -> None:
    """The classes that callers hold are listed with all their methods."""
    section = (DOCS / "reference" / "api.md").read_text().split(f"### `{name}`\n")[1].split("\n#")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    public = [
        method
        for method, value in vars(getattr(treadle, name)).items()
        if callable(value) and not method.startswith("_")
    ]

    assert sorted(public) == sorted(listed)


def test_every_method_about_durable_workflows_has_a_line() -> None:
    """What handles do with durable workflows has a table of its own."""
    listed = section_of("### `WorkflowHandle`, of a durable workflow", r"^\| `(\w+)` \|")
    public = [name for name in vars(DurableHandle) if not name.startswith("_")]

    assert sorted(listed) == sorted(set(public) - {"run", "workflow_id"})


@pytest.mark.parametrize(
    "door", [treadle.workflow, treadle.activity, scd], ids=["workflow", "activity", "projections.scd"]
)
def test_every_name_of_a_door_is_told(door: ModuleType) -> None:
    """Whatever users may import of it is in its table."""
    told = section_of(f"## `{door.__name__}`", r"`(?:@\w+\.)?(\w+)`")

    assert [name for name in door.__all__ if name not in told] == []


def section_of(heading: str, pattern: str) -> list[str]:
    """Find something in one section of the API's page."""
    section = (DOCS / "reference" / "api.md").read_text().split(f"\n{heading}")[1].split("\n#")[0]
    return re.findall(pattern, section, re.MULTILINE)


def test_every_error_named_in_the_api_exists() -> None:
    """No page names an error that there is not."""
    text = (DOCS / "reference" / "api.md").read_text()
    known = {*treadle.__all__, *treadle.workflow.__all__, *treadle.activity.__all__}

    assert [name for name in re.findall(r"`(\w+Error)`", text) if name not in known] == []


def limits() -> dict[str, str]:
    return {
        plain(row[0]): row[1]
        for rows in tables("reference/limits.md")
        if rows[0][0] == "limit"
        for row in rows[1:]
    }


@pytest.mark.parametrize(("name", "shown"), limits().items())
def test_limit_has_its_value(name: str, shown: str) -> None:
    """A limit on the page has the value that the code has."""
    home, _, attribute = name.rpartition(".")
    if home == "RuntimeConfig":
        value = getattr(treadle.RuntimeConfig(), attribute)
    else:
        value = getattr(importlib.import_module(home), attribute)

    assert value == parsed(shown)


def parsed(shown: str) -> float:
    """Read a cell such as `2,097,152 (2 MiB)`; an int stays exact."""
    text = shown.partition(" ")[0].replace(",", "")
    return float(text) if "." in text else int(text)


def test_no_limit_is_left_off_the_page() -> None:
    """Every limit of the runtime's config, and every constant that ends in MAX, has its row."""
    listed = {name.rpartition(".")[2] for name in limits()} | SENTINELS
    config = {field.name for field in attrs.fields(treadle.RuntimeConfig)}
    named = {
        name
        for module in modules()
        for name in vars(importlib.import_module(module))
        if re.fullmatch(r"[A-Z][A-Z_]*_MAX", name)
    }

    assert config | named <= listed


def modules() -> list[str]:
    package = Path(treadle.__file__).parent
    files = [path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in files]
    return sorted(
        name for name in names if name.startswith(tuple(f"treadle.{room}" for room in ROOMS_WITH_LIMITS))
    )


def test_formats_are_the_codes_own() -> None:
    """The table of formats tells endings, what can be written, and whose logs name themselves."""
    shown = table("reference/formats.md", "name", "files")

    assert [
        [
            f"`{row.name}`",
            ", ".join(f"`{ending}`" for ending in row.endings),
            "yes",
            "yes" if row.writable else "no",
            "yes" if row.names_logs else "no",
        ]
        for row in FORMATS.values()
    ] == shown


def test_history_kinds_are_the_codes_own() -> None:
    """Each event type of a history has its numbers and its kind."""
    temporal = {name: str(number) for number, name in TEMPORAL_TYPES.items()}
    cadence = {name: str(number) for number, name in CADENCE_TYPES.items()}
    shown = {row[0]: row[1:] for row in table("reference/formats.md", "event type")}

    assert {name: [temporal[name], cadence[name], kind.name] for name, kind in KIND_BY_TYPE.items()} == shown


def test_xes_transitions_are_the_codes_own() -> None:
    """Each transition of the standard life cycle that has a kind is listed with it."""
    shown = {
        plain(row[0]): row[1] for row in table("reference/formats.md", "`lifecycle:transition`, in any case")
    }
    own = {name: kind.name for name, kind in KIND_BY_TRANSITION.items()}

    assert own == {name: kind for name, kind in shown.items() if name not in {"any other", "none"}}


def test_statistics_that_are_explained_exist() -> None:
    """The page for production names figures that the runtime tells."""
    told = {field.name for field in attrs.fields(treadle.RuntimeStatistics)}
    shown = table("how-to/run-in-production.md", "figure", "look closer when")
    named = [
        name
        for row in shown
        for code in re.findall(r"`([^`]+)`", row[0])
        for name in re.findall(r"[a-z_]+", code)
    ]

    assert named
    assert [name for name in named if name not in told] == []


def test_faults_of_the_simulated_disk_are_the_codes_own() -> None:
    """The page on simulation prints the literal table of faults."""
    shown = table("explanation/simulation.md", "fault", "why it must be survived", "survived by")

    assert [[name, *fault] for name, fault in DISK_FAULTS.items()] == shown


def test_store_methods_are_listed_for_authors() -> None:
    """The page for authors of stores groups all methods of the contract."""
    abstract = treadle.Store.__abstractmethods__
    rows = table("how-to/write-a-store.md", "group", "methods")

    assert sorted(abstract) == sorted(name for row in rows for name in re.findall(r"`(\w+)`", row[1]))


def test_faults_are_the_codes_own() -> None:
    """The page on simulation lists every fault with its rate and its reason."""
    shown = table("explanation/simulation.md", "fault", "rate")

    assert [
        [f"`{name}`", f"{fault.default:,}", f"{fault.per}s", fault.what, fault.reason]
        for name, fault in FAULTS.items()
    ] == shown


def test_promises_of_worlds_are_the_codes_own() -> None:
    """What each built-in workload checks, and what is checked in every world."""
    shown = table("explanation/simulation.md", "workload", "promise")
    own = [
        [f"`{name}`", f"`{promise}`", told]
        for name in WORKLOADS
        for promise, told in workload(name).promises.items()
    ]

    assert [*own, *(["every one", f"`{promise}`", told] for promise, told in PROMISES.items())] == shown


def test_every_page_is_in_the_book() -> None:
    """The map leads to every page."""
    text = (DOCS / "index.md").read_text()
    pages = [str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if path.name != "index.md"]

    assert [page for page in pages if f"({page})" not in text] == []
