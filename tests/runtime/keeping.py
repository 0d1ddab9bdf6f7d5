"""What the tests of snapshots, baselines and retention share: folds, and logs to fold."""

from __future__ import annotations

import attrs

from treadle import Fold


def note(seen, event):
    return [*seen, (event.seq, event.payload.decode("latin-1"))]


def counted(calls):
    """A fold that notes which seqs its apply was given."""

    def apply(seen, event):
        calls.append(event.seq)
        return [*seen, [event.seq, event.payload.decode("latin-1")]]

    return Fold("seen", 1, list, apply)


TOTAL = Fold("total", 1, int, lambda total, event: total + len(event.payload))
SEEN = Fold("seen", 1, list, lambda seen, event: [*seen, [event.seq, event.payload.decode("latin-1")]])


@attrs.define
class Order:
    """A state with a class of its own, changed in place."""

    items: dict[int, str] = attrs.Factory(dict)
    changes: int = 0


def change(order, event):
    order.items[event.seq % 3] = event.payload.decode("latin-1")
    order.changes += 1
    return order


ORDER = Fold("order", 1, Order, change, state=Order)


async def filled(runtime, name, count, first=0):
    """Append numbered events."""
    handle = runtime.workflow(name)
    for number in range(first, first + count):
        await handle.append("custom", b"%d" % number)
    return handle


def cut_of(head, first_kept_seq):
    """Cut a log beside the runtime, as another process would."""
    from treadle.stores import Cut, Unit  # noqa: PLC0415

    return Unit(cuts=(Cut(head.workflow_id, head.next_seq, head.digest, first_kept_seq),))


async def cut(store, name, first_kept_seq):
    """Take a log's beginning away in the store itself."""
    (head,) = await store.heads([name])
    await store.append([cut_of(head, first_kept_seq)])
