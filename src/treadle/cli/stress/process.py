"""One of several processes of a stress run: ``python -m treadle.cli.stress.process``.

Its arguments are the store's URL, its own number and the load as JSON; its stdout is JSON Lines: a number
for each stretch of acknowledged events, and at last the report.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Final

import msgspec

from treadle.cli.processes import run_child
from treadle.cli.stress.load import Load
from treadle.cli.stress.recording import Recording, part_of
from treadle.cli.stress.writers import Report, Writers
from treadle.runtime import open_runtime

PROGRESS_EVENTS: Final = 500
"""How many events are told at once: enough for a smooth bar, little enough to cost nothing."""


async def _write(url: str, process: int, load: Load) -> Report:
    told = 0.0

    def advance(events: float) -> None:
        nonlocal told
        told += events
        if told >= PROGRESS_EVENTS:
            _tell(round(told))
            told = 0.0

    recording = Recording(part_of(load.history, process)) if load.history else None
    async with open_runtime(url) as runtime:
        _tell(0)  # it is up: a kill before this would only measure how fast Python starts
        return await Writers(runtime, load, process, advance, recording).run()


def _tell(value: int | Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


async def _write_and_tell(url: str, process: int, load: Load) -> None:
    _tell(await _write(url, process, load))


if __name__ == "__main__":
    _url, _process, _load = sys.argv[1:]
    sys.exit(run_child(partial(_write_and_tell, _url, int(_process), Load.decoded(_load))))
