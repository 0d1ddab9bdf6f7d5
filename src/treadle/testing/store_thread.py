"""Using a store from synchronous code: one thread, in it one Trio run, in it the open store.

A run for each call would be simpler, but Trio closes at the end of a run whatever was opened in it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import outcome
import trio

from treadle.errors import StoreUnavailableError
from treadle.stores import Store
from treadle.testing.store_factory import StoreFactory

T = TypeVar("T")

_Job = Callable[[Store], Awaitable[Any]]


class StoreThread:
    """Holds a store open and carries out one call at a time.

    Args:
        factory: opens the store.
    """

    def __init__(self, factory: StoreFactory) -> None:
        self._factory = factory
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[outcome.Outcome[Any]] = queue.SimpleQueue()
        self._start()

    def call(self, job: Callable[[Store], Awaitable[T]]) -> T:
        """Carry out a call.

        Args:
            job: makes the call on the store it is given.

        Returns:
            What the call returns.

        Raises:
            StoreUnavailableError: the store could not be opened again.
        """
        if not self._thread.is_alive():
            raise StoreUnavailableError("the store is not open: opening it has failed")
        self._jobs.put(job)
        answer: T = self._answers.get().unwrap()
        return answer

    def reopen(self) -> None:
        """Close the store and open its place again."""
        self.close()
        self._start()

    def close(self) -> None:
        """Close the store and end the thread; closing what could not be opened does nothing."""
        if not self._thread.is_alive():
            return
        self._jobs.put(None)
        self._thread.join()
        self._answers.get().unwrap()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="treadle store", daemon=True)
        self._thread.start()
        opened = self._answers.get()
        if isinstance(opened, outcome.Error):
            self._thread.join()
        opened.unwrap()

    def _run(self) -> None:
        self._answers.put(outcome.capture(trio.run, self._serve))

    async def _serve(self) -> None:
        async with self._factory.open() as store:
            self._answers.put(outcome.Value(None))
            # Blocking this run's only task is what is wanted: nothing happens between two calls.
            while (job := self._jobs.get()) is not None:
                self._answers.put(await outcome.acapture(job, store))
