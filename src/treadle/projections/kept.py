"""What is kept of projections: records of the store, and how they are read and made.

    namespace                                    key      value
    treadle:projection                           name     `Checkpoint`: position, version, and a plain state
    treadle:projection:NAME:GENERATION           key      `KeyedState`, one for each key of a keyed projection
    treadle:projection:NAME:baseline:POSITION    key      `KeyedState`s as they were at that position
    treadle:retention                            horizon  up to where events may have been removed

A checkpoint and the states it is of change in one unit, guarded by the checkpoint as its writer last knew it:
whoever finds another one there has been overtaken, and must read everything afresh. `position` stays readable
without any codec, because retention asks for it. A rebuild writes the states of the next generation beside
those of the present one, and only then the checkpoint that names it.

A baseline is a copy of all states, taken when retention has removed events: from it on, and no longer from
the first event, a projection can be rebuilt and verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

import attrs
import msgspec
from msgspec import Raw

from treadle.errors import CodecError, InvalidValueError, TreadleError
from treadle.events import PAYLOAD_SIZE_BYTES_MAX
from treadle.kernel import Kernel
from treadle.log import HORIZON_KEY, HORIZON_SPACE, PROJECTIONS, read_state, write_state
from treadle.payloads import CodecChain, CodecContext, Converter
from treadle.projections.folding import PLAIN, Folding
from treadle.projections.projection import Projection
from treadle.stores import PAGE_WORKFLOWS, FeedEvent, Record, Store, Unit

S = TypeVar("S")

READS_MAX: Final = 20
"""How often the states of a projection are read anew because somebody wrote them meanwhile."""


class Host(Protocol):
    """What a set of projections needs to be kept up; a runtime gives one to its companions.

    Attributes:
        closing: whether to write what must be written, and return.
    """

    closing: bool

    @property
    def store(self) -> Store:
        """The store, for reading."""

    @property
    def kernel(self) -> Kernel:
        """Through which everything waits."""

    @property
    def converter(self) -> Converter:
        """States to JSON and back."""

    @property
    def codecs(self) -> CodecChain:
        """What states go through."""

    async def commit(self, units: list[Unit], /) -> list[TreadleError | None]:
        """Write units, each taken or refused by itself."""

    async def wait_changed(self, seconds: float | None = None, /) -> None:
        """Wait until something may have been committed."""

    def nudge(self) -> None:
        """End that wait."""


class Failure(msgspec.Struct, frozen=True):
    """Why a projection has stopped.

    Attributes:
        position: of the event that its fold could not take.
        workflow_id: whose event that is.
        error: what was raised, in words.
    """

    position: int
    workflow_id: str
    error: str


class Form(msgspec.Struct, frozen=True, omit_defaults=True):
    """A state as it is kept: JSON, the bytes of the projection's own `encode`, or either through codecs."""

    json: Raw = Raw(b"null")
    data: bytes | None = None
    coded: bytes | None = None


class KeyedState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of one key.

    Attributes:
        position: of the last event that changed it.
        workflow_id: whose event that was.
        state: the state.
    """

    position: int
    workflow_id: str
    state: Form


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a projection has read, and its state there unless it is keyed.

    Attributes:
        position: everything up to here is in the state, nothing behind it.
        version: of the fold.
        keyed: whether there is a state for each key.
        generation: under which the states of keys lie.
        writer: whoever wrote it last, drawn at random: two who count alike are told apart.
        keys: how many keys there are.
        written_ns: when it was written, by the wall clock.
        failure: why it goes no further, when it does not.
        baseline: at which position a copy of all its states lies; 0 for none.
        state: the state of one without keys.
    """

    position: int
    version: int
    keyed: bool = False
    generation: int = 1
    writer: str = ""
    keys: int = 0
    written_ns: int = 0
    failure: Failure | None = None
    baseline: int = 0
    state: Form = Form()


def space_of(name: str, generation: int) -> str:
    """Tell the namespace of a keyed projection's states.

    Args:
        name: the projection.
        generation: of its states.

    Returns:
        The namespace.
    """
    return f"{PROJECTIONS}:{name}:{generation}"


def baseline_space_of(name: str, position: int) -> str:
    """Tell the namespace of a baseline.

    Args:
        name: the projection.
        position: the baseline's.

    Returns:
        The namespace.
    """
    return f"{PROJECTIONS}:{name}:baseline:{position}"


def decode_checkpoint(name: str, value: bytes) -> Checkpoint:
    """Read a checkpoint.

    Args:
        name: the projection.
        value: of its record.

    Returns:
        The checkpoint.

    Raises:
        InvalidValueError: it is none of ours.
    """
    try:
        return msgspec.json.decode(value, type=Checkpoint)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            f"what is kept of projection {name!r} cannot be read ({error}); begin it anew: treadle projection"
            f" rebuild {name} MODULE"
        ) from error


def decode_keyed(name: str, key: str, value: bytes) -> KeyedState:
    """Read the state of a key.

    Args:
        name: the projection.
        key: whose state.
        value: of its record.

    Returns:
        The state, and the last event that changed it.

    Raises:
        InvalidValueError: it is none of ours.
    """
    try:
        return msgspec.json.decode(value, type=KeyedState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            f"the kept state of projection {name!r}, key {key!r}, cannot be read ({error}); begin it anew:"
            f" treadle projection rebuild {name} MODULE"
        ) from error


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

    async def load(self, projection: Projection[S]) -> Loaded | None:
        """Read a projection's checkpoint and states, as of one commit.

        Args:
            projection: the fold.

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
            kept = await self._states(projection, checkpoint)
            if not checkpoint.keyed or value == await self.find(projection.name):
                return Loaded(checkpoint, value, kept)
        raise InvalidValueError(
            f"projection {projection.name!r} was written to during each of {READS_MAX} reads of its states;"
            " try again, or stop the process that keeps it up"
        )

    async def _states(self, projection: Projection[S], checkpoint: Checkpoint) -> dict[str, KeyedState]:
        if not checkpoint.keyed:
            return {PLAIN: KeyedState(checkpoint.position, "", checkpoint.state)}
        return await self.states(projection.name, space_of(projection.name, checkpoint.generation))

    async def states(self, name: str, space: str) -> dict[str, KeyedState]:
        """Read all states of a namespace.

        Args:
            name: the projection.
            space: the namespace.

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
                kept[key] = decode_keyed(name, key, record.value or b"")
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
            InvalidValueError: it does not fit the fold.
            CodecError: a codec or a key is missing.
        """
        return read_state(projection, self.plain(projection.name, form), self.converter)

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
            form = msgspec.json.decode(self.codecs.decode(form.coded, CodecContext(name, 0)), type=Form)
        return bytes(form.json) if form.data is None else form.data

    # -- making --

    def form(self, projection: Projection[S], state: S) -> Form:
        """Put a state into the form in which it is kept.

        Args:
            projection: the fold.
            state: the state.

        Returns:
            The form.

        Raises:
            InvalidValueError: it has no JSON form, or would come back as something else.
        """
        kept = write_state(projection, state, self.converter)
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
