"""Every family of scenarios, with the worker restarted or the process lost in the middle of it."""
# ruff: noqa: ARG001  # the virtual clock is asked for, not used

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from auditing import damage_in
from board import board
from faulty import FaultyStore, Gate
from scenario_families import ACTIVITIES, FAMILIES, FLOWS, goes_on
from trio.testing import wait_all_tasks_blocked

from treadle import RuntimeConfig, open_runtime
from treadle.errors import StoreUnavailableError, TreadleError

AFTER_A_RESTART = "test_an_update_goes_on_after_a_restart_and_its_validator_does_not_run_again"
NAMED = {
    "activity: retry": "test_a_failed_attempt_is_followed_by_another_after_its_backoff",
    "activity: cancel": "test_a_cancelled_scope_reaches_the_running_task_and_waits_for_its_end",
    "activity: heartbeat": "test_a_silent_attempt_is_ended_and_the_next_finds_what_was_told",
    "activity: timeouts": "test_schedule_to_close_ends_all_attempts",
    "child": "test_children_run_side_by_side_and_their_results_come_back",
    "continue-as-new with signals pending": "test_signals_that_nobody_has_read_are_carried_over_in_order",
    "query errors": "test_query_errors_are_told_and_change_nothing",
    "signal with start": "test_signal_with_start_reaches_the_new_one_and_the_running_one",
    "timers": "test_sleepers_fire_in_the_order_of_their_deadlines_in_memory_or_not",
    "update: async accepted": "test_an_update_can_be_accepted_first_and_its_result_fetched_later",
    "update: dedup": "test_the_same_update_id_runs_once",
    "update: non-durable reject": "test_a_rejected_update_leaves_no_event",
    "update: failure": "test_an_update_whose_handler_raises_fails_alone",
    "update: validation on replay": AFTER_A_RESTART,
    "update: worker restart": AFTER_A_RESTART,
    "cancel": "test_a_cancelled_workflow_cleans_up_and_is_cancelled",
    "terminate": "test_a_terminated_workflow_is_not_asked",
    "signal to another workflow": "test_signals_between_workflows_arrive_in_order_and_failures_are_told",
}
"""Where each family is looked at closely; here they are only disturbed."""
DISTURBED_ELSEWHERE = {"update: validation on replay", "update: worker restart"}
APPENDS_MAX = 60
"""More than any of them needs."""


class CheckingStore(FaultyStore):
    """Notes each batch that was decided on events which are not there."""

    def __init__(self, kernel) -> None:
        super().__init__(kernel)
        self.ahead: list[str] = []

    async def append(self, units):
        for batch in (batch for unit in units for batch in unit.batches):
            seq, expected = batch.events[0].seq, len(self.stored(batch.workflow_id)) + 1
            if seq > expected:
                self.ahead.append(f"{batch.workflow_id}: seq {seq} instead of {expected}")
        return await super().append(units)


class EndingStore(CheckingStore):
    """Says when so many appends were made; from then on it takes none, if it is to look like a crash."""

    def __init__(self, kernel, appends: int, *, crash: bool) -> None:
        super().__init__(kernel)
        self.made = 0
        self.reached = trio.Event()
        self._appends = appends
        self._crash = crash

    async def append(self, units):
        if self._crash and self.reached.is_set():
            raise StoreUnavailableError("the process is no more")
        outcomes = await super().append(units)
        self.made += 1
        if self.made == self._appends:
            self.reached.set()
        return outcomes

    def go_on(self) -> None:
        self._crash = False

    def kinds(self) -> Counter[tuple[str, str]]:
        """What is in all logs, without attempts: their number hangs on what was lost."""
        found = Counter(
            (name, event.kind.name) for name, log in self._logs.items() for event in log.events(1)
        )
        return Counter({what: number for what, number in found.items() if "ATTEMPT" not in what[1]})


def over(store, kernel):
    config = RuntimeConfig(close_timeout_seconds=1)
    return open_runtime(store, workflows=FLOWS, activities=ACTIVITIES, kernel=kernel, config=config)


