"""Planted bugs: small exact replacements in the sources, each named by the promise it breaks.

Left out, because no caller could tell them from the real code, by argument:

- a failed group whose actor keeps its head: the store refuses the next batch, and all are admitted again;
- a head that is learned while rows are in flight: likewise;
- an alarm that is not set when a workflow is read again: whatever made it be read ends in a turn that sets it,
  and the look at what is due has set it before;
- the units of a cut activation in the wrong order: the store refuses the second, the log is read again, and
  what is lacking is sent anew, one event further each time;
- a token of the store that outlives what another process has written: a simulated disk is locked by one process,
  and stores in memory give none; tests/stores hold it on real files;
- a log that a dead process left and that is not copied before it is built on: worlds find it in one of some
  hundred seeds; tests/sim hold it;
- a log that was copied and is not begun anew: it takes a cut between two operations; tests/sim hold it;
- a store that goes on after the fsync of a commit has failed: SQLite writes the frames of the next commit over the
  doubtful ones, so that only a failed checkpoint could show it; tests/sim and tests/stores hold that it stops;
- a marker of poison that is not left or not heeded, a log with a bad frame that is opened all the same: they are
  about files and processes that no simulated disk has; tests/stores hold them, too.
"""

# ruff: noqa: E501  # an exact piece of a source is one string

from typing import NamedTuple


class Mutant(NamedTuple):
    """One planted bug."""

    name: str
    file: str
    old: str
    new: str
    workload: str = "logs"
    seeds: int = 60


ACTOR = "runtime/actor.py"
COMMITTER = "runtime/committer.py"
SUPERVISOR = "runtime/supervisor.py"
FOLLOWING = "runtime/following.py"
READING = "runtime/reading.py"
SQLITE_READING = "stores/sqlite/reading.py"
INBOX = "runtime/inbox.py"
ADMISSION = "log/admission.py"
JUDGING = "stores/judging.py"
MEMORY = "stores/memory.py"
RUNNER = "runtime/durable/runner.py"
TURNS = "runtime/durable/turns.py"
FLIGHTS = "runtime/durable/flights.py"
LOADING = "runtime/durable/loading.py"
WATCHING = "runtime/durable/watching.py"
TIMETABLE = "runtime/durable/timetable.py"
ATTEMPTS = "runtime/durable/attempts.py"
TRANSACTING = "runtime/transacting.py"
BRANCHING = "runtime/branching.py"
BIRTHS = "stores/births.py"
MEMORY_LOG = "stores/memory_log.py"
SQLITE = "stores/sqlite/transaction.py"
SQLITE_LIFETIMES = "stores/sqlite/lifetimes.py"
RECLAIMING = "stores/sqlite/reclaiming.py"
EXTENTS = "stores/sqlite/extents.py"
WF = "workflows"
WRITER = "stores/sqlite/writer.py"
TRANSACTION = "stores/sqlite/transaction.py"
SCHEMA = "stores/sqlite/schema.py"
DISK = "logs on a disk"
WF_DISK = "workflows on a disk"
LIVES = "lifetimes"
ON_DISK = "lifetimes on disk"
DURABLE_LIVES = "durable lifetimes"
RESETTING = "runtime/durable/resetting.py"
NEEDS = "runtime/retention/needs.py"
SWEEPING = "runtime/retention/sweeping.py"

