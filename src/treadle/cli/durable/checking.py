"""`treadle replay FILE MODULE:NAME`: an exported history held against code, before the code is deployed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from treadle.cli.durable.modules import Code, Workflow, load_code
from treadle.cli.exits import OK, VIOLATION, CommandError, NotFoundError
from treadle.cli.notes import note
from treadle.cli.options import OutputFormat
from treadle.cli.output import counted, show_facts
from treadle.engine import Execution, Registry
from treadle.engine.differences import Drift
from treadle.engine.histories import lives_of, replay_whole
from treadle.engine.origins import decoded_events
from treadle.engine.records import RunStarted, is_engine_start
from treadle.errors import NondeterminismError, WorkflowHeldError
from treadle.events import WorkflowEvent
from treadle.formats import ImportedLog, read
from treadle.payloads import CodecChain, JsonConverter

_ENDINGS: Final = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
"""What exported histories are called; a workflow id that ends so is unlikely enough."""
_CHUNK_SIZE_BYTES: Final = 1 << 18
TOLD_MAX: Final = 20
"""How many drifts are told one by one: a changed default touches every call."""


@attrs.define
class Found:
    """What holding histories against code has shown.

    Attributes:
        workflows: how many histories were replayed.
        events: how many events they have.
        skipped: how many logs of the file belong to other code, or are plain.
        divergences: where the code does something else.
        drifts: where it says the same differently: the workflow's id, and what.
    """

    workflows: int = 0
    events: int = 0
    skipped: int = 0
    divergences: list[NondeterminismError | WorkflowHeldError] = attrs.Factory(list)
    drifts: list[tuple[str, Drift]] = attrs.Factory(list)


def names_history(words: list[str]) -> bool:
    """Tell whether the words behind `treadle replay` are a file and a module, not workflow ids.

    Args:
        words: as they stand on the command line.

    Returns:
        True for two words of which the first is a file, or is called like an exported one.
    """
    if len(words) != 2:
        return False
    return words[0].endswith(_ENDINGS) or Path(words[0]).is_file()


def check_history(file: str, target: str, output: OutputFormat, chain: CodecChain, *, strict: bool) -> int:
    """Replay the histories of a file with a module's code, and tell where they part.

    Args:
        file: JSON Lines, as `treadle log export` writes them.
        target: ``MODULE`` or ``MODULE:NAME``.
        output: how the findings are printed.
        chain: decodes payloads.
        strict: whether a drift counts as a divergence.

    Returns:
        The exit code, by what was found.

    Raises:
        NotFoundError: there is no such file, module or workflow, or the file holds no history of it.
        FailedError: the module could not be imported.
        FormatError: the file is not what its format says: an event was changed, dropped or moved.
        OSError: the file cannot be read.
    """
    code = load_code(target)
    wanted = code.workflow() if ":" in target else None
    if not code.workflows:
        code.workflow()  # says what to do
    found = Found()
    for log in _logs(file):
        _check(code, wanted, log, chain, found)
    if not found.workflows:
        which = "a durable workflow" if wanted is None else repr(wanted.name)
        raise NotFoundError(f"{file} holds no history of {which}; `treadle log export ID -f FILE` writes one")
    _tell(found)
    diverged = bool(found.divergences or (strict and found.drifts))
    _show(found, output, diverged=diverged)
    return VIOLATION if diverged else OK


def _logs(file: str) -> Iterator[ImportedLog]:
    for item in read(_chunks(file), source=file, format_name="jsonl"):
        if isinstance(item, ImportedLog):
            yield item


def _chunks(file: str) -> Iterator[bytes]:
    if Path(file).is_dir():
        raise CommandError(f"{file} is a folder; give a file that `treadle log export` has written")
    with Path(file).open("rb") as opened:
        yield from iter(lambda: opened.read(_CHUNK_SIZE_BYTES), b"")


def _check(code: Code, wanted: Workflow | None, log: ImportedLog, chain: CodecChain, found: Found) -> None:
    events = decoded_events(log.workflow_id, log.events, chain)
    lives = [(_definition(code, life), life) for life in lives_of(events)]
    known = [
        (definition, life)
        for definition, life in lives
        if definition is not None and (wanted is None or definition.name == wanted.name)
    ]
    found.workflows += bool(known)
    found.skipped += not known
    for definition, life in known:
        found.events += len(life)
        _check_life(code, definition, log.workflow_id, life, found)


def _check_life(
    code: Code, definition: Workflow, workflow_id: str, events: Sequence[WorkflowEvent], found: Found
) -> None:
    registry = Registry(code.workflows, code.activities)
    execution = Execution(definition, workflow_id, registry, JsonConverter(), first_seq=events[0].seq)
    try:
        replay_whole(execution, events)
    except (NondeterminismError, WorkflowHeldError) as error:
        found.divergences.append(error)
        return
    found.drifts += [(workflow_id, drift) for drift in execution.drifts]
    execution.evict()


def _definition(code: Code, events: Sequence[WorkflowEvent]) -> Workflow | None:
    if not is_engine_start(events[0]):
        return None
    name = msgspec.json.decode(events[0].payload, type=RunStarted).name
    return next((workflow for workflow in code.workflows if workflow.name == name), None)


def _tell(found: Found) -> None:
    for error in found.divergences:
        note(f"divergence: {error}")
    for workflow_id, drift in found.drifts[:TOLD_MAX]:
        note(
            f"drift: workflow {workflow_id!r}, seq {drift.seq}, {drift.kind.name}: {drift.field}:"
            f" {drift.logged} -> {drift.done}\n  at {drift.where}"
        )
    if found.skipped:
        note(f"{counted(found.skipped, 'log')} of other code, or plain, left out")


def _show(found: Found, output: OutputFormat, *, diverged: bool) -> None:
    facts: dict[str, Any] = {
        "ok": not diverged,
        "workflows": found.workflows,
        "events": found.events,
        "skipped": found.skipped,
        "divergences": [_divergence(error) for error in found.divergences],
        "drifts": [
            {"workflow_id": name, **attrs.asdict(drift), "kind": drift.kind.name}
            for name, drift in found.drifts
        ],
    }
    rows = {
        "workflows": found.workflows,
        "events": found.events,
        "divergences": len(found.divergences),
        "drifts": len(found.drifts),
        "verdict": "the code does something else" if diverged else "the code does what its histories say",
    }
    show_facts(output, "replayed", facts, rows)


def _divergence(error: NondeterminismError | WorkflowHeldError) -> dict[str, Any]:
    if isinstance(error, WorkflowHeldError):
        return {"workflow_id": error.workflow_id, "reason": error.reason}
    fields = [{"field": field, "log": logged, "code": done} for field, logged, done in error.differences]
    return {
        "workflow_id": error.workflow_id,
        "seq": error.seq,
        "log": error.expected,
        "code": error.actual,
        "fields": fields,
        "where": error.where,
    }
