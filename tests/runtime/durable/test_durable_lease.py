"""The lease: one runner for each store, in this process and in all others; freed by whoever dies."""
# ruff: noqa: ARG001, PTH110, PTH123

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest

from treadle.errors import StoreUnavailableError
from treadle.kernel import InlineKernel
from treadle.runtime.durable.lease import LOCK_SUFFIX, Holder, Lease, busy_error, find_holder, take_lease
from treadle.stores.memory import MemoryStore

HOLDING = """
import sys
from types import SimpleNamespace
from treadle.runtime.durable.lease import take_lease
lease = take_lease(SimpleNamespace(path=sys.argv[1], url=sys.argv[1]))
print(type(lease).__name__, flush=True)
sys.stdin.read()
"""


class Place:
    """As much of a store as a lease looks at."""

    def __init__(self, path) -> None:
        self.path = str(path)
        self.url = str(path)


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path / "orders.db")


@pytest.fixture
def holding(place):
    """Another process that holds the lease."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDING, place.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "Lease\n"
    yield child
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()


def test_the_first_takes_it_and_the_second_hears_who_has_it(place):
    lease = take_lease(place)

    assert isinstance(lease, Lease)
    assert take_lease(place) == Holder(os.getpid(), socket.gethostname())
    assert find_holder(place) == Holder(os.getpid(), socket.gethostname())
    lease.release()


def test_released_it_can_be_taken_again_and_a_second_release_does_nothing(place):
    lease = take_lease(place)
    lease.release()
    lease.release()

    assert find_holder(place) is None
    other = take_lease(place)
    assert isinstance(other, Lease)
    lease.release()
    assert find_holder(place) is not None, "a release twice does not free another's lease"
    other.release()


def test_another_process_is_named_by_pid_and_host(place, holding):
    holder = take_lease(place)

    assert (holding.pid, socket.gethostname()) == (holder.pid, holder.host)
    assert find_holder(place).pid == holding.pid
    error = busy_error(place, holder)
    assert (holding.pid, socket.gethostname()) == (error.pid, error.host)
    assert str(holding.pid) in str(error)
    assert "standby=True" in str(error)


def test_a_killed_holder_frees_it(place, holding):
    holding.kill()
    holding.wait()

    assert find_holder(place) is None
    lease = take_lease(place)
    assert isinstance(lease, Lease)
    lease.release()


def test_a_refusal_leaves_nothing_behind(place, holding):
    assert isinstance(take_lease(place), Holder)
    holding.kill()
    holding.wait()

    lease = take_lease(place)
    assert isinstance(lease, Lease), "the register of this process must not remember the refused one"
    lease.release()


def test_looking_does_not_take_it(place):
    assert find_holder(place) is None
    assert not os.path.exists(place.path + LOCK_SUFFIX), "nor make its file"
    lease = take_lease(place)
    lease.release()
    assert find_holder(place) is None


def test_an_unreadable_note_still_says_that_somebody_has_it(place, holding):
    with open(place.path + LOCK_SUFFIX, "w") as file:
        file.write("{")

    assert take_lease(place) == Holder()
    assert "another process" in str(busy_error(place, Holder()))


def test_the_note_tells_process_host_and_time(place):
    lease = take_lease(place)
    with open(place.path + LOCK_SUFFIX) as file:
        note = json.load(file)

    assert (os.getpid(), socket.gethostname()) == (note["pid"], note["host"])
    assert note["since_unix"] > 1_700_000_000
    lease.release()


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(StoreUnavailableError, match="lock cannot be made"):
        take_lease(Place(tmp_path / "missing" / "orders.db"))
    assert find_holder(Place(tmp_path / "missing" / "orders.db")) is None


def test_memory_stores_have_one_each_in_this_process():
    one, two = MemoryStore(InlineKernel()), MemoryStore(InlineKernel())
    lease = take_lease(one)

    assert isinstance(take_lease(one), Holder)
    other = take_lease(two)
    assert isinstance(other, Lease)
    assert find_holder(one).pid == os.getpid()
    lease.release()
    other.release()
    assert find_holder(one) is None