MUTANTS = (
    # -- the actor, its inbox, the supervisor --
    Mutant(
        "answer before the commit",
        ACTOR,
        "    actor.in_flight += 1\n",
        "    actor.in_flight += 1\n    proposal.decided = True\n",
    ),
    Mutant(
        "a message between the last look and falling asleep is lost",
        SUPERVISOR,
        "            if not proposals:\n                self._fall_asleep",
        "            if not proposals:\n                await self._kernel.turn()\n                self._fall_asleep",
        seeds=200,
    ),
    Mutant(
        "what comes back is admitted in the opposite order",
        SUPERVISOR,
        "self._awaken(actor).returned.append(proposal)",
        "self._awaken(actor).returned.appendleft(proposal)",
        seeds=200,
    ),
    Mutant(
        "a repeat of what is in flight is answered at once",
        SUPERVISOR,
        "                other.joiners.append(proposal)\n",
        "                self._answer_repeat(proposal, other.events)\n",
        seeds=200,
    ),
    Mutant(
        "a refusal from a head that is only remembered",
        SUPERVISOR,
        "        head = await self._reload(actor, inbox)\n        if inbox.returned:",
        "        head = Head(actor.workflow_id, actor.next_seq, actor.digest, 1, b'')\n        if inbox.returned:",
    ),
    Mutant(
        "a sender that waited for room at closing is told nothing",
        SUPERVISOR,
        "            for proposal in actor.inbox.drain():\n                proposal.fail(closed_error(), self._kernel)\n",
        "            actor.inbox.drain()\n",
        seeds=200,
    ),
    Mutant(
        "a crash leaves those behind it unanswered",
        SUPERVISOR,
        "            left.popleft()\n            proposal.fail(self._note_crash(actor, error), self._kernel)\n",
        "            left.clear()\n            proposal.fail(self._note_crash(actor, error), self._kernel)\n",
        seeds=200,
    ),
    Mutant(
        "a joiner is told the first events instead of its own",
        INBOX,
        "            joiner.events = self.events[first : first + len(joiner.contents)]",
        "            joiner.events = self.events[: 1]",
        seeds=200,
    ),
    # -- the committer --
    Mutant(
        "a lost ack: one caller of a group is not woken",
        COMMITTER,
        "                    woken.append(task)",
        "                    if not woken:\n                        woken.append(task)",
    ),
    Mutant(
        "double append after an unknown outcome",
        COMMITTER,
        "            proposal.fail(error, self._kernel)\n            if proposal.actor is not None and not",
        "            if error.written == 'unknown' and proposal.actor is not None and proposal.seq is None:\n"
        "                self._send_back(proposal)\n"
        "            else:\n"
        "                proposal.fail(error, self._kernel)\n"
        "            if proposal.actor is not None and not",
    ),
    Mutant(
        "a stale head is kept after a conflict",
        COMMITTER,
        "            was_first = actor.digest is not None\n            actor.forget()\n",
        "            was_first = actor.digest is not None\n",
    ),
    Mutant(
        "a refused batch is answered as written",
        COMMITTER,
        "        if isinstance(outcome, Written):\n            if actor",
        "        if isinstance(outcome, Written | Refused):\n            outcome = WRITTEN\n            if actor",
    ),
    Mutant(
        "those who wait for room are forgotten",
        COMMITTER,
        "        self.writing = group\n        self._wake_waiting_for_room()",
        "        self.writing = group",
    ),
    Mutant(
        "who waits until the last batch has landed is forgotten",
        COMMITTER,
        "        if actor is not None and actor.inbox is not None and not actor.in_flight:",
        "        if actor is not None and actor.inbox is not None and actor.in_flight:",
    ),
    Mutant(
        "joiners of a refused batch are forgotten",
        COMMITTER,
        "        for joiner in joiners or ():",
        "        for joiner in ():",
        seeds=200,
    ),
    Mutant(
        "surely not written is told of an unknown outcome",
        COMMITTER,
        "        self.writing = None\n        for proposal in group.proposals:\n            if",
        "        self.writing = None\n        error = closed_error()\n        for proposal in group.proposals:\n            if",
    ),
    # -- following, reading --
    Mutant(
        "a follower skips an event at each page's end",
        FOLLOWING,
        "        self._next_seq = event.seq + 1",
        "        self._next_seq = event.seq + (1 if self._page else 2)",
    ),
    Mutant(
        "a follower repeats an event at each page's end",
        FOLLOWING,
        "        self._next_seq = event.seq + 1",
        "        self._next_seq = event.seq + (1 if self._page else 0)",
    ),
    Mutant(
        "a hint that comes while a follower reads is forgotten",
        FOLLOWING,
        "        if not interest.changed:",
        "        if True:",
        seeds=200,
    ),
    Mutant(
        "a reader skips an event at each page's end",
        READING,
        "                self._after_seq = page[-1].seq",
        "                self._after_seq = page[-1].seq + 1",
    ),
    Mutant(
        "a replay skips each page's first event",
        "runtime/replaying.py",
        "        for event in events:\n            state = apply(state, event)",
        "        for event in list(events)[1:] or events:\n            state = apply(state, event)",
    ),
    # -- admission and stores --
    Mutant(
        "a batch past a gap is taken",
        ADMISSION,
        "differs: first == n, Answer.APPEND",
        "differs: first >= n, Answer.APPEND",
    ),
    Mutant(
        "a batch decided without what is there is taken",
        ADMISSION,
        "differs: first == n, Answer.APPEND",
        "differs: first <= n <= last, Answer.APPEND",
    ),
    Mutant(
        "guards are ignored",
        JUDGING,
        "        if (head.next_seq, head.digest) != (guard.next_seq, guard.digest):",
        "        if head.next_seq < guard.next_seq:",
    ),
    Mutant(
        "the digest before is not compared",
        JUDGING,
        "answer is Answer.APPEND and batch.digest_before != head.digest",
        "False",
        seeds=300,
    ),
    Mutant(
        "a key is not remembered",
        MEMORY,
        "                log.keys[key] = (*log.keys.get(key, ()), event.seq)",
        "                pass",
    ),
    Mutant(
        "of a long batch the end is not written",
        MEMORY,
        "        log.append(batch.events, batch.digests, len(self._feed) + 1)",
        "        batch = batch._replace(events=batch.events[:3], digests=batch.digests[:3])\n"
        "        log.append(batch.events, batch.digests, len(self._feed) + 1)",
    ),
    Mutant(
        "of a unit over two logs only the first is written",
        MEMORY,
        "        for batch in unit.batches:\n            self._apply_batch(batch)",
        "        for batch in unit.batches[:1]:\n            self._apply_batch(batch)",
    ),
    # -- durable workflows --
    Mutant(
        "an epoch is not compared",
        JUDGING,
        "unit.epoch < (current := view.epoch())",
        "unit.epoch < (current := view.epoch()) - 1_000",
        WF,
        100,
    ),
    Mutant(
        "a row of the mailbox stays when it was taken",
        MEMORY,
        "            del waiting[taken.message_id]",
        "            pass",
        WF,
    ),
    Mutant(
        "a message is used, and not taken in the same unit",
        FLIGHTS,
        "            part.put,\n            part.taken,\n            decided.records,",
        "            part.put,\n            (),\n            decided.records,",
        WF,
    ),
    Mutant(
        "a message is taken without its input",
        TURNS,
        "            inputs += 1\n",
        "            inputs += 1\n"
        "            if decided.events and offer.message is not None:\n"
        "                self._note(instance, offer, decided)\n"
        "                continue\n",
        WF,
        200,
    ),
    Mutant(
        "what an activation sends is not sent",
        FLIGHTS,
        "            decided.put += self._rows(decided.effects)\n            self._send_last(flight, Part(events, decided.taken, decided.put))",
        "            self._send_last(flight, Part(events, decided.taken, decided.put))",
        WF,
    ),
    Mutant(
        "an attempt that failed is heard twice",
        TURNS,
        "    return pending is not None and pending.attempts_failed + 1 == given.attempt",
        "    return pending is not None",
        WF,
        200,
    ),
    Mutant(
        "an attempt that has ended is made again when its workflow is read again",
        TURNS,
        "            if effect.seq in ended:\n                continue  # what it has come to only waits to be written\n",
        "",
        WF,
        200,
    ),
    Mutant(
        "the result of one workflow is given to another",
        "runtime/durable/attempting.py",
        "        self._runner.offer(self._runner.instance(attempt.workflow_id), Offer(given, records=records))",
        "        self._runner.offer(self._runner.instance(max(self._runner.instances)), Offer(given, records=records))",
        WF,
    ),
    Mutant(
        "attempts are known by their seq alone",
        ATTEMPTS,
        "        return self.workflow_id, self.seq",
        "        return WorkflowId('any'), self.seq",
        WF,
    ),
    Mutant(
        "a timer is not armed when its workflow goes to rest",
        RUNNER,
        "            self.hand_on(message)\n        self.set_alarm(instance)",
        "            self.hand_on(message)",
        WF,
    ),
    Mutant(
        "a timer fires before its time",
        RUNNER,
        "            self.timetable.set(instance.workflow_id, timer_ns)",
        "            self.timetable.set(instance.workflow_id, timer_ns - 2_000_000_000)",
        WF,
    ),
    Mutant(
        "a workflow that is put away forgets its timer",
        WATCHING,
        "        if wake_up_ns is not None and wake_up_ns <= self._horizon_ns:",
        "        if wake_up_ns is None:",
        WF,
        200,
    ),
    Mutant(
        "an earlier alarm does not wake who waits for a later one",
        TIMETABLE,
        "        if self._heap[0][2] is key:\n            self._wake()",
        "        if self._heap[0][2] is key and len(self._heap) == 1:\n            self._wake()",
        WF,
    ),
    Mutant(
        "head facts are not written",
        TURNS,
        "                decided.facts = HeadFacts(*facts)\n        if decided.taken",
        "                pass\n        if decided.taken",
        WF,
    ),
    Mutant(
        "the end of a workflow is not told to who waits",
        RUNNER,
        "            promise.give((effect.status, effect.payload, name))",
        "            pass",
        WF,
    ),
    Mutant(
        "a result is told before it is durable",
        TURNS,
        "        if decided.writes:\n            self._runner.flights.send(instance, decided)\n            return\n        self._runner.carry_out(instance, decided)\n        if instance.offers:",
        "        for effect in decided.effects:\n"
        "            if type(effect).__name__ == 'Closed':\n"
        "                for promise in self._runner._waiters.pop(instance.workflow_id, ()):\n"
        "                    promise.give((effect.status, effect.payload, instance.facts.name))\n"
        "        if decided.writes:\n            self._runner.flights.send(instance, decided)\n            return\n        self._runner.carry_out(instance, decided)\n        if instance.offers:",
        WF,
        300,
    ),
    Mutant(
        "recoveries are not given back",
        LOADING,
        "            self.recovering -= 1\n",
        "",
        WF,
        200,
    ),
    Mutant(
        "replay drops the last event of a log",
        LOADING,
        "            instance.loaded = (head, decoded_events(instance.workflow_id, events, self._codecs))",
        "            seen = events[:-1] if len(events) > 3 else events\n"
        "            instance.loaded = (head, decoded_events(instance.workflow_id, seen, self._codecs))",
        WF,
        100,
    ),
    Mutant(
        "a unit that was lost is taken for written",
        RUNNER,
        "        if proposal.error is not None or proposal.repeated:",
        "        if proposal.error is not None and proposal.error.written == 'no':",
        WF,
    ),
    Mutant(
        "a signal reaches the code twice",
        "engine/applying.py",
        "    queue.deliver(bytes(signal.args))",
        "    queue.deliver(bytes(signal.args))\n    queue.deliver(bytes(signal.args))",
        WF,
    ),
    # -- the SQLite store, over a simulated disk --
    Mutant(
        "commits are not synced",
        SCHEMA,
        '        ("synchronous", "FULL"),\n',
        '        ("synchronous", "NORMAL"),\n',
        DISK,
    ),
    Mutant(
        "nothing is synced",
        SCHEMA,
        '        ("synchronous", "FULL"),\n',
        '        ("synchronous", "OFF"),\n',
        DISK,
    ),
    Mutant(
        "a checkpoint skips its syncs",
        WRITER,
        "            connection.wal_checkpoint(mode=mode)\n",
        '            connection.pragma("synchronous", "OFF")\n'
        "            connection.wal_checkpoint(mode=mode)\n"
        '            connection.pragma("synchronous", "FULL")\n',
        DISK,
        100,
    ),
    Mutant(
        "a group is answered before it is committed",
        WRITER,
        '            self._execute("BEGIN IMMEDIATE")\n'
        "            self._notice_others()\n"
        "            transaction = Transaction(self.connection, self.generation)\n"
        "            result = work(transaction)\n"
        "            committing = True\n"
        '            self._execute("COMMIT")\n',
        "            if self.connection.in_transaction:\n"
        '                self._execute("COMMIT")\n'
        '            self._execute("BEGIN IMMEDIATE")\n'
        "            self._notice_others()\n"
        "            transaction = Transaction(self.connection, self.generation)\n"
        "            result = work(transaction)\n",
        DISK,
    ),
    Mutant(
        "a log's old head is believed after a write that failed",
        WRITER,
        "        self.generation = Generation()\n        self._roll_back()\n",
        "        self._roll_back()\n",
        DISK,
        200,
    ),
    Mutant(
        "a transaction that failed is not rolled back",
        WRITER,
        "        self.generation = Generation()\n        self._roll_back()\n",
        "        self.generation = Generation()\n",
        DISK,
        100,
    ),
    Mutant(
        "keys are not written",
        TRANSACTION,
        "            self._keyed = True\n",
        "            pass\n",
        DISK,
    ),
    Mutant(
        "of the rows of a group the last is not written",
        TRANSACTION,
        "    start, end, size = 0, len(values), rows_max\n",
        "    start, end, size = 0, len(values) - width * (len(values) > 3 * width), rows_max\n",
        DISK,
    ),
    Mutant(
        "head facts are written once and then stay",
        TRANSACTION,
        "ON CONFLICT (workflow) DO UPDATE SET status = excluded.status, run_start_seq = excluded.run_start_seq,\n"
        "wake_up_ns = excluded.wake_up_ns, name = excluded.name, details = excluded.details,\n"
        "checksum = excluded.checksum\n",
        "ON CONFLICT (workflow) DO NOTHING\n",
        WF_DISK,
    ),
    Mutant(
        "a message that was taken waits again when it comes twice",
        TRANSACTION,
        "ON CONFLICT (workflow_id, message_id) DO NOTHING\n",
        "ON CONFLICT (workflow_id, message_id) DO UPDATE SET taken = 0, payload = excluded.payload\n",
        WF_DISK,
        200,
    ),
    Mutant(
        "a message that was taken stays in the mailbox",
        TRANSACTION,
        "UPDATE mailbox SET taken = 1, payload = x'' WHERE",
        "UPDATE mailbox SET payload = payload WHERE",
        WF_DISK,
    ),
    Mutant(
        "a take-over forgets its epoch",
        WRITER,
        """UPDATE settings SET value = value + 1 WHERE name = 'epoch'""",
        """UPDATE settings SET value = max(1, value) WHERE name = 'epoch'""",
        WF_DISK,
    ),
    # -- branches --
    Mutant(
        "a branch shares one event too few, in memory",
        MEMORY_LOG,
        "            shared=tuple(self.stretches(1, at)),",
        "            shared=tuple(self.stretches(1, at - 1)),",
        LIVES,
    ),
    Mutant(
        "a branch forgets that its parent was cut",
        MEMORY_LOG,
        "            first_kept_seq=self.first_kept_seq,\n            digest_before=self.digest_kept(),",
        "            first_kept_seq=1,\n            digest_before=self.digest_kept(),",
        LIVES,
    ),
    Mutant(
        "a branch goes on with its parent",
        MEMORY_LOG,
        "            (max(first, begin), min(last, end), source)\n            for begin, end, source in self.shared",
        "            (max(first, begin), min(last, max(end, source.next_seq - 1)), source)\n            for begin, end, source in self.shared",
        LIVES,
    ),
    Mutant(
        "a branch begins on an id in use",
        BIRTHS,
        "        if self._view.head(workflow_id).next_seq == 1:",
        "        if self._view.head(workflow_id).next_seq < 4:",
        LIVES,
    ),
    Mutant(
        "a branch says that it was begun elsewhere",
        BRANCHING,
        "        branched = msgspec.structs.replace(branched, digest=digest.hex())",
        "        branched = msgspec.structs.replace(branched, digest=digest.hex(), at=max(1, at - 1))",
        LIVES,
    ),
    Mutant(
        "a branch's own events begin in the shared ones, on disk",
        EXTENTS,
        "            found.append((self.key, max(first, self.shared_seq + 1), last))",
        "            found.append((self.key, max(first, self.shared_seq + 2), last))",
        ON_DISK,
    ),
    Mutant(
        "a branch of a branch shares one event too few, on disk",
        SQLITE_LIFETIMES,
        "        stretches = there.stretches(1, branch.at)",
        "        stretches = there.stretches(1, branch.at - 1)",
        ON_DISK,
    ),
    Mutant(
        "a token vouches for keys that a branch shares",
        SQLITE,
        "            or (token.shares and batch.keys is not None)\n",
        "",
        ON_DISK,
        300,
    ),
    # -- transactions --
    Mutant(
        "a transaction does not guard what it has only read",
        TRANSACTING,
        "        guards = tuple(Guard(name, *_stands(head)) for name, head in self._heads.items())",
        "        guards = tuple(Guard(n, *_stands(h)) for n, h in self._heads.items() if n in self._appended)",
        LIVES,
        200,
    ),
    Mutant(
        "a transaction does not guard what it has listed",
        TRANSACTING,
        "tuple(self._messages), position=self._position)",
        "tuple(self._messages))",
        LIVES,
        200,
    ),
    Mutant(
        "the position of a listing is not compared",
        JUDGING,
        "if unit.position is not None and unit.position != (newest := view.position()):",
        "if unit.position is not None and unit.position > (newest := view.position()):",
        LIVES,
        200,
    ),
    Mutant(
        "a transaction reads a log's head anew each time",
        TRANSACTING,
        "        if name not in self._heads:",
        "        if True:",
        LIVES,
    ),
    Mutant(
        "what is raised over a torn view is answered",
        TRANSACTING,
        "        if await transaction.is_torn():\n            return _torn(transaction)\n        raise",
        "        raise",
        LIVES,
        seeds=100,
    ),
    Mutant(
        "a coincidence is taken for a repeat",
        TRANSACTING,
        "        if proposal.repeated and not transaction.is_keyed:",
        "        if False:",
        LIVES,
        200,
    ),
    Mutant(
        "who has lost a race is told that it was taken",
        TRANSACTING,
        "            if key_is_taken(error):\n                raise\n            return error",
        "            return result",
        LIVES,
    ),
    Mutant(
        "the events of an attempt that was lost are written with the next one",
        TRANSACTING,
        "        digests, before = [], head.digest\n        for event in events:",
        "        digests, before = [], head.digest\n        events = events[:2]\n        for event in events[:1]:",
        LIVES,
    ),
    # -- cuts and what is removed --
    Mutant(
        "a cut shows one event more",
        MEMORY_LOG,
        "        self.first_kept_seq = first_kept_seq\n",
        "        self.first_kept_seq = max(self.first_kept_seq, first_kept_seq - 1)\n",
        LIVES,
    ),
    Mutant(
        "a cut is not held against the log as it stands, on disk",
        JUDGING,
        "        if (head.next_seq, head.digest) != (cut.next_seq, cut.digest) or head.next_seq == 1:",
        "        if head.next_seq == 1:",
        ON_DISK,
        300,
    ),
    Mutant(
        "the key of an event that was cut is still known",
        MEMORY_LOG,
        "                if begin <= seq <= end:",
        "                if seq <= end:",
        LIVES,
        200,
    ),
    Mutant(
        "a log that uses its id again takes keys from its branches",
        MEMORY,
        "                log.keys[key] = (*log.keys.get(key, ()), event.seq)",
        "                log.keys[key] = (event.seq,)",
        LIVES,
        200,
    ),
    Mutant(
        "what was cut lies there with its key, on disk",
        SQLITE_READING,
        "WHERE workflow = ? AND key = ? AND seq >= ? AND seq <= ? AND position <= ?\n",
        "WHERE workflow = ? AND key = ? AND seq >= min(0, ?) AND seq <= ? AND position <= ?\n",
        ON_DISK,
        300,
    ),
    Mutant(
        "a token vouches for keys",
        TRANSACTION,
        "            self._ask_for_keys(rows)\n",
        "            pass\n",
        ON_DISK,
    ),
    Mutant(
        "what branches share is removed, in memory",
        MEMORY,
        "            below = min(log.first_kept_seq, needed.get(id(log), log.first_kept_seq))",
        "            below = log.first_kept_seq",
        LIVES,
    ),
    Mutant(
        "what branches share is removed, on disk",
        RECLAIMING,
        "        if needed_from is None\n        else [",
        "        if True\n        else [",
        ON_DISK,
    ),
    Mutant(
        "one event too many is removed",
        RECLAIMING,
        "        connection.execute(_REMOVE, (*stretch[:2], last_seq))",
        "        connection.execute(_REMOVE, (*stretch[:2], last_seq + 1))",
        ON_DISK,
    ),
    Mutant(
        "the last event of each stretch is not written anew",
        RECLAIMING,
        "SELECT * FROM temp.moving ORDER BY position",
        "SELECT * FROM temp.moving ORDER BY position LIMIT (SELECT max(1, count(*) - 1) FROM temp.moving)",
        ON_DISK,
    ),
    Mutant(
        "the feed shows what was cut",
        EXTENTS,
        "(e.seq < b.first_kept_seq OR (b.hidden = 1 AND NOT ?))",
        "(b.hidden = 1 AND NOT ?)",
        ON_DISK,
    ),
    Mutant(
        "lists show what was deleted",
        MEMORY,
        "        return log.is_shown and (hidden or not log.hidden)",
        "        return hidden or not log.hidden",
        LIVES,
    ),
    Mutant(
        "a deleted log begins anew",
        "stores/sqlite/reading.py",
        "            seq, digest = first_kept_seq - 1, digest_before",
        "            seq, digest = 0, digest_before",
        ON_DISK,
    ),
    # -- durable workflows' whole lives, and retention --
    Mutant(
        "a branch's activities use its parent's keys",
        ATTEMPTS,
        "        return message_id(self.workflow_id, self.run, self.seq)",
        "        return message_id('any', self.run, self.seq)",
        DURABLE_LIVES,
    ),
    Mutant(
        "attempts go on behind a reset that has abandoned them",
        RESETTING,
        "        runner.attempts.cancel_all(\n            instance.workflow_id\n        )",
        "        (\n            instance.workflow_id\n        )",
        DURABLE_LIVES,
        200,
    ),
    Mutant(
        "a reset says that it goes on in the first run",
        RESETTING,
        "        run = max(event.seq for event in view.events if event.kind in STARTS and event.seq <= at)",
        "        run = min(event.seq for event in view.events if event.kind in STARTS and event.seq <= at)",
        DURABLE_LIVES,
        200,
    ),
    Mutant(
        "a reset forgets the signals that are to come again",
        RESETTING,
        '        if wanted.reapply == "signals" and not status.is_closed:',
        "        if False:",
        DURABLE_LIVES,
    ),
    Mutant(
        "what is only played is listed",
        MEMORY,
        "        return log.is_shown and (hidden or not log.hidden)",
        "        return log.is_shown",
        DURABLE_LIVES,
    ),
    Mutant(
        "what was played is told with other times than it was written with",
        "runtime/durable/playing.py",
        "    events = [_encoded(service, workflow_id, event) for event in found.events]",
        "    events = [\n"
        "        trusted_event(one.seq, one.timestamp + 1, one.kind, one.payload)\n"
        "        for one in (_encoded(service, workflow_id, event) for event in found.events)\n"
        "    ]",
        DURABLE_LIVES,
    ),
    Mutant(
        "a durable branch says that it was begun elsewhere",
        BRANCHING,
        "        branched = msgspec.structs.replace(branched, digest=digest.hex())",
        "        branched = msgspec.structs.replace(branched, digest=digest.hex(), at=max(1, at - 1))",
        DURABLE_LIVES,
    ),
    Mutant(
        "a branch is replayed from a run that was not handed all its signals",
        "runtime/durable/beginning_branches.py",
        "    if starts and await _lacks_carried(store, codecs, head, events):",
        "    if False:",
        DURABLE_LIVES,
        300,
    ),
    Mutant(
        "a transaction sends nothing",
        TRANSACTING,
        "        return Unit(batches, guards, tuple(self._messages), position=self._position)",
        "        return Unit(batches, guards, (), position=self._position)",
        DURABLE_LIVES,
    ),
    Mutant(
        "a transaction that was lost sends all the same",
        TRANSACTING,
        "            if key_is_taken(error):\n                raise\n            return error",
        "            for row in transaction.messages:\n"
        "                await runtime._durable._asking.put(row)\n"
        "            if key_is_taken(error):\n                raise\n            return error",
        DURABLE_LIVES,
        300,
    ),
    Mutant(
        "a log may be cut where no baseline begins",
        NEEDS,
        "        return kept is not None and kept.seq == seq - 1",
        "        return True",
        DURABLE_LIVES,
        200,
    ),
    Mutant(
        "what a projection has not read goes",
        NEEDS,
        "rows[0].position > checkpoint.position:",
        "rows[0].position > checkpoint.position + 1_000:",
        DURABLE_LIVES,
    ),
    Mutant(
        "of closed logs the newest goes first",
        SWEEPING,
        "        return heappushpop(newest, closed) if newest else closed",
        "        return closed",
        DURABLE_LIVES,
    ),
    Mutant(
        "a rule that lets nothing be cut is not heeded",
        SWEEPING,
        "        return await self._cut(head) if rule.cuts else None",
        "        return await self._cut(head)",
        DURABLE_LIVES,
        200,
    ),
    Mutant(
        "a baseline lacks an event",
        "runtime/baselines.py",
        "        kept = encode_folded(states.write(fold, at.state, name, at.seq, head.digest))",
        "        state = at.state[1:] if isinstance(at.state, list) else at.state\n"
        "        kept = encode_folded(states.write(fold, state, name, at.seq, head.digest))",
        DURABLE_LIVES,
    ),
    Mutant(
        "a snapshot lacks an event",
        "runtime/folds.py",
        "        folded = self._states.write(self._fold, reached.state, self._name, reached.seq, digest)",
        "        folded = self._states.write(self._fold, reached.state[1:], self._name, reached.seq, digest)",
        DURABLE_LIVES,
    ),
    Mutant(
        "an attempt that was cancelled before it began begins all the same",
        ATTEMPTS,
        "                await self.kernel.checkpoint_if_cancelled()\n",
        "",
        DURABLE_LIVES,
        200,
    ),
    Mutant(
        "inputs that came to nothing hold up those behind them",
        TURNS,
        "            self._runner.post(instance)\n\n    def _answer_foreign",
        "            pass\n\n    def _answer_foreign",
        DURABLE_LIVES,
        300,
    ),
    Mutant(
        "a log that begins in the middle begins with another digest",
        "runtime/beginning.py",
        "    unit = Unit((batch,), begun=(Begun(workflow_id, events[0].seq, digest_before),))",
        "    digest_before = b'0' * 16\n"
        "    batch = batch._replace(digest_before=digest_before)\n"
        "    unit = Unit((batch,), begun=(Begun(workflow_id, events[0].seq, digest_before),))",
        DURABLE_LIVES,
    ),
)
