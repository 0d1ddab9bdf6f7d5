"""Holds users' own projections to duality: however the feed is cut and restarted, the same state comes out.

    the whole feed in one page                      ─→ state
    the same again                                  ─→ the same    nothing is left over from before
    one event a page, read back after each          ─→ the same    a restart loses and adds nothing
    any pages, restarted anywhere                   ─→ the same    nothing depends on where a page ends
    each key's events alone                         ─→ the same    no key's state is another's
    in other processes, where sets have other order ─→ the same

No store and no runtime is needed, and no time passes.
"""

from __future__ import annotations

import json
import random
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from treadle.errors import InvalidValueError, UsageError
from treadle.events import EventKind, WorkflowEvent, WorkflowId
from treadle.events import workflow_id as make_workflow_id
from treadle.log import read_state, write_state
from treadle.payloads import Converter, JsonConverter
from treadle.projections import FeedEvent, Projection
from treadle.projections.folding import FoldError, Folding, without_baselines
from treadle.testing.workflows.children import imported, spawn_child
from treadle.testing.workflows.entropy import forbid_entropy_of

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

TRIES: Final = 20
"""How often a feed is cut into pages at random, by default."""
PAGE_EVENTS_MAX: Final = 10
"""How long such a page is at most: short ones end in more places."""
_MODULE: Final = "treadle.testing.projections"

Forms = dict[str, bytes]
"""By key, the form in which a state is kept."""


class DualityError(AssertionError):
    """A projection gives another state when its feed is read in another way.

    Attributes:
        projection: its name.
        trial: how it was read, in words.
        key: whose state differs; None for a projection without keys.
        position: of the last event of the page after which it differed first.
        expected: the state when all is read in one go, as it is kept; None for none.
        found: the state in this trial; None for none.
    """

    def __init__(
        self,
        message: str,
        *,
        projection: str,
        trial: str,
        key: str | None,
        position: int,
        expected: str | None,
        found: str | None,
    ) -> None:
        super().__init__(message)
        self.projection = projection
        self.trial = trial
        self.key = key
        self.position = position
        self.expected = expected
        self.found = found


def feed_of(events: Iterable[tuple[str, Any, bytes] | FeedEvent]) -> list[FeedEvent]:
    """Make a feed, as a store would give it, of what its events say.

    Args:
        events: workflow id, kind and payload of each, in commit order; or feed events, taken as they are.

    Returns:
        The events with positions, and seqs that rise by one in each log.

    Raises:
        InvalidValueError: an event, or an id, a kind or a payload of one, is none.
    """
    feed: list[FeedEvent] = []
    seqs: dict[str, int] = {}
    given: Any = events
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidValueError(f"events are a list of (workflow id, kind, payload), got {given!r:.60}")
    event: Any
    for position, event in enumerate(given, 1):
        if isinstance(event, FeedEvent):
            feed.append(event)
            continue
        if not isinstance(event, tuple | list) or len(event) != 3:  # as its type says
            raise InvalidValueError(
                f"event {position} is (workflow id, kind, payload), or a FeedEvent, got {event!r:.60}"
            )
        name, kind, payload = event
        made = make_workflow_id(name)
        seq = seqs[made] = seqs.get(made, 0) + 1
        feed.append(FeedEvent(position, made, WorkflowEvent(seq, position, kind, payload)))
    return feed


def any_feed(
    payloads: SearchStrategy[bytes] | None = None,
    *,
    workflow_ids: Sequence[str] = ("a", "b", "c"),
    kinds: Sequence[str] = ("custom",),
    events_max: int = 30,
) -> SearchStrategy[list[FeedEvent]]:
    """Make a hypothesis strategy of feeds.

    Args:
        payloads: what events hold; None for any few bytes.
        workflow_ids: whose events they are.
        kinds: their kinds.
        events_max: how many there are at most.

    Returns:
        The strategy, for `check_projection`.

    Raises:
        ImportError: hypothesis is not installed.
    """
    from hypothesis import strategies as st  # noqa: PLC0415  # only this needs it

    contents = st.binary(max_size=8) if payloads is None else payloads
    event = st.tuples(st.sampled_from(list(workflow_ids)), st.sampled_from(list(kinds)), contents)
    return st.lists(event, max_size=events_max).map(feed_of)


