"""The front door: what `treadle` lists is there, is explained, is in order, and is all there is."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import treadle
from arrow import modules

PUBLIC = treadle.__all__
CLASSES = [name for name in PUBLIC if inspect.isclass(getattr(treadle, name, None))]

ROOMS = [
    f"treadle.{module}" for module, path in modules() if path.name == "__init__.py" and module != "treadle"
]


def convention(name):
    """Constants, then classes, then functions; by name within each."""
    return (0 if name.isupper() else 1 if name[:1].isupper() else 2), name


@pytest.mark.parametrize("name", PUBLIC)
def test_listed_name_exists_and_is_explained(name):
    value = getattr(treadle, name)

    if inspect.isclass(value) or callable(value):
        assert inspect.getdoc(value), f"{name} needs a docstring"


def test_list_is_in_order_without_repeats():
    assert sorted(set(PUBLIC), key=convention) == list(PUBLIC)


DOOR = ast.parse(Path(treadle.__file__).read_text())
SHOWN_TO_TYPE_CHECKERS = {
    alias.name: node.module
    for block in DOOR.body
    if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
    for node in block.body
    for alias in node.names
}


def test_type_checkers_are_shown_the_same_list():
    """Every name is there when it is asked for, but is only written down for those who read the source."""
    assert set(PUBLIC) - {"__version__"} == set(SHOWN_TO_TYPE_CHECKERS)
    assert [] == [
        name
        for name, module in SHOWN_TO_TYPE_CHECKERS.items()
        if getattr(importlib.import_module(module), name) is not getattr(treadle, name)
    ]


def test_nothing_public_is_left_off_the_list():
    used_by_the_door = {
        alias.name for node in DOOR.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    leaked = {
        name
        for name, value in vars(treadle).items()
        if not name.startswith("_") and name not in PUBLIC and not isinstance(value, ModuleType)
    }

    assert set() == leaked - used_by_the_door


def test_a_name_that_is_not_listed_is_not_there():
    with pytest.raises(AttributeError, match="module 'treadle' has no attribute 'open_runtimes'"):
        _ = treadle.open_runtimes


def test_dir_tells_the_list_before_anything_is_loaded():
    """Nor is anything loaded by then, because the command heeds Ctrl-C while the rest loads."""
    told = subprocess.run(
        [sys.executable, "-c", "import sys, treadle; print(*dir(treadle), '/', *sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names, modules = (part.split() for part in told.split("/"))

    assert set(PUBLIC) <= set(names)
    assert {"trio", "attrs", "msgspec"}.isdisjoint(modules)


def test_door_explains_itself():
    assert len(treadle.__doc__.splitlines()) > 5


def test_version_is_told():
    assert treadle.__version__


@pytest.mark.parametrize("name", CLASSES)
def test_public_methods_are_explained(name):
    value = getattr(treadle, name)

    unexplained = [
        attribute
        for attribute, member in vars(value).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(value, attribute))
    ]

    assert [] == unexplained


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_lists_exists(room):
    try:
        module = importlib.import_module(room)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("treadle"):
            raise
        pytest.skip(f"needs {error.name}")

    assert module.__doc__
    assert [] == [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
