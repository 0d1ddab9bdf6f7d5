"""What the tests of the command line share: commands run here, and commands run as a user runs them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from process_lines import await_line

from treadle.cli import main
from treadle.cli.durable.modules import load_code
from treadle.cli.times import moment
from treadle.runtime import WorkflowHandle, open_runtime


@attrs.frozen
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """What it printed, as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Treadle = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("TREADLE_STORE", "TREADLE_DEBUG", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    # Byte code counts as fresh for as long as the source's second and size are the same: a module that a test
    # changes at once would be loaded as it was before.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture
def treadle(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Treadle:
    """Run a command in this process, which is fast."""

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command as a user does, in a process of its own."""
    command = [sys.executable, "-W", "error", "-m", "treadle", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def spawn(*arguments: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> Ran:
    """Run a command as a user does, to its end."""
    surroundings = {**os.environ, **(env or {})}
    with start(*arguments, stdin=subprocess.PIPE, env=surroundings) as process:
        out, err = process.communicate(stdin, timeout=60)
    return Ran(process.returncode, out.decode(), err.decode())


@pytest.fixture
def in_process() -> Callable[..., Ran]:
    """Give `spawn` to tests."""
    return spawn


@pytest.fixture
def started() -> Callable[..., subprocess.Popen[bytes]]:
    """Give `start` to tests."""
    return start


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stores that many tests begin with, made once."""
    folder = tmp_path_factory.mktemp("made")

    async def make() -> None:
        async with open_runtime(folder / "orders.db") as runtime:
            for name in ("order-1", "order-2", "parcel-9"):
                handle = runtime.workflow(name)
                await handle.append("workflow_started", f'{{"id": "{name}"}}'.encode(), timestamp=1000)
                await handle.append("custom", b"second", timestamp=moment("2026-01-31T12:00:00.5Z"))
            await runtime.workflow("order-1").append("workflow_completed", timestamp=3000)
        async with open_runtime(folder / "payloads.db") as runtime:
            for name in ("order-1", "order-2"):
                for n in range(4):
                    content = f"payload {n} of {name}".encode()
                    await runtime.workflow(name).append("custom", content, timestamp=n)

    trio.run(make)
    return folder


@pytest.fixture
def orders(_made: Path, tmp_path: Path) -> Path:
    """A store with three orders in the default place."""
    return Path(shutil.copy(_made / "orders.db", tmp_path / "treadle.db"))


@pytest.fixture
def store(_made: Path, tmp_path: Path) -> Path:
    """A store with four numbered payloads in each of two logs, in the default place."""
    return Path(shutil.copy(_made / "payloads.db", tmp_path / "treadle.db"))


# -- durable workflows ----------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's module in the current folder, see `sample_shop.py`; forgotten afterwards."""
    path = Path(shutil.copy(Path(__file__).with_name("sample_shop.py"), tmp_path / "shop.py"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)
    yield path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def running(shop: Path) -> Callable[..., str]:
    """Begin a workflow of the shop in the default store, and leave it where it waits; nobody runs it then."""

    def begin(name: str, *args: Any, id: str = "order-1") -> str:  # noqa: A002  # the word everywhere else
        code = load_code(f"shop:{name}")

        async def main() -> None:
            async with open_runtime(
                shop.with_name("treadle.db"), workflows=code.workflows, activities=code.activities
            ) as runtime:
                handle = await runtime.start(code.workflow(), *args, id=id)
                await _waits(handle)

        trio.run(main)
        return id

    return begin


async def _waits(handle: WorkflowHandle) -> None:
    while not any("signal" in line for line in (await handle.describe()).waits_for):  # noqa: ASYNC110
        await trio.sleep(0.01)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store whose workflows another process runs, as long as the module's tests last."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(Path(__file__).with_name("sample_shop.py"), folder / "shop.py")
    store = folder / "served.db"
    with start("workflow", "serve", "shop", "--store", str(store), cwd=folder) as process:
        await_line(process.stderr, "running the workflows")
        yield str(store)
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err.decode()
