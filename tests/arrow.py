"""The arrow as data, and what is read from a module's source to hold it; no module is imported.

A room is a package or module right under `treadle`. An import may only go to a lower floor or stay in its
room; rooms on one floor do not know each other.
"""

import ast
from functools import lru_cache
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "treadle"

FLOORS = (
    {"__main__"},
    {"cli", "web"},
    {"workflow", "activity", "treadle"},  # the doors; `treadle` is the package's own __init__
    {"testing"},
    {"sim"},
    {"runtime", "projections"},
    {"engine", "stores", "formats", "checkers"},
    {"log", "payloads"},
    {"events", "kernel"},
    {"errors"},
    {"_version"},
)
DOORS = FLOORS[2]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

PURE = {"log", "payloads", "formats", "checkers", "engine", "events", "errors"}
"""Rooms without waits, clock or chance."""
PURE_PARTS = ("projections.scd",)
"""Parts of other rooms that have none either."""
IMPURE_MODULES = {
    "asyncio", "concurrent", "multiprocessing", "os", "random", "secrets", "select", "signal", "socket",
    "subprocess", "tempfile", "threading", "time", "trio", "uuid",
}  # fmt: skip
DRIVEN = ("engine.driver", "engine.api")
"""Where pure code may await: these functions run inside workflow code and wait for the driver alone, which
is sent what happened and sends it on; no clock, no device, nobody else's scheduler."""
PURE_NAMES = {("random", "Random"), ("uuid", "UUID")}
"""Two classes of such modules are values: a generator made with a seed draws nothing by chance (one made
without is seen below), and a UUID made of bytes is only a number."""
IMPURE_CALLS = {"now", "utcnow", "today"}

KERNEL_ONLY = {"runtime", "stores", "projections"}
"""Rooms whose every wait is a kernel call."""
TRIO_ALLOWED = {
    "BrokenResourceError", "BusyResourceError", "CancelScope", "Cancelled", "ClosedResourceError",
    "EndOfChannel", "Nursery", "RunFinishedError", "TooSlowError", "WouldBlock", "current_effective_deadline",
    "current_time", "fail_after", "fail_at", "lowlevel.Task", "lowlevel.current_task",
    "lowlevel.enable_ki_protection", "move_on_after", "move_on_at", "open_nursery",
}  # fmt: skip
"""Of Trio they may name what does not decide who runs next; everything else waits, wakes or starts."""


def modules():
    """Every module of the package: its dotted name below `treadle`, its file."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__") or "treadle", path


def room_of(module):
    """The room a module below `treadle` lies in."""
    return module.split(".")[0]


@lru_cache(maxsize=1_024)
def nodes_of(source):
    """Every node of a module; parsed once, though several rules look at it."""
    return list(ast.walk(ast.parse(source)))


def is_pure(module):
    """Whether a module must do without waits, clock and chance."""
    return room_of(module) in PURE or any(
        module == part or module.startswith(f"{part}.") for part in PURE_PARTS
    )


def imports_of(module, source, *, is_package=False):
    """Every import as (line, dotted name), wherever in the module it stands, relative ones resolved."""
    for node in nodes_of(source):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = ["treadle", *(module.split(".") if module != "treadle" else [])]
                above = here[: len(here) - node.level + is_package]
                base = ".".join([*above, *([node.module] if node.module else [])])
            # `from treadle import log` names a room, or a name of the door.
            yield from (
                (node.lineno, f"{base}.{alias.name}" if base == "treadle" else base) for alias in node.names
            )


def rooms_imported(module, source, *, is_package=False):
    """The rooms a module imports from, with lines."""
    for line, name in imports_of(module, source, is_package=is_package):
        top, _, rest = name.partition(".")
        if top == "treadle":
            room = rest.split(".")[0]
            yield line, room if room in FLOOR_OF else "treadle"


def against_the_arrow(module, source, *, is_package=False):
    """Imports that do not go down, as sentences."""
    room = room_of(module)
    if room not in FLOOR_OF:
        return [f"{module}: room {room!r} stands on no floor of the arrow"]
    return [
        f"{module}:{line} imports {imported}, which does not lie below {room}"
        for line, imported in rooms_imported(module, source, is_package=is_package)
        if imported != room and FLOOR_OF[imported] <= FLOOR_OF[room]
    ]


def impurities(module, source):
    """Waits, clocks and chance in a module, as sentences."""
    values = set(_lines_of_values(source))
    found = [
        f"{module}:{line} imports {name}"
        for line, name in imports_of(module, source)
        if name.split(".")[0] in IMPURE_MODULES and line not in values
    ]
    is_driven = any(module == room or module.startswith(f"{room}.") for room in DRIVEN)
    for node in nodes_of(source):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            if not is_driven:
                found.append(f"{module}:{node.lineno} is asynchronous")
        elif isinstance(node, ast.comprehension) and node.is_async:
            if not is_driven:
                found.append(f"{module}:{node.target.lineno} is asynchronous")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in IMPURE_CALLS
        ):
            found.append(f"{module}:{node.lineno} asks the clock with {node.func.attr}()")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Random" and not node.args:
            found.append(f"{module}:{node.lineno} makes a Random without a seed")
    return found


def _lines_of_values(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and all(
            (node.module, alias.name) in PURE_NAMES for alias in node.names
        ):
            yield node.lineno


def raw_trio(module, source):
    """What a module takes of Trio round the kernel, as sentences."""
    nodes = nodes_of(source)
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    found = [
        f"{module}:{node.lineno} uses trio.{name}, which is not the kernel's"
        for node in nodes
        if id(node) not in inner
        for name in _trio_names(node)
        if name not in TRIO_ALLOWED
    ]
    return found + [
        f"{module}:{node.lineno} starts a task round the kernel"
        for node in nodes
        if isinstance(node, ast.Attribute)
        and node.attr in {"start_soon", "start"}
        and _is_nursery(node.value)
    ]


def _trio_names(node):
    """The names below `trio` that a node uses; a new name for Trio itself counts as using all of it."""
    if isinstance(node, ast.Attribute):
        if (name := _dotted(node)) and name.startswith("trio."):
            yield name.removeprefix("trio.")
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "trio":
        below = node.module.removeprefix("trio").removeprefix(".")
        yield from (f"{below}.{alias.name}".lstrip(".") for alias in node.names)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.split(".")[0] == "trio" and (alias.name != "trio" or alias.asname):
                yield f"* (import {alias.name})"


def _dotted(node):
    """The dotted name that a node is; empty when it is more than that."""
    if isinstance(node, ast.Name):
        return node.id
    before = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return before and f"{before}.{node.attr}"


def _is_nursery(node):
    return "nursery" in ast.unparse(node)


def store_appends(source):
    """The lines that call `append` of a store."""
    return [
        node.lineno
        for node in nodes_of(source)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "append"
        and ast.unparse(node.func.value).split(".")[-1].lstrip("_") == "store"
    ]
