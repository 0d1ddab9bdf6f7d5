"""What `treadle log verify` would find, for tests whose Trio run still goes on and for stores in memory."""

from __future__ import annotations

import os
from threading import Thread

import trio

from treadle.cli.audit import Audit
from treadle.kernel import InlineKernel
from treadle.stores import Store, open_store


def audited(place) -> list[str]:
    """What an audit of a store finds; in a thread, because a Trio test is still under way in this one."""
    found = []

    async def main() -> None:
        if isinstance(place, Store):
            found.extend(await damage_in(place))
        elif os.path.exists(place):  # noqa: ASYNC240, PTH110  # nothing else runs in this thread
            async with open_store(place, kernel=InlineKernel(), read_only=True, ignore_poison=True) as store:
                found.extend(await damage_in(store))

    thread = Thread(target=trio.run, args=(main,))
    thread.start()
    thread.join()
    return found


async def damage_in(store: Store) -> list[str]:
    audit = Audit(store)
    await audit.check_structure()
    await audit.check_logs(await store.list_workflows(hidden=True))
    return [f"{found.workflow_id}: {found.message}" for found in audit.damage]
