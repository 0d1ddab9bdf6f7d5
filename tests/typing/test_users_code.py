"""What users write passes their type checker, and what is wrong in it does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("mypy")

USERS_CODE = Path(__file__).with_name("users_code.py")


def checked(path: Path, tmp_path: Path) -> str:
    """What `mypy --strict` says of a file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--warn-unreachable", "--cache-dir", tmp_path, path]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path).stdout


def test_ordinary_workflow_code_passes_a_strict_type_checker(tmp_path):
    """Behind a scope that may swallow an exception a function goes on; one that never does must say so."""
    assert "Success: no issues found in 1 source file\n" == checked(USERS_CODE, tmp_path)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("grams: float = await", "grams: str = await", "incompatible type"),
        ("found: int = await", "found: str = await", "incompatible type"),
        ("workflow.activity(price, name)", "workflow.activity(price, 7)", "No overload variant"),
        ("workflow.child(goes_on_for_ever, 1)", "workflow.child(goes_on_for_ever)", "Missing positional"),
        ("        return None\n    return 0\n", "        return None\n", "Missing return statement"),
    ],
)
def test_what_is_wrong_in_it_is_seen(tmp_path, right, wrong, words):
    """Types reach the caller through activities and children; move_on_after() may end its block early."""
    source = USERS_CODE.read_text(encoding="utf-8")
    assert right in source
    changed = tmp_path / "changed.py"
    changed.write_text(source.replace(right, wrong), encoding="utf-8")

    assert words in checked(changed, tmp_path)
