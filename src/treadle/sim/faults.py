"""The faults a world may make: a literal table, each with the reason why it must be survived.

What happens by the call has a rate in thousandths of the calls; what happens by the time has one in
thousandths of an hour, so ``crash=2000`` is two crashes in a virtual hour, drawn at random.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import attrs

from treadle.errors import UsageError

RATE_MAX: Final = 1_000_000
"""A thousand times an hour: more often than anything here takes, so nothing else would ever happen."""


@attrs.frozen(slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        what: what happens.
        reason: why it must be survived.
        per: what its rate counts: ``"call"`` or ``"hour"``.
        default: its rate when faults are asked for without one, in thousandths.
    """

    what: str
    reason: str
    per: Literal["call", "hour"]
    default: int


FAULTS: Final[Mapping[str, Fault]] = {
    "crash": Fault(
        "a process is killed at a random moment",
        "machines lose power, and the kernel kills what takes too much memory",
        "hour",
        20_000,
    ),
    "crash_at_append": Fault(
        "a process is killed at an append, just before or just after it was written",
        "between a write and its answer lies the one moment that loses or doubles",
        "call",
        5,
    ),
    "restart": Fault(
        "a runtime is closed in order and opened again",
        "every release does that, in the middle of everything",
        "hour",
        10_000,
    ),
    "pause": Fault(
        "a process stands still while another takes its place, and then comes back",
        "SIGSTOP, a laptop's lid, a virtual machine that is moved: a stale writer that knows of nothing",
        "hour",
        10_000,
    ),
    "actor_crash": Fault(
        "the step of an actor raises",
        "a bug in one workflow's path must not take the others down",
        "call",
        2,
    ),
    "clock_jump": Fault(
        "the wall clock jumps, forward or back",
        "time servers and people set clocks",
        "hour",
        10_000,
    ),
    "slow_store": Fault(
        "an append or a read takes up to some seconds",
        "disks have queues, and networks have bad days",
        "call",
        20,
    ),
    "unavailable_store": Fault(
        "an append or a read is refused, surely undone",
        "another process holds the lock; a server is restarted",
        "call",
        10,
    ),
    "full_store": Fault(
        "appends are refused for a while because the disk is full",
        "disks fill up, and are emptied again",
        "hour",
        5_000,
    ),
    "unknown_written": Fault(
        "an append is made and its answer lost",
        "connections break between the write and the answer",
        "call",
        5,
    ),
    "unknown_unwritten": Fault(
        "an append is lost, and nobody can tell",
        "connections break before the write as well, and look the same from here",
        "call",
        5,
    ),
    "power_cut": Fault(
        "the power goes: what was not synced is lost, kept, torn or garbled, sector by sector",
        "that is what a drive's cache does; only what fsync has promised stays",
        "hour",
        10_000,
    ),
    "disk_io_error": Fault(
        "a read, a write, an fsync or a truncation of the simulated disk fails",
        "drives, cables and network file systems fail, and what a failed fsync leaves is in doubt for good",
        "hour",
        5_000,
    ),
    "disk_full": Fault(
        "the simulated disk has no room for a while, and says so in the middle of a write",
        "disks fill up, and are emptied again; a part of the write is there",
        "hour",
        5_000,
    ),
    "delay": Fault(
        "a client's call arrives late, behind later ones",
        "networks delay and reorder",
        "call",
        100,
    ),
    "duplicate": Fault(
        "a client's call arrives twice",
        "whoever hears no answer asks again",
        "call",
        50,
    ),
    "cancelled_caller": Fault(
        "a caller is cancelled while it waits",
        "timeouts are everywhere, and cancellation may come at any wait",
        "call",
        50,
    ),
    "activity_fails": Fault(
        "an attempt at an activity raises",
        "what activities touch is the outer world",
        "call",
        100,
    ),
    "activity_twice": Fault(
        "an attempt at an activity reaches the outer world twice",
        "requests are sent again by whatever lies between, and only the outer world sees both",
        "call",
        30,
    ),
    "activity_hangs": Fault(
        "an attempt at an activity does not end before its limit of time",
        "peers hang without a word",
        "call",
        20,
    ),
}
"""Name -> what it is."""


def fault_rates(wishes: Iterable[str]) -> dict[str, int]:
    """Read which faults are wished for.

    Args:
        wishes: names, ``name=rate`` with the rate in thousandths, ``all``, or ``none``.

    Returns:
        Name -> rate, in the order of the table; those left out do not happen.

    Raises:
        UsageError: an unknown name, or an impossible rate.
    """
    rates: dict[str, int] = {}
    for wish in wishes:
        name, has_rate, text = wish.strip().partition("=")
        if name in {"all", "none"} and not has_rate:
            rates = {known: fault.default for known, fault in FAULTS.items()} if name == "all" else {}
            continue
        _check_name(name)
        rates[name] = _rate(name, text) if has_rate else FAULTS[name].default
    return {name: rates[name] for name in FAULTS if rates.get(name)}


def ordered_rates(rates: Mapping[str, int]) -> dict[str, int]:
    """Check rates, and put them into the order of the table: in another one a seed would mean another world.

    Args:
        rates: name -> rate in thousandths.

    Returns:
        Name -> rate, without those of 0.

    Raises:
        UsageError: an unknown name, or an impossible rate.
    """
    if not isinstance(rates, Mapping):
        raise UsageError(
            f"faults is a dict of names and rates, got {rates!r:.80}; write faults=fault_rates([...])"
        )
    for name, rate in rates.items():
        _check_name(name)
        if type(rate) is not int or not 0 <= rate <= _most(name):
            raise _impossible(name, rate)
    return {name: rates[name] for name in FAULTS if rates.get(name)}


def _check_name(name: object) -> None:
    if name not in FAULTS:
        raise UsageError(f"no fault is called {name!r}{_did_you_mean(str(name))}")


def _rate(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _most(name):
        raise _impossible(name, text)
    return int(text)


def _most(name: str) -> int:
    return 1_000 if FAULTS[name].per == "call" else RATE_MAX


def _impossible(name: str, got: object) -> UsageError:
    counted = "calls" if FAULTS[name].per == "call" else "an hour"
    return UsageError(
        f"the rate of {name} is a whole number of thousandths of {counted}, 0 to {_most(name):,}, got {got!r}"
    )


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, [*FAULTS, "all", "none"], n=1)
    told = f"; did you mean {close[0]!r}?" if close else ""
    return f"{told or ';'} expected one of {', '.join(FAULTS)}, all or none"
