"""Short words for histories with something planted in them."""

from itertools import count

from treadle.checkers import Branching, Cutting, Kept, Operation, Read, Write

_numbers = count(1)


def op(begin, end, *parts, outcome="ok", error=None):
    """An operation of what it saw and wrote."""
    number = next(_numbers)
    reads = tuple(part for part in parts if isinstance(part, Read))
    writes = tuple(part for part in parts if isinstance(part, Write))
    lifetimes = tuple(part for part in parts if isinstance(part, Branching | Cutting | Kept))
    return Operation(number, f"c{number}", begin, end, outcome, reads, writes, error, lifetimes)


def saw(workflow, marks, first_seq=1):
    """A read of a stretch; one letter for each mark."""
    return Read(workflow, tuple(marks), first_seq)


def length(workflow, events):
    """A read of the length alone."""
    return Read(workflow, next_seq=events + 1)


def wrote(workflow, marks, seq=None):
    """A write; one letter for each mark."""
    return Write(workflow, tuple(marks), seq)


def branched(workflow, parent, at, mark):
    """A branch that was begun; `mark` is its own first event."""
    return Branching(workflow, parent, at, mark)


def cut(workflow, first_seq):
    """A cut that leaves the log from a seq on."""
    return Cutting(workflow, first_seq)


def told(workflow, first_seq):
    """An answer that names the first kept seq."""
    return Kept(workflow, first_seq)
