"""Carrying out an update: the task round its handler."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from treadle.engine import machines
from treadle.engine.arguments import decode_arguments
from treadle.engine.driver import Evicted
from treadle.engine.failures import Failure, failure_of
from treadle.engine.pending import PendingUpdate
from treadle.engine.records import NOTHING, UpdateCompleted, encode_record
from treadle.engine.run import Handler
from treadle.events import EventKind

if TYPE_CHECKING:
    from treadle.engine.execution import Execution


async def run_update(execution: Execution, update: PendingUpdate, handler: Handler, args: bytes) -> None:
    """Carry an accepted update out and write down how it ended.

    Args:
        execution: the workflow.
        update: the update.
        handler: its handler.
        args: its arguments, a JSON array.
    """
    result, failure = NOTHING, None
    try:
        with update.scope:
            result = Raw(execution.converter.encode(await _called(execution, handler, args)))
    except (KeyboardInterrupt, GeneratorExit, Evicted):
        raise  # not its own: the program is stopped, or the workflow leaves memory
    except BaseException as error:  # noqa: BLE001  # its failure is the update's, not the workflow's
        failure = failure_of(error, execution.converter)
    if update.scope.cancelled_caught:
        failure = Failure("Cancelled", "the workflow was cancelled while it carried out the update")
    _complete(execution, update, result, failure)


async def _called(execution: Execution, handler: Handler, payload: bytes) -> Any:
    args, kwargs = decode_arguments(handler, payload, execution.converter)
    value = handler.function(*args, **kwargs)
    return await value if inspect.isawaitable(value) else value


def _complete(execution: Execution, update: PendingUpdate, result: Raw, failure: Failure | None) -> None:
    record = UpdateCompleted(update.seq, update.id, NOTHING if failure else result, failure)
    state = machines.step(machines.UPDATE, update.state, EventKind.UPDATE_COMPLETED)
    seq, _ = execution.journal.command(EventKind.UPDATE_COMPLETED, encode_record(record))
    update.state = state
    run = execution.run
    del run.updates_pending[update.id]
    run.updates_done[update.id] = seq
    while len(run.updates_done) > execution.limits.updates_remembered_max:
        del run.updates_done[next(iter(run.updates_done))]
