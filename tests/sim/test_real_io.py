"""Nobody reaches out of a world unseen: real I/O of its user's code is refused where it is called."""

# Reaching out in every way, also the old and the unsafe ones, is what is tried here.
# ruff: noqa: PTH107, PTH123, PTH208, S605, ASYNC251

import importlib
import linecache
import os
import socket
import sqlite3
import subprocess
import sys
import time
import traceback
import urllib.request
from contextlib import suppress
from time import sleep
from zoneinfo import ZoneInfo

import pytest
import trio

from treadle import activity, workflow
from treadle.sim import Plan, Workload, run_world
from treadle.testing import KernelViolationError, allow_real_io, run_in_world, simulate

SLEPT_SECONDS = 0.0001


def opens_a_file():
    with open(__file__):  # here
        pass


def opens_a_descriptor():
    os.close(os.open(__file__, os.O_RDONLY))  # here


def makes_a_socket():
    socket.socket()  # here


def connects():
    socket.create_connection(("localhost", 1))  # here


def looks_a_name_up():
    socket.getaddrinfo("localhost", 1)  # here


def fetches():
    urllib.request.urlopen("http://localhost:1/")  # here


def opens_a_database():
    sqlite3.connect("shop.db")  # here


def starts_a_process():
    subprocess.run([sys.executable, "-c", ""], check=True)  # here


def runs_a_shell():
    os.system("true")  # here


def lists_a_folder():
    os.listdir(".")  # here


def removes_a_file():
    os.remove("there is no such file")  # here


def sleeps():
    time.sleep(SLEPT_SECONDS)  # here


def sleeps_by_name():
    sleep(SLEPT_SECONDS)  # here


REACHING_OUT = [
    opens_a_file,
    opens_a_descriptor,
    makes_a_socket,
    connects,
    looks_a_name_up,
    fetches,
    opens_a_database,
    starts_a_process,
    runs_a_shell,
    lists_a_folder,
    removes_a_file,
    sleeps,
    sleeps_by_name,
]


def line_of(function):
    """Where it reaches out."""
    lines = linecache.getlines(__file__)
    first = function.__code__.co_firstlineno
    return next(number for number in range(first, first + 9) if "# here" in lines[number - 1])


def told(function):
    return f"test_real_io.py:{line_of(function)} in {function.__name__} does real I/O, "


@pytest.mark.parametrize("reach_out", REACHING_OUT)
def test_real_io_is_refused_and_named_with_its_line(reach_out):
    async def program(kernel):
        await kernel.turn()
        reach_out()

    with pytest.raises(KernelViolationError) as caught:
        run_in_world(program)

    (violation,) = caught.value.violations
    assert violation.startswith(told(reach_out))
    assert violation in str(caught.value)


@activity.define
async def fetch() -> str:
    """Asks somebody far away."""


@workflow.define
async def report() -> str:
    return await workflow.activity(fetch)


@workflow.define
async def reads_by_itself() -> str:
    opens_a_file()
    return await workflow.activity(fetch)


def reads_in_a_model():
    opens_a_file()
    return "told"


async def reads_and_takes_no_for_an_answer():
    with suppress(Exception):  # as a client does that tries again
        opens_a_file()
    return "told"


@pytest.mark.parametrize(
    ("code", "model"),
    [(report, reads_in_a_model), (report, reads_and_takes_no_for_an_answer), (reads_by_itself, "told")],
    ids=["model", "model that handles it", "workflow"],
)
def test_models_and_workflow_code_are_refused_in_a_simulation(code, model):
    """And the run ends there: an attempt that failed so is not made again."""
    with pytest.raises(KernelViolationError) as caught:
        simulate(code, activities={fetch: model})

    assert 1 == len(caught.value.violations)
    assert told(opens_a_file) in str(caught.value)


class Reading(Workload):
    """Clients that read a file."""

    async def clients(self, world):
        await world.kernel.sleep(1)
        opens_a_file()

    async def check(self, _world, _store):
        return []


def test_clients_of_a_workload_are_refused():
    with pytest.raises(KernelViolationError) as caught:
        run_world(0, Plan(workload="own"), own=Reading())

    assert told(opens_a_file) in str(caught.value)


def test_without_the_guard_nobody_is_judged():
    assert run_world(0, Plan(workload="own"), own=Reading(), guard=False).holds


@pytest.mark.parametrize("reach_out", [opens_a_file, sleeps, sleeps_by_name])
def test_whoever_knows_what_they_do_may(reach_out):
    def allowed():
        with allow_real_io():
            reach_out()
        return "told"

    assert "told" == simulate(report, activities={fetch: allowed}).result
    with pytest.raises(KernelViolationError):
        simulate(report, activities={fetch: lambda: [allowed(), reach_out()]})


def test_what_python_reads_for_itself_is_nobodys_fault(tmp_path, monkeypatch):
    """Imports, sources for tracebacks, time zones, a database in memory; `print`."""
    (tmp_path / "lazily_imported.py").write_text("NAME = 'lazy'\n")
    monkeypatch.syspath_prepend(tmp_path)
    ZoneInfo.clear_cache()

    def model():
        name = importlib.import_module("lazily_imported").NAME
        linecache.clearcache()
        try:
            int("seven")
        except ValueError:
            assert 'int("seven")' in traceback.format_exc()
        sqlite3.connect(":memory:").close()
        print(name, ZoneInfo("Europe/Berlin"))  # noqa: T201
        return name

    try:
        assert "lazy" == simulate(report, activities={fetch: model}).result
    finally:
        sys.modules.pop("lazily_imported", None)


def test_other_threads_and_what_comes_after_a_world_are_free():
    seen = []

    async def program(kernel):
        await kernel.turn()
        seen.append(sleep is not time.sleep)

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, run_in_world, program)
            opens_a_file()
            time.sleep(SLEPT_SECONDS)

    trio.run(main)

    assert [False] == seen
    with pytest.raises(KernelViolationError):
        run_in_world(lambda kernel: kernel.run_blocking(opens_a_file))
    opens_a_file()
    sleep(SLEPT_SECONDS)
    assert isinstance(time.sleep, type(len))
    assert time.sleep is sleep


def test_it_is_ended_at_once_not_at_the_end_of_time():
    """A client that asks again and again would otherwise see it a thousand times."""
    tries = []

    def model():
        tries.append(1)
        opens_a_file()

    with pytest.raises(KernelViolationError):
        simulate(report, activities={fetch: model})

    assert [1] == tries
