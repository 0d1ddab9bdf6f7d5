"""`treadle log verify` of branches, cut logs and deleted ones: each event once, each damage where it lies."""

from __future__ import annotations

import apsw
import pytest
import trio
from test_cli_verify import flip

from treadle import NewEvent
from treadle.cli.audit import Audit
from treadle.kernel import TrioKernel
from treadle.runtime import open_runtime
from treadle.stores import Cut, Unit, open_store


@pytest.fixture
def family(tmp_path):
    """A parent of 40 events, branches of it and of one of them; what they share lies in the parent."""

    async def main():
        async with open_runtime("treadle.db") as runtime:
            parent = runtime.workflow("parent")
            await parent.extend(NewEvent("custom", b"event %02d of parent" % n, n) for n in range(40))
            for name, at in (("branch-a", 40), ("branch-b", 30), ("branch-c", 10)):
                branch = await parent.branch(at=at, to=name)
                await branch.append("custom", b"own event of %s" % name.encode())
            await runtime.workflow("branch-a").branch(at=42, to="grandchild")

    trio.run(main)
    return tmp_path / "treadle.db"


def deleted(name):
    async def main():
        async with open_runtime("treadle.db") as runtime:
            await runtime.workflow(name).delete()

    trio.run(main)


def cut(name, first_kept_seq):
    async def main():
        async with open_store("treadle.db") as store:
            (head,) = await store.heads([name])
            await store.append([Unit(cuts=(Cut(name, head.next_seq, head.digest, first_kept_seq),))])

    trio.run(main)


def audited(names=None):
    async def main():
        async with open_store("treadle.db", kernel=TrioKernel()) as store:
            audit = Audit(store)
            ids = names or await store.list_workflows(hidden=True)
            await audit.check_logs(ids, all_are_read=names is None)
            await audit.check_shared()
            return audit

    return trio.run(main)


@pytest.mark.usefixtures("family")
def test_what_branches_share_is_read_in_the_log_in_which_it_lies_and_not_again(treadle):
    ran = treadle("log", "verify", "-o", "json").json

    assert (ran["ok"], ran["workflows"], ran["events"]) == (True, 5, 40 + 3 * 2 + 1)


def test_damage_in_a_shared_event_names_its_log_and_the_branches_that_share_it(treadle, family):
    flip(family, b"event 19 of parent")
    damage = treadle("log", "verify", "-o", "json").json["damage"]

    assert [(found["workflow_id"], found["seq"]) for found in damage] == [("parent", 20)]
    assert damage[0]["message"].endswith("it is shared by 'branch-a', 'branch-b', 'grandchild'")


def test_damage_behind_what_a_branch_shares_is_none_of_its(treadle, family):
    flip(family, b"event 35 of parent")
    (found,) = treadle("log", "verify", "-o", "json").json["damage"]

    assert found["message"].endswith("it is shared by 'branch-a', 'grandchild'")
    assert treadle("log", "verify", "branch-b", "branch-c").code == 0
    assert treadle("log", "verify", "grandchild").code == 4


@pytest.mark.parametrize("name", ["branch-a", "branch-b", "branch-c"])
def test_damage_in_an_own_event_of_a_branch_is_the_branchs(treadle, family, name):
    flip(family, b"own event of %s" % name.encode())
    (found,) = treadle("log", "verify", "-o", "json").json["damage"]

    assert found["workflow_id"] == name
    assert ("shared by 'grandchild'" in found["message"]) == (name == "branch-a")


def test_the_seam_is_checked_on_both_sides(treadle, family):
    """The digest of the last shared event is what the branch goes on from."""
    connection = apsw.Connection(str(family))
    connection.execute("UPDATE events SET digest = zeroblob(16) WHERE seq = 30 AND timestamp = 29")
    connection.close()
    damage = treadle("log", "verify", "-o", "json").json["damage"]

    assert [(found["workflow_id"], found["seq"]) for found in damage] == [("branch-b", 31), ("parent", 30)]