def check_projection(
    projection: Projection[Any],
    events: Iterable[tuple[str, Any, bytes] | FeedEvent],
    *,
    tries: int = TRIES,
    seed: int = 0,
    converter: Converter | None = None,
    hash_seeds: Sequence[int] = (),
) -> None:
    """Read a feed in many ways, and require that a projection gives the same states each time.

    Clocks, chance, files and threads are forbidden to its functions meanwhile.

    Args:
        projection: the projection.
        events: the feed: what `feed_of` takes, or `any_feed` gives.
        tries: how often it is cut into pages, and restarted, at random.
        seed: what these cuts are drawn from.
        converter: states to JSON and back; the usual one unless given.
        hash_seeds: PYTHONHASHSEED of child processes that read it too, because each has an order of sets of
            its own; the projection must then stand at the top of a module. Half a second each; three find
            what depends on that order in seven cases of eight.

    Raises:
        DualityError: another state comes out; it tells of which key, and after which page.
        EntropyError: a function of the projection has asked a clock, chance or the world.
        InvalidValueError: a state does not survive its converter, or a key is none.
        UsageError: a child process cannot find the projection.
        Exception: whatever the projection's functions raise.
    """
    trial = _Trials(projection, without_baselines(feed_of(events)), converter or JsonConverter())
    with forbid_entropy_of("a fold", "what it needs of the event"):
        trial.run(tries, random.Random(seed))  # noqa: S311  # cuts, not secrets
    for hash_seed in hash_seeds:
        trial.run_child(hash_seed)


class _Trials:
    def __init__(self, projection: Projection[Any], feed: list[FeedEvent], converter: Converter) -> None:
        self._projection = projection
        self._feed = feed
        self._converter = converter
        self._first = self._form(projection.initial())
        self.expected = self._forms(self._folded([feed]))

    def run(self, tries: int, cuts: random.Random) -> None:
        feed = self._feed
        self._check_initial()
        self._check("read a second time", [feed], restarts=())
        self._check_keys_alone()
        singles = [[event] for event in feed]
        self._check("one event a page", singles, restarts=())
        self._check("one event a page, restarted after each", singles, restarts=range(len(singles)))
        for _ in range(tries):
            pages = _cut(feed, cuts)
            restarts = [number for number in range(len(pages)) if cuts.random() < 0.5]
            lengths = [len(page) for page in pages]
            self._check(f"pages of {lengths}, restarted after {restarts}", pages, restarts)
        self._check_initial()

    # -- folding --

    def _folded(self, pages: Sequence[Sequence[FeedEvent]]) -> Folding[Any]:
        folding = Folding.fresh(self._projection)
        for page in pages:
            self._fold(folding, page)
        return folding

    def _fold(self, folding: Folding[Any], page: Sequence[FeedEvent]) -> None:
        try:
            folding.fold(page)
        except FoldError as error:
            cause = error.__cause__
            assert cause is not None  # noqa: S101  # it stands for that
            cause.add_note(
                f"raised by projection {self._projection.name!r} at position {error.event.position}, workflow"
                f" {error.event.workflow_id!r}, seq {error.event.event.seq}"
            )
            raise cause from cause.__cause__

    def _form(self, state: Any) -> bytes:
        return write_state(self._projection, state, self._converter)

    def _forms(self, folding: Folding[Any]) -> Forms:
        return {key: self._form(state) for key, state in folding.states.items()}

    def _restarted(self, folding: Folding[Any]) -> Folding[Any]:
        """Write all states down, let somebody else begin to read, and go on with what comes back."""
        # Whatever the fold keeps beside its states is now from another reading, as after a real restart.
        self._folded([self._feed[:PAGE_EVENTS_MAX]])
        again = Folding.fresh(self._projection)
        for key, form in self._forms(folding).items():
            again.states[key] = read_state(self._projection, form, self._converter)
        return again

    # -- comparing --

    def _check(self, trial: str, pages: Sequence[Sequence[FeedEvent]], restarts: Iterable[int]) -> None:
        after = set(restarts)
        folding = Folding.fresh(self._projection)
        for number, page in enumerate(pages):
            self._fold(folding, page)
            if number in after:
                folding = self._restarted(folding)
        if self._forms(folding) != self.expected:
            self._tell(trial, pages, after)

    def _tell(self, trial: str, pages: Sequence[Sequence[FeedEvent]], after: set[int]) -> None:
        """Find the first page after which the two differ, and raise."""
        folding, seen = Folding.fresh(self._projection), 0
        for number, page in enumerate(pages):
            self._fold(folding, page)
            seen += len(page)
            if number in after:
                folding = self._restarted(folding)
            whole = self._forms(self._folded([self._feed[:seen]]))
            self._compare(trial, whole, self._forms(folding), page[-1].position)
        last = self._feed[-1].position if self._feed else 0
        # In this very reading it came out right: something is left over from one reading to the next.
        self._compare(trial, self.expected, self._forms(folding), last)
        raise self._difference(trial, None, last, None, None)

    def _compare(self, trial: str, expected: Forms, found: Forms, position: int) -> None:
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                raise self._difference(trial, key, position, expected.get(key), found.get(key))

    def _check_initial(self) -> None:
        again = self._form(self._projection.initial())
        if again != self._first:
            raise self._difference("initial() called again", None, 0, self._first, again)

    def _check_keys_alone(self) -> None:
        key_of = self._projection.key
        if key_of is None:
            return
        for key in self.expected:
            own = [event for event in self._feed if key_of(event) == key]
            found = self._forms(self._folded([own]))
            trial = f"the events of key {key!r} alone"
            if found != {key: self.expected[key]}:
                raise self._difference(trial, key, own[-1].position, self.expected[key], found.get(key))

    def _difference(
        self, trial: str, key: str | None, position: int, expected: bytes | None, found: bytes | None
    ) -> DualityError:
        name, keyed = self._projection.name, self._projection.key is not None
        shown = [None if form is None else form.decode(errors="replace") for form in (expected, found)]
        whose = f", key {key!r}," if keyed and key is not None else ""
        return DualityError(
            f"projection {name!r}{whose} gives another state up to position {position}: {trial}.\n"
            f"  in one go: {shown[0]}\n  here:      {shown[1]}\n"
            "A fold gives the same state however its feed is cut, restarted and repeated: it keeps nothing"
            " outside its state, and everything in it comes back from its form.",
            projection=name,
            trial=trial,
            key=key if keyed else None,
            position=position,
            expected=shown[0],
            found=shown[1],
        )

    # -- other processes --

    def run_child(self, hash_seed: int) -> None:
        answer = spawn_child(_MODULE, self._order(), hash_seed)
        trial = f"read in a process with PYTHONHASHSEED={hash_seed}"
        if "error" in answer:
            raise UsageError(f"projection {self._projection.name!r}, {trial}: {answer['error']}")
        found = {key: b64decode(form) for key, form in answer["forms"].items()}
        self._compare(trial, self.expected, found, self._feed[-1].position if self._feed else 0)

    def _order(self) -> bytes:
        module, name = _home(self._projection)
        rows = [
            (row.position, row.workflow_id, row.event.seq, row.event.timestamp, int(row.event.kind),
             b64encode(row.event.payload).decode())
            for row in self._feed
        ]  # fmt: skip
        return json.dumps({**module, "name": name, "events": rows}).encode()


