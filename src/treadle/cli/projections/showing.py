"""`treadle projection show`: one projection, its state, or its keys, from the records of the store alone."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from typing import Annotated, Any, Final

import msgspec
import trio
from cyclopts import Parameter

from treadle.cli.durable.connecting import CodecsOption
from treadle.cli.durable.modules import load_codecs
from treadle.cli.exits import CommandError, NotFoundError
from treadle.cli.options import DEFAULT_STORE, Flag, OutputFormat, OutputOption, StoreOption
from treadle.cli.output import Column, Rows, payload_cell, show_facts
from treadle.cli.projections.finding import Kept, find_kept, shelf_of
from treadle.cli.projections.listing import record_of
from treadle.cli.stores import reading_store
from treadle.errors import CodecError
from treadle.payloads import CodecChain
from treadle.projections.kept import Checkpoint, Form, KeyedState, Shelf, decode_keyed, space_of
from treadle.stores import PAGE_WORKFLOWS

EXAMPLES: Final = """Examples:

  treadle projection show totals
  treadle projection show orders --key order-7
  treadle projection show orders --keys -o jsonl
"""
_COLUMNS: Final = (Column("position", 12, right=True), Column("key", 24), Column("state"))

NameArgument = Annotated[str, Parameter(name="NAME", help="the projection's name.")]


def show(
    name: NameArgument,
    /,
    *,
    key: Annotated[str | None, Parameter(show_default=False, allow_leading_hyphen=True)] = None,
    keys: Flag = False,
    codecs: CodecsOption = None,
    output: OutputOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a projection as it was last written: how far it has read, and its state.

    Of a projection with keys, --key shows one state and --keys lists them all. No code is loaded: states are
    shown as the JSON that is kept, and those of a projection's own `encode` in base 64.

    Args:
        name: the projection.
        key: show this key's state.
        keys: list the states of all keys.
        codecs: what payloads go through; needed for states that were encoded.
        output: how data is printed.
        store: the store, which must exist.

    Raises:
        NotFoundError: nothing is kept of this projection, or of this key.
        CommandError: the options contradict each other.
        CodecError: the state was encoded, and no codecs were given.
        StoreError: the store could not be opened or read.
    """
    if key is not None and keys:
        raise CommandError("--key shows one state and --keys all of them; leave one of them out")
    trio.run(partial(_show, store, name, load_codecs(codecs), output, key=key, keys=keys))


async def _show(
    url: str, name: str, codecs: CodecChain, output: OutputFormat, *, key: str | None, keys: bool
) -> None:
    async with reading_store(url) as store:
        shelf = shelf_of(store, codecs)
        kept = await find_kept(shelf, name)
        if key is None and not keys:
            _show_whole(shelf, kept, await store.position(), output)
            return
        checkpoint = kept.checkpoint
        if checkpoint is None or not checkpoint.keyed:
            why = kept.damage or "it has one state, and no keys"
            raise CommandError(f"projection {name!r}: {why}; show it without --key and --keys")
        if keys:
            await _list_keys(shelf, name, checkpoint, output)
        elif key is not None:
            await _show_key(shelf, name, key, checkpoint, output)


def _show_whole(shelf: Shelf, kept: Kept, newest: int, output: OutputFormat) -> None:
    record = record_of(kept, newest)
    checkpoint = kept.checkpoint
    state = None
    if checkpoint is not None and not checkpoint.keyed:
        state = value_of(shelf, kept.name, checkpoint.state)
        record["state"] = state
    rows = {label.replace("_", " "): value for label, value in record.items() if label != "projection"}
    if (written_ns := rows.pop("written ns", None)) is not None:
        # Its room reads and writes every format, which takes a while to load: for those alone who show times.
        from treadle.formats.times import timestamp_text  # noqa: PLC0415

        rows["written"] = timestamp_text(written_ns)
    if state is not None:
        rows["state"] = msgspec.json.encode(state).decode()
    show_facts(output, kept.name, record, rows)


async def _show_key(shelf: Shelf, name: str, key: str, checkpoint: Checkpoint, output: OutputFormat) -> None:
    value = await shelf.store.record(space_of(name, checkpoint.generation), key.encode())
    if value is None:
        raise NotFoundError(
            f"projection {name!r} keeps no state of key {key!r}; --keys lists those of which it does"
        )
    record = _record(shelf, name, key, decode_keyed(name, key, value))
    rows = {**record, "state": msgspec.json.encode(record["state"]).decode()}
    show_facts(output, f"{name}: {key}", record, rows)


async def _list_keys(shelf: Shelf, name: str, checkpoint: Checkpoint, output: OutputFormat) -> None:
    after: bytes | None = None
    space = space_of(name, checkpoint.generation)
    with Rows(output, *_COLUMNS) as rows:
        while page := await shelf.store.records(space, after=after, limit=PAGE_WORKFLOWS):
            for row in page:
                key = row.key.decode(errors="replace")
                record = _record(shelf, name, key, decode_keyed(name, key, row.value or b""))
                text = payload_cell(msgspec.json.encode(record["state"]))
                rows.add(record, f"{record['position']:,}", key, text)
            after = page[-1].key


def _record(shelf: Shelf, name: str, key: str, kept: KeyedState) -> dict[str, Any]:
    return {
        "key": key,
        "position": kept.position,
        "workflow_id": kept.workflow_id,
        "state": value_of(shelf, name, kept.state),
    }


def value_of(shelf: Shelf, name: str, form: Form) -> Any:
    """Give a kept state as a plain JSON value.

    Args:
        shelf: takes codecs off.
        name: the projection.
        form: as it is kept.

    Returns:
        The value; base 64 of what the projection's own `encode` has made.

    Raises:
        CommandError: it was encoded, and no codecs were given.
    """
    try:
        plain = shelf.plain(name, form)
    except CodecError as error:
        raise CommandError(f"{error}: --codecs MODULE:NAME") from error
    try:
        return msgspec.json.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return b64encode(plain).decode()
