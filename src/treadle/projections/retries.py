"""What retries have learned: a projection of attempts' ends, and the companion that keeps it up for a runner.

A runtime cannot name this room. So the policy that needs experience brings what gathers it: a runtime that is
to carry out an activity with an `AdaptiveRetry` asks it for its `Learner`.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import attrs
import msgspec

from treadle.engine.learning import SUCCESS_BY_KIND, AdaptivePolicy, Experience, Trial, learn, trial_in
from treadle.errors import CodecError, ProjectionStoppedError
from treadle.events import RECORD_KEY_SIZE_BYTES_MAX, WorkflowEvent
from treadle.payloads import CodecChain, CodecContext
from treadle.projections.kept import Host
from treadle.projections.live import Projections
from treadle.projections.projection import Projection
from treadle.stores import FeedEvent

RETRIES: Final = "treadle:retries"
"""The name of the projection."""
VERSION: Final = 1
"""Of its fold: raised when the same events teach something else."""

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(Experience | None).decode


def key_of(activity: str, key: str) -> str:
    """Name the state of one key of one activity.

    Args:
        activity: its name.
        key: the key.

    Returns:
        Both as a JSON array; a digest of it when that is too long for a record's key.
    """
    text = msgspec.json.encode((activity, key))
    if len(text) > RECORD_KEY_SIZE_BYTES_MAX:
        return blake2b(text, digest_size=16).hexdigest()
    return text.decode()


def retries(codecs: CodecChain | None = None) -> Projection[Experience | None]:
    """Make the projection of what retries have learned; `treadle projection verify treadle:retries` holds it.

    Args:
        codecs: what payloads go through; None for none.

    Returns:
        The projection, with a state for each key of each activity.
    """
    chain = codecs or CodecChain()

    def trial_of(event: FeedEvent) -> Trial | None:
        found = event.event
        if chain and found.kind in SUCCESS_BY_KIND:
            # The feed tells of every event where it was written: its log is its origin.
            try:
                payload = chain.decode(found.payload, CodecContext(event.workflow_id, found.seq))
            except CodecError:
                return None  # somebody else's plain log, or a key that is gone: there is nothing to learn
            found = WorkflowEvent(found.seq, found.timestamp, found.kind, payload)
        return trial_in(found)

    def key(event: FeedEvent) -> str | None:
        trial = trial_of(event)
        return None if trial is None else key_of(trial.activity, trial.key)

    def apply(state: Experience | None, event: FeedEvent) -> Experience | None:
        trial = trial_of(event)
        if trial is None:
            return state
        return learn(state, trial, event.event.timestamp, success=SUCCESS_BY_KIND[event.event.kind])

    return Projection(RETRIES, _nothing, apply, version=VERSION, key=key, encode=_encode, decode=_decode)


def _nothing() -> Experience | None:
    return None


class Learner:
    """What follows the log for a runner's retries, and tells them what was learned.

    Attributes:
        projections: the one that it keeps up; None before it is opened.
    """

    def __init__(self) -> None:
        self.projections: Projections | None = None

    async def open(self, host: Host) -> None:
        """Read what was learned before; called by the runtime, before its runner begins.

        Args:
            host: the runtime, as a companion sees it.

        Raises:
            ProjectionVersionError: another version of the fold has made it.
            ProjectionAheadError: it has read further than the store reaches.
            InvalidValueError: it cannot be read.
            StoreError: the store could not be read.
        """
        projections = Projections(retries(host.codecs))
        await projections.open(host)
        self.projections = projections

    async def run(self, host: Host) -> None:
        """Follow the feed until the runtime closes.

        Args:
            host: as in `open`.
        """
        assert self.projections is not None  # noqa: S101  # opened first
        await self.projections.run(host)

    def statistics(self) -> Any:
        """Tell how the projection stands.

        Returns:
            A frozen snapshot; None before it is opened.
        """
        return None if self.projections is None else self.projections.statistics()[0]

    def of(self, activity: str, key: str) -> Experience | None:
        """Tell what was learned for one key of one activity.

        Args:
            activity: its name.
            key: the key.

        Returns:
            What is known; None for nothing, and while nobody keeps it up here: retries go on without.
        """
        if self.projections is None:
            return None
        try:
            found: Experience | None = self.projections.state(RETRIES, key_of(activity, key))
        except ProjectionStoppedError:
            return None
        return found


@attrs.frozen(kw_only=True)
class AdaptiveRetry(AdaptivePolicy):
    """When and how a failed activity is tried again, learned from how its attempts have ended.

    Each attempt's wait and route are chosen by Thompson sampling: for every arm a chance of success is drawn
    from what its attempts have shown, and the arm is taken whose success would then cost least, waiting and
    wasted attempts together. What was chosen stands in the attempt's event, so a replay chooses nothing. What
    was learned is a projection of the log: it outlives the process, and all workflows of a store share it.

    A runner learns for those activities whose own definition has such a policy; given to one call alone, by
    `with_options`, it chooses by what others have learned.

    Args:
        arms: the waits to choose from, in seconds; 0 is at once.
        routes: names of the ways an attempt can take; it is told in `activity.info().route`. Their order
            means nothing: a route that nobody has tried is tried soon.
        key: whose experience counts: a name, or a function of the call's arguments (given by position, as
            plain JSON values) that tells it, as the host that is called. Each key learns by itself.
        half_life_seconds: how fast experience fades.
        attempt_cost_seconds: what a wasted attempt is worth in waiting: the more, the longer the waits.
        prior_attempts: how many attempts weigh as much as what is believed without any.
        attempts: how many attempts there are in all, the first one included; None for no end.
        non_retryable: exception types, or their names, after which no further attempt is made.

    Raises:
        InvalidValueError: a value lies outside what its word allows.
    """

    def learner(self) -> Learner:
        """Make what a runtime keeps going to learn; one serves all activities.

        Returns:
            The companion.
        """
        return Learner()