async def disturbed(kernel, family: str, appends: int, *, crash: bool) -> EndingStore | None:
    """Drive a scenario, end its runtime behind an append, drive it again; None when it was over by then."""
    drive, expected = FAMILIES[family]
    store, result = EndingStore(kernel, appends, crash=crash), []

    async def driven(runtime) -> None:
        try:
            result.append(await drive(runtime))
        except TreadleError:
            return  # the runtime has ended under it
        store.reached.set()

    async with trio.open_nursery() as nursery:
        async with over(store, kernel) as runtime:
            nursery.start_soon(driven, runtime)
            await store.reached.wait()
        nursery.cancel_scope.cancel()
    if result:
        assert [expected] == result
        return None
    store.go_on()
    assert [] == await damage_in(store)
    async with over(store, kernel) as runtime:
        assert expected == await drive(runtime)
    assert [] == await damage_in(store)
    assert [] == store.ahead, "code that is ahead of its log must not take a turn"
    return store


@pytest.mark.parametrize("crash", [False, True], ids=["worker restart", "process lost"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_shutdown_in_the_middle_of(kernel, family, crash, autojump_clock):
    """Behind each append: the same result, and in all logs the same inputs and commands, each once."""
    store = EndingStore(kernel, 10**9, crash=False)
    drive, expected = FAMILIES[family]
    async with over(store, kernel) as runtime:
        assert expected == await drive(runtime)
    undisturbed, places = store.kinds(), 0
    for appends in range(1, APPENDS_MAX):
        with trio.fail_after(10_000):
            ended = await disturbed(kernel, family, appends, crash=crash)
        if ended is None:
            break
        places += 1
        assert undisturbed == ended.kinds(), f"ended behind append {appends}"
    assert 1 <= places < APPENDS_MAX - 1


async def test_what_is_dropped_with_a_refused_turn_is_not_overtaken(kernel, autojump_clock):
    """A repeat of a signal that was taken spoils two turns, the second with a new signal behind it."""
    store = CheckingStore(kernel)
    async with over(store, kernel) as runtime:
        handle = await runtime.start(goes_on, [], id="a")
        for _ in range(2):
            await handle.signal("word", "a", key=b"a")
            await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            store.commits.close()
            for word in "ab":
                # The second is put in the group in which the first one's turn is refused.
                nursery.start_soon(partial(handle.signal, "word", word, key=word.encode()))
                await wait_all_tasks_blocked()
            store.commits.open()
        await wait_all_tasks_blocked()
        for word in "cd":
            await handle.signal("word", word)
        assert list("abcd") == await handle.result()
    assert [] == store.ahead, "code that is ahead of its log must not take a turn"
    assert [] == await damage_in(store)


class SlowMailStore(FaultyStore):
    """Gives the mailbox as it was when it was asked for, as late as the test wants."""

    def __init__(self, kernel) -> None:
        super().__init__(kernel)
        self.mail = Gate(kernel)

    async def messages(self, workflow_id, *, limit=1_000):
        rows = await super().messages(workflow_id, limit=limit)
        await self.mail.enter()
        return rows


async def test_mail_that_is_put_while_older_mail_is_read_is_not_overtaken(kernel, autojump_clock):
    store = SlowMailStore(kernel)
    async with over(store, kernel) as runtime:
        await runtime.start(goes_on, [], id="a")
    async with open_runtime(store, kernel=kernel) as nobody_runs:
        await nobody_runs.workflow("a").signal("word", "a")
    store.mail.close()
    async with over(store, kernel) as runtime:
        handle = runtime.workflow("a")
        await wait_all_tasks_blocked()
        await handle.signal("word", "b")
        store.mail.let_through()  # the first look, which has not seen the second word
        await wait_all_tasks_blocked()
        await handle.signal("word", "c")
        store.mail.open()
        await handle.signal("word", "d")
        assert list("abcd") == await handle.result()


async def test_a_validator_is_not_asked_again_about_what_is_in_the_log(kernel, autojump_clock):
    """Restarted behind each append: who has accepted an update once has no say in it any more."""
    for appends in range(1, APPENDS_MAX):
        board.clear()
        store = await disturbed(kernel, "update: dedup", appends, crash=False)
        if store is None:
            break
        checks = Counter(number for name, number in board.notes if name == "check")
        assert {5: 1, 7: 1} == checks, appends


def test_every_family_has_a_test_of_its_own_and_is_disturbed():
    """The list in the issue, so that none is forgotten when tests are renamed."""
    source = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", source, re.MULTILINE))
    missing: dict[str, Any] = {family: name for family, name in NAMED.items() if name not in defined}

    assert {} == missing
    assert set(NAMED) == set(FAMILIES) | DISTURBED_ELSEWHERE