def test_a_shared_event_that_is_missing_is_named(treadle, family):
    connection = apsw.Connection(str(family))
    connection.execute("DELETE FROM events WHERE seq = 30 AND timestamp = 29")
    connection.close()
    damage = treadle("log", "verify", "-o", "json").json["damage"]

    assert ("branch-b", 30) in [(found["workflow_id"], found["seq"]) for found in damage]
    assert ("parent", 30) in [(found["workflow_id"], found["seq"]) for found in damage]


@pytest.mark.usefixtures("family")
def test_a_branch_that_is_named_alone_is_read_whole():
    assert audited(["branch-b"]).damage == []


def test_a_branch_that_is_named_alone_shows_damage_in_what_it_shares(treadle, family):
    flip(family, b"event 19 of parent")
    ran = treadle("log", "verify", "branch-b", "branch-c", "-o", "json")

    assert ran.code == 4
    assert [(found["workflow_id"], found["seq"]) for found in ran.json["damage"]] == [("branch-b", 20)]


def test_what_a_deleted_log_left_to_its_branches_is_read_once_for_all_of_them(treadle, family):
    deleted("parent")
    assert treadle("log", "verify").code == 0

    flip(family, b"event 19 of parent")
    damage = treadle("log", "verify", "-o", "json").json["damage"]
    assert [found["seq"] for found in damage] == [20]
    named = {damage[0]["workflow_id"], *damage[0]["message"].rpartition("shared by ")[2].split(", ")}
    assert {name.strip("'") for name in named} == {"branch-a", "branch-b", "grandchild"}


@pytest.mark.usefixtures("family")
def test_deleted_and_cut_logs_verify(treadle):
    deleted("grandchild")
    cut("branch-c", 12)

    assert treadle("log", "verify").code == 0
    assert treadle("log", "verify", "grandchild", "branch-c").code == 0


@pytest.mark.usefixtures("family")
def test_a_watermark_holds_when_branches_come_and_says_what_a_deletion_does(treadle):
    told = treadle("log", "verify", "-o", "json").json
    mark = f"{told['position']}:{told['digest']}"

    async def more():
        async with open_runtime("treadle.db") as runtime:
            await runtime.workflow("parent").branch(at=5, to="another")
            await runtime.workflow("branch-b").append("custom", b"more")

    trio.run(more)
    assert treadle("log", "verify", "--expect", mark).code == 0

    cut("branch-c", 12)
    assert treadle("log", "verify", "--expect", mark).code == 0
    deleted("another")
    assert treadle("log", "verify", "--expect", mark).code == 0
    deleted("branch-c")
    refused = treadle("log", "verify", "--expect", mark)
    assert refused.code == 4
    assert "lost, added or deleted" in refused.out


@pytest.mark.usefixtures("store")
def test_a_watermark_that_retention_has_passed_says_so(treadle):
    told = treadle("log", "verify", "-o", "json").json
    treadle("log", "append", "order-1", "custom", "more")
    cut("order-1", treadle("workflow", "show", "order-1", "-o", "json").json["events"])
    ran = treadle("log", "verify", "--expect", f"{told['position']}:{told['digest']}")

    assert ran.code == 4
    assert "1 log no longer shows what it held there" in ran.out


@pytest.mark.usefixtures("family")
def test_the_watermark_stands_though_the_newest_log_was_deleted(treadle):
    """Positions are never used twice, so a store whose last events went has not been rolled back."""
    treadle("log", "append", "last", "custom", "x")
    before = treadle("log", "verify", "-o", "json").json
    deleted("last")
    after = treadle("log", "verify", "-o", "json").json

    assert (before["position"], before["workflows"] - 1) == (after["position"], after["workflows"])


@pytest.mark.usefixtures("family")
def test_the_digest_over_all_logs_is_that_of_their_replay(treadle):
    deleted("parent")

    replayed = treadle("replay", "-o", "json").json
    assert replayed["digest"] == treadle("log", "verify", "-o", "json").json["digest"]