def _cut(feed: Sequence[FeedEvent], cuts: random.Random) -> list[Sequence[FeedEvent]]:
    pages, start = [], 0
    while start < len(feed):
        end = start + cuts.randint(1, PAGE_EVENTS_MAX)
        pages.append(feed[start:end])
        start = end
    return pages


def _home(projection: Projection[Any]) -> tuple[dict[str, Any], str]:
    """Find the module that holds a projection, for a process that is to import it."""
    import sys  # noqa: PLC0415  # looked through only for this

    name = projection.apply.__module__
    module = sys.modules.get(name)
    for variable, value in vars(module).items() if module is not None and name != "__main__" else ():
        if value is projection:
            return {"module": name, "file": getattr(module, "__file__", None)}, variable
    raise UsageError(
        f"a process of its own imports the projection; {projection.name!r} stands at the top of no module"
        f" {name!r}: put it there, beside its apply, or give hash_seeds=() to stay in this process"
    )


def answer(order: bytes) -> dict[str, Any]:
    """Fold what another process has asked for; called in the child.

    Args:
        order: what it has asked.

    Returns:
        The states' forms, or what went wrong.
    """
    head = json.loads(order)
    try:
        projection: Projection[Any] = imported(head)
        feed = [
            FeedEvent(
                position,
                WorkflowId(name),
                WorkflowEvent(seq, timestamp, EventKind(kind), b64decode(payload)),
            )
            for position, name, seq, timestamp, kind, payload in head["events"]
        ]
        forms = _Trials(projection, feed, JsonConverter()).expected
    except Exception as error:  # noqa: BLE001  # told to the one who asked
        return {
            "error": f"{type(error).__name__}: {error}; can the module be imported without a test runner?"
        }
    return {"forms": {key: b64encode(form).decode() for key, form in forms.items()}}
