"""Short words for histories with something planted in them."""

from itertools import count

from treadle.checkers import Operation, Read, Write

_numbers = count(1)


def op(begin, end, *parts, outcome="ok", error=None):
    """An operation of what it saw and wrote."""
    number = next(_numbers)
    reads = tuple(part for part in parts if isinstance(part, Read))
    writes = tuple(part for part in parts if isinstance(part, Write))
    return Operation(number, f"c{number}", begin, end, outcome, reads, writes, error)


def saw(workflow, marks, first_seq=1):
    """A read of a stretch; one letter for each mark."""
    return Read(workflow, tuple(marks), first_seq)


def length(workflow, events):
    """A read of the length alone."""
    return Read(workflow, next_seq=events + 1)


def wrote(workflow, marks, seq=None):
    """A write; one letter for each mark."""
    return Write(workflow, tuple(marks), seq)
