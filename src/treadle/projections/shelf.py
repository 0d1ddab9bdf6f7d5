"""The shelf on which states of projections lie: read as of one commit, made into records. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import attrs
import msgspec
from msgspec import Raw

from treadle.errors import CodecError, InvalidValueError, TreadleError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX
from treadle.log import HORIZON_KEY, HORIZON_SPACE, PROJECTIONS, read_state, write_state
from treadle.payloads import CodecChain, CodecContext, Converter
from treadle.projections.folding import PLAIN, Folding
from treadle.projections.kept import (
    Checkpoint,
    Form,
    KeyedState,
    command_to_rebuild,
    decode_checkpoint,
    decode_keyed,
    space_of,
)
from treadle.projections.projection import Projection
from treadle.stores import PAGE_WORKFLOWS, FeedEvent, Record, Store

S = TypeVar("S")

READS_MAX: Final = 20
"""How often the states of a projection are read anew because somebody wrote them meanwhile."""


@attrs.frozen(slots=True, eq=False)
class Loaded:
    """What is kept of a projection, as of one commit.

    Attributes:
        checkpoint: how far it has read.
        value: the checkpoint's record, byte for byte: the guard of whoever writes next.
        kept: its states by key; one without keys has one, under `PLAIN`.
    """

    checkpoint: Checkpoint
    value: bytes
    kept: dict[str, KeyedState]


@attrs.frozen(slots=True, eq=False)
class Shelf:
    """Reads and makes the records of projections.

    Attributes:
        store: where they lie.
        converter: states to JSON and back.
        codecs: what states go through.
    """

    store: Store
    converter: Converter
    codecs: CodecChain

    # -- reading --

    async def find(self, name: str) -> bytes | None:
        """Read the record of a checkpoint.

        Args:
            name: the projection.

        Returns:
            Its value, or None.
        """
        return await self.store.record(PROJECTIONS, name.encode())

    async def names(self) -> list[str]:
        """List the projections of which something is kept.

        Returns:
            Their names, in the order of their UTF-8 bytes.
        """
        names: list[str] = []
        after: bytes | None = None
        while page := await self.store.records(PROJECTIONS, after=after, limit=PAGE_WORKFLOWS):
            names += [record.key.decode(errors="replace") for record in page]
            after = page[-1].key
        return names

    async def load(
        self, projection: Projection[S], *, damaged: dict[str, str] | None = None
    ) -> Loaded | None:
        """Read a projection's checkpoint and states, as of one commit.

        Args:
            projection: the fold.
            damaged: where to note, by key, why a state cannot be read; None refuses them all for one.

        Returns:
            What is kept, or None when nothing is.

        Raises:
            InvalidValueError: what is kept cannot be read, or does not fit the fold.
            CodecError: a codec or a key is missing.
        """
        for _ in range(READS_MAX):
            value = await self.find(projection.name)
            if value is None:
                return None
            checkpoint = decode_checkpoint(projection.name, value)
            kept = await self._states(projection, checkpoint, damaged)
            if not checkpoint.keyed or value == await self.find(projection.name):
                return Loaded(checkpoint, value, kept)
        raise InvalidValueError(
            f"projection {projection.name!r} was written to during each of {READS_MAX} reads of its states;"
            " try again, or stop the process that keeps it up"
        )

    async def _states(
        self, projection: Projection[S], checkpoint: Checkpoint, damaged: dict[str, str] | None
    ) -> dict[str, KeyedState]:
        if not checkpoint.keyed:
            return {PLAIN: KeyedState(checkpoint.position, "", checkpoint.state)}
        if damaged is not None:
            damaged.clear()
        return await self.states(projection.name, space_of(projection.name, checkpoint.generation), damaged)

    async def states(
        self, name: str, space: str, damaged: dict[str, str] | None = None
    ) -> dict[str, KeyedState]:
        """Read all states of a namespace.

        Args:
            name: the projection.
            space: the namespace.
            damaged: as in `load`.

        Returns:
            The states by key.

        Raises:
            InvalidValueError: one cannot be read.
        """
        kept: dict[str, KeyedState] = {}
        after: bytes | None = None
        while page := await self.store.records(space, after=after, limit=PAGE_WORKFLOWS):
            for record in page:
                key = record.key.decode(errors="replace")
                try:
                    kept[key] = decode_keyed(name, key, record.value or b"")
                except InvalidValueError as error:
                    if damaged is None:
                        raise
                    damaged[key] = str(error.__cause__)
            after = page[-1].key
        return kept

    async def horizon(self) -> int:
        """Tell up to which position events may have been removed.

        Returns:
            The position; 0 when none ever were.
        """
        value = await self.store.record(HORIZON_SPACE, HORIZON_KEY)
        return int(value) if value is not None and value.isdigit() else 0

    def read(self, projection: Projection[S], form: Form) -> S:
        """Make a state again.

        Args:
            projection: the fold.
            form: as it is kept.

        Returns:
            The state.

        Raises:
            InvalidValueError: it does not fit the fold, or its `decode` has raised.
            CodecError: a codec or a key is missing.
        """
        plain = self.plain(projection.name, form)
        try:
            return read_state(projection, plain, self.converter)
        except Exception as error:  # the user's own decode may raise anything
            raise InvalidValueError(
                f"what is kept of projection {projection.name!r} is no state of this fold:"
                f" {_words(error)}; give the decode and state= of its version, or begin it anew:"
                f" {command_to_rebuild(projection.name)}"
            ) from error

    def plain(self, name: str, form: Form) -> bytes:
        """Take a state's codecs off.

        Args:
            name: the projection.
            form: as it is kept.

        Returns:
            JSON, or what the projection's own `encode` has made.

        Raises:
            CodecError: a codec or a key is missing.
        """
        if form.coded is not None:
            if not self.codecs:
                raise CodecError(
                    f"the state of projection {name!r} was written through codecs; give codecs= as its"
                    " writer did"
                )
            decoded = self.codecs.decode(form.coded, CodecContext(name, 0))
            try:
                form = msgspec.json.decode(decoded, type=Form)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise CodecError(
                    f"the state of projection {name!r} is none any more once its codecs are taken off:"
                    f" {error}; give codecs= as its writer did"
                ) from error
        elif self.codecs:
            # Refuses it when the chain accepts nothing plain: somebody may have put it there.
            self.codecs.decode(b"null", CodecContext(name, 0))
        return bytes(form.json) if form.data is None else form.data

    # -- making --

    def write(self, projection: Projection[S], state: S) -> bytes:
        """Put a state into JSON, or what the projection's own `encode` makes.

        Args:
            projection: the fold.
            state: the state.

        Returns:
            Its form, without codecs.

        Raises:
            InvalidValueError: it has no form, its `encode` has raised, or another would come back.
        """
        try:
            return write_state(projection, state, self.converter)
        except InvalidValueError:
            raise
        except Exception as error:  # the user's own encode and decode may raise anything
            raise InvalidValueError(f"a state has no form: {_words(error)}; mend its encode") from error

    def form(self, projection: Projection[S], state: S) -> Form:
        """Put a state into the form in which it is kept.

        Args:
            projection: the fold.
            state: the state.

        Returns:
            The form.

        Raises:
            InvalidValueError: it has no form, or would come back as something else.
        """
        kept = self.write(projection, state)
        form = Form(data=kept) if projection.encode is not None else Form(json=Raw(kept))
        if not self.codecs:
            return form
        return Form(coded=self.codecs.encode(msgspec.json.encode(form), CodecContext(projection.name, 0)))

    def state_records(
        self, folding: Folding[Any], space: str, touched: Mapping[str, FeedEvent | KeyedState]
    ) -> list[Record]:
        """Make the records of keys.

        Args:
            folding: their states.
            space: the namespace for them.
            touched: the keys, and the last event of each, or what was kept of it.

        Returns:
            One record for each key.

        Raises:
            InvalidValueError: a state has no form, or is too large.
        """
        projection = folding.projection
        records = []
        for key, event in touched.items():
            with _naming(projection.name, key):
                form = self.form(projection, folding.states[key])
                value = msgspec.json.encode(KeyedState(event.position, event.workflow_id, form))
                check_size(value)
            records.append(Record(space, key.encode(), value))
        return records

    def with_state(self, folding: Folding[Any], checkpoint: Checkpoint) -> tuple[Checkpoint, bytes]:
        """Make the value of a checkpoint's record.

        Args:
            folding: the states there.
            checkpoint: all but the state.

        Returns:
            The checkpoint with its state, and the value.

        Raises:
            InvalidValueError: the state has no form, or is too large.
        """
        projection = folding.projection
        with _naming(projection.name, None):
            if not checkpoint.keyed:
                form = self.form(projection, folding.states[PLAIN])
                checkpoint = msgspec.structs.replace(checkpoint, state=form)
            value = msgspec.json.encode(checkpoint)
            check_size(value)
        return checkpoint, value


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, TreadleError) else f"{type(error).__name__}: {error}"


class _naming:  # noqa: N801  # read as a sentence where it is used
    """Say of which projection and key a state could not be kept."""

    def __init__(self, name: str, key: str | None) -> None:
        self._name, self._key = name, key

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Put the name before an error's words."""
        if isinstance(error, InvalidValueError | CodecError):
            whose = f"projection {self._name!r}" + ("" if self._key is None else f", key {self._key!r:.60}")
            if self._key is None and whose in str(error):
                return
            raise InvalidValueError(f"{whose}: {error}") from error


def check_size(value: bytes) -> None:
    """Refuse a record that is too large.

    Args:
        value: its value.

    Raises:
        InvalidValueError: it is.
    """
    if len(value) > PAYLOAD_SIZE_BYTES_MAX:
        raise InvalidValueError(
            f"the state's record takes {len(value):,} bytes, and a record holds at most"
            f" {PAYLOAD_SIZE_BYTES_MAX:,}; keep less in it, split it with Projection(key=...), or keep a"
            " table of your own"
        )
