"""Child processes of kits: this very Python with another PYTHONHASHSEED, that imports the user's module."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from treadle.errors import UsageError

CHILD_SECONDS_MAX: Final = 120
"""How long a child process may take."""


def start_child(module: str, order: bytes, hash_seed: int) -> subprocess.Popen[bytes]:
    """Start a module of ours in another process.

    Args:
        module: which.
        order: what it reads.
        hash_seed: its PYTHONHASHSEED.

    Returns:
        The process.
    """
    child = subprocess.Popen(  # noqa: S603  # this very Python, and a module of ours
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path),
        },
    )
    assert child.stdin is not None  # noqa: S101  # a pipe was asked for
    try:
        child.stdin.write(order)
        child.stdin.close()
    except BrokenPipeError:
        pass  # it has died; its words follow
    child.stdin = None
    return child


def read_child(child: subprocess.Popen[bytes], what: str) -> dict[str, Any]:
    """Wait for what a child process answers.

    Args:
        child: from `start_child`.
        what: what it does, in words.

    Returns:
        Its last line, as JSON.

    Raises:
        UsageError: it answers nothing.
    """
    try:
        told, complaint = child.communicate(timeout=CHILD_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        child.kill()
        told, complaint = child.communicate()
    try:
        answer: dict[str, Any] = json.loads(told.splitlines()[-1])
    except (ValueError, IndexError):
        words = complaint.decode(errors="replace").strip()[-2000:]
        raise UsageError(
            f"a process that {what} is to answer, got exit code {child.returncode}"
            f" and {words!r}; can the module be imported without a test runner?"
        ) from None
    return answer


def spawn_child(module: str, order: bytes, hash_seed: int) -> dict[str, Any]:
    """Run a module of ours in another process, to its answer.

    Args:
        module: which.
        order: what it reads.
        hash_seed: its PYTHONHASHSEED.

    Returns:
        Its last line, as JSON.

    Raises:
        UsageError: it answers nothing.
    """
    return read_child(start_child(module, order, hash_seed), "folds")


def imported(head: dict[str, Any]) -> Any:
    """Import what an order names; called in the child.

    Args:
        head: ``module``, ``file`` and ``name``.

    Returns:
        What the module holds under that name.
    """
    try:
        module = importlib.import_module(head["module"])
    except ImportError:
        if head["file"] is None:
            raise
        # A test module, say, which its runner has loaded by path.
        spec = importlib.util.spec_from_file_location(head["module"], head["file"])
        if spec is None or spec.loader is None:
            raise
        module = importlib.util.module_from_spec(spec)
        sys.modules[head["module"]] = module
        spec.loader.exec_module(module)
    return getattr(module, head["name"])
