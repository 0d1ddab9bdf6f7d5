"""What is kept of projections: records of the store, their names, and how they are read.

    namespace                                    key      value
    treadle:projection                           name     `Checkpoint`: position, version, and a plain state
    treadle:projection:NAME:GENERATION           key      `KeyedState`, one for each key of a keyed projection
    treadle:projection:NAME:baseline@POSITION    key      `KeyedState`s as they were at that position
    treadle:projection-claim                     name     who writes beside these; see `claiming`
    treadle:retention                            horizon  up to where events may have been removed

A checkpoint and the states it is of change in one unit, guarded by the checkpoint as its writer last knew it:
whoever finds another one there has been overtaken, and must read everything afresh. `position` stays readable
without any codec, because retention asks for it. A rebuild writes the states of the next generation beside
those of the present one, and only then the checkpoint that names it.

A baseline is a copy of all states, taken when retention has removed events: from it on, and no longer from
the first event, a projection can be rebuilt and verified.
"""

from __future__ import annotations

from shlex import quote
from typing import Final

import msgspec
from msgspec import Raw

from treadle.errors import InvalidValueError
from treadle.log import PROJECTIONS

GENERATION_MAX: Final = 2**31
"""Where the number of a generation is drawn from when the one before cannot be read."""


class Failure(msgspec.Struct, frozen=True):
    """Why a projection has stopped.

    Attributes:
        position: of the event that its fold could not take.
        workflow_id: whose event that is; empty when it was no event that stopped it.
        error: what was raised, in words.
    """

    position: int
    workflow_id: str
    error: str

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return f"position {self.position}" + (f" (workflow {self.workflow_id!r})" if self.workflow_id else "")


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
        writer: whoever keeps it up, drawn at random: two who count alike are told apart; empty behind a
            rebuild, which keeps nothing up.
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


def is_rebuilt(value: bytes | None) -> bool:
    """Tell whether a rebuild wrote a checkpoint last: then nobody keeps it up yet.

    Args:
        value: of its record; None for none.

    Returns:
        Whether it did.
    """
    try:
        return value is not None and not decode_checkpoint("", value).writer
    except InvalidValueError:
        return False


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
        The namespace. It never ends as one of states does, whatever either projection is called: a name may
        hold colons.
    """
    return f"{PROJECTIONS}:{name}:baseline@{position}"


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
        checkpoint = msgspec.json.decode(value, type=Checkpoint)
        if not 0 <= checkpoint.baseline <= checkpoint.position or checkpoint.generation < 1:
            raise msgspec.DecodeError("its position, baseline or generation is none")  # noqa: TRY301
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidValueError(
            f"what is kept of projection {name!r} cannot be read ({error}); begin it anew:"
            f" {command_to_rebuild(name)}"
        ) from error
    return checkpoint


def command_to_rebuild(name: str) -> str:
    """Word how a projection is rebuilt.

    Args:
        name: the projection.

    Returns:
        The command; treadle's own projections need no module.
    """
    return f"treadle projection rebuild {quote(name)}{'' if name.startswith('treadle:') else ' MODULE'}"


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
            f" {command_to_rebuild(name)}"
        ) from error
