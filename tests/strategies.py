"""Hypothesis strategies for treadle's words, shared by all test rooms."""

from hypothesis import strategies as st

from treadle.events import EventKind, WorkflowEvent, workflow_id


def timestamps():
    """All event times, the extreme and the equal ones often."""
    return st.one_of(st.sampled_from((-(2**63), -1, 0, 1, 2**63 - 1)), st.integers(-(2**63), 2**63 - 1))


def kinds():
    """All kinds."""
    return st.sampled_from(EventKind)


def payloads():
    """Short payloads of any bytes."""
    return st.binary(max_size=20)


def event_contents():
    """Timestamp, kind and payload."""
    return st.tuples(timestamps(), kinds(), payloads())


def workflow_ids():
    """Valid ids of every length, script and look."""
    characters = st.characters(exclude_categories=("Cs", "Cc"))
    # Cut to what fits, not filtered: hypothesis would read a filter's source again for every example.
    names = st.text(characters, min_size=1, max_size=80).map(
        lambda name: name.encode()[:255].decode(errors="ignore")
    )
    numbers = st.integers(0, 2**64 - 1)
    return st.one_of(names, numbers).map(workflow_id)


def logs(max_size=20):
    """A whole log: events with seqs 1..n."""
    return st.lists(event_contents(), max_size=max_size).map(
        lambda contents: [WorkflowEvent(seq, *content) for seq, content in enumerate(contents, 1)]
    )
