"""The one connection of a process that writes and checkpoints.

A group is one transaction: begin, see whether anybody else has written, decide and write the units,
commit, see that the files are still ours, answer. Whatever fails leaves no transaction behind and no
token good; what fails while it writes poisons the store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NoReturn, TypeVar

import apsw

from treadle.errors import (
    CorruptStoreError,
    InternalError,
    OutcomeUnknownError,
    StoreFullError,
    TreadleError,
)
from treadle.stores.contract import Batch, Outcome, Unit
from treadle.stores.judging import check_values
from treadle.stores.lifetimes import Graft
from treadle.stores.sqlite import reading, reclaiming
from treadle.stores.sqlite.faults import READ_ERRORS, is_full, is_poison, translated
from treadle.stores.sqlite.files import Guard
from treadle.stores.sqlite.poison import Health
from treadle.stores.sqlite.schema import BUSY_MILLISECONDS
from treadle.stores.sqlite.sums import epoch_sum
from treadle.stores.sqlite.transaction import Generation, Transaction

T = TypeVar("T")

CHECKPOINT_PAGES: Final = 2_000
"""WAL pages after which a checkpoint is due: 8 MiB, some tens of milliseconds of copying, which pays for
two fsyncs many times over."""
WAL_PAGES_MAX: Final = 32_000
"""WAL pages after which waiting for slow readers is worth a short stop: 128 MiB, so that one follower
that never pauses cannot fill the disk."""
CHECKPOINT_BUSY_MILLISECONDS: Final = 200
"""How long a checkpoint waits for readers then."""


class Writer:
    """Writes groups through one connection, one at a time.

    Args:
        connection: configured, on a store of the current version.
        where: the store's name in messages.
        health: shared with the readers.
        guard: watches the files, or None when there are no real ones.
    """

    def __init__(self, connection: apsw.Connection, where: str, health: Health, guard: Guard | None) -> None:
        self.connection = connection
        self._where = where
        self._health = health
        self._guard = guard
        self.generation = Generation()
        self._data_version = -1
        self.position = 0
        self._wal_pages = 0
        self._checkpoint_at = CHECKPOINT_PAGES
        self._execute = connection.cursor().execute
        connection.set_wal_hook(self._count_wal)
        # Known from the start, so that tokens handed out before the first commit are good for it.
        self._notice_others()

    # -- writing --

    def append(self, units: Sequence[Unit | Batch | Graft]) -> list[Outcome]:
        """Write a group; see `Store.append`.

        Args:
            units: the group.

        Returns:
            One outcome for each.

        Raises:
            InvalidValueError: something is no unit.
            StoreError: as the contract tells.
        """
        try:
            try:
                return self._transact(lambda transaction: transaction.write(units))
            except apsw.ConstraintError:
                # A token was behind its log, or a key is known. Everything is rolled back and no token is
                # good any more, so now each unit is looked up, and the answer names who is wrong.
                pass
            return self._transact(lambda transaction: transaction.write(units))
        except (apsw.ConstraintError, InternalError, CorruptStoreError) as error:
            # Perhaps it is the caller's: something that is no unit. Nobody asks before it has gone wrong.
            check_values(units)
            if isinstance(error, apsw.ConstraintError):
                raise translated(error, self._where) from error
            raise

    def reclaim(self, events_max: int, now_ns: Callable[[], int]) -> int:
        """Remove events that no log shows any more; see `Store.reclaim`.

        Args:
            events_max: the most to remove.
            now_ns: the clock.

        Returns:
            How many were removed.

        Raises:
            StoreError: as `append`.
        """
        return self._transact(lambda _: reclaiming.reclaim(self.connection, events_max, now_ns))

    def compact(self, after_position: int, events_max: int, now_ns: Callable[[], int]) -> int | None:
        """Write events anew; see `Store.compact`.

        Args:
            after_position: continue after this position.
            events_max: the most to write.
            now_ns: the clock.

        Returns:
            The position to continue after, or None at the end.

        Raises:
            StoreError: as `append`.
        """
        connection = self.connection
        return self._transact(lambda _: reclaiming.compact(connection, after_position, events_max, now_ns))

    def vacuum(self) -> None:
        """Write the whole file anew, and give back what is left over.

        SQLite makes it one transaction: the WAL holds all of the new file, and then the file takes it over.

        Raises:
            StoreUnavailableError: another process uses it.
            StoreError: as `append`.
        """
        self._check_health()
        try:
            self._execute("VACUUM")
        except BaseException as error:  # noqa: BLE001  # raised again, always
            self._give_up(error, committing=False)
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._check_health()

    def raise_epoch(self) -> int:
        """Take over as runner; see `Store.raise_epoch`.

        Returns:
            The new epoch.

        Raises:
            StoreError: as `append`.
        """

        def work(_: Transaction) -> int:
            self._execute("UPDATE settings SET value = value + 1 WHERE name = 'epoch'")
            self.generation.epoch = reading.epoch(self.connection)
            self._execute(
                "INSERT OR REPLACE INTO settings VALUES ('epoch_sum', ?)", (epoch_sum(self.generation.epoch),)
            )
            return self.generation.epoch

        return self._transact(work)

    def _transact(self, work: Callable[[Transaction], T]) -> T:
        self._check_health()
        committing = False
        try:
            self._execute("BEGIN IMMEDIATE")
            self._notice_others()
            transaction = Transaction(self.connection, self.generation)
            result = work(transaction)
            committing = True
            self._execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - raised again, always, once the transaction is gone
            self._give_up(error, committing=committing)
        if self._guard is not None and (complaint := self._guard.complaint() or self._marked()):
            self._stop(complaint)
        if transaction.position_written is not None:
            self.position = transaction.position_written
        return result

    def _check_health(self) -> None:
        if not self._health.poisoned and self._health.marked():
            self._health.adopt_marker(self.position)
        if self._health.poisoned:
            raise self._health.error()

    def _notice_others(self) -> None:
        # Changes only when another connection has committed; asked under the write lock it cannot change
        # before we commit, so with the same answer as last time every head we know is fresh.
        version = self._execute("PRAGMA data_version").get
        if version != self._data_version:
            self._data_version = version
            self.generation = Generation()
            self.position = reading.position(self.connection)

    def _marked(self) -> str | None:
        return "another process has poisoned the store meanwhile" if self._health.marked() else None

    def _give_up(self, error: BaseException, *, committing: bool) -> NoReturn:
        errno_now = self.connection.system_errno
        self.generation = Generation()
        self._roll_back()
        refused = is_full(error, errno_now) or isinstance(error, apsw.BusyError | apsw.ReadOnlyError)
        if is_poison(error, committing=committing) and not refused:
            self._stop(f"{error} while it wrote", error)
        if self._health.poisoned:
            self._stop("a transaction could not be rolled back", error)
        if isinstance(error, TreadleError | apsw.ConstraintError) or not isinstance(error, Exception):
            raise error
        if committing and not refused:
            # Whatever this is, the commit may have reached the disk before it.
            self._stop(f"{type(error).__name__} while it committed: {error}", error)
        if isinstance(error, READ_ERRORS):
            raise translated(error, self._where, errno_now) from error
        raise InternalError(
            f"{self._where}: unexpected {type(error).__name__}: {error}; nothing was written;"
            " this is a bug of treadle, please report it"
        ) from error

    def _roll_back(self) -> None:
        if not self.connection.in_transaction:
            return
        with suppress(apsw.Error):
            self._execute("ROLLBACK")
        if self.connection.in_transaction:
            self._health.poison("a transaction could not be rolled back", self.position)

    def _stop(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        self._health.poison(reason, self.position)
        raise OutcomeUnknownError(
            f"{self._where}: {reason}; what was just sent may or may not be written, and the store takes"
            " nothing more: ask again with seq or key after treadle log verify --clear"
        ) from cause

    # -- the write-ahead log --

    def _count_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._wal_pages:
            self._checkpoint_at = CHECKPOINT_PAGES
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def checkpoint_is_due(self) -> bool:
        """Tell, without I/O, whether `maintain` has anything to do."""
        return self._wal_pages >= self._checkpoint_at

    def maintain(self) -> None:
        """Checkpoint if the WAL has grown; see `Store.maintain`.

        Raises:
            StorePoisonedError: an I/O error.
        """
        self._check_health()
        if not self.checkpoint_is_due():
            return
        # Whatever comes of it, the next try waits for as many pages again: a reader that stands in the
        # way, or a full disk, must not cost every group a useless checkpoint.
        self._checkpoint_at = self._wal_pages + CHECKPOINT_PAGES
        patient = self._wal_pages >= WAL_PAGES_MAX
        self._checkpoint(apsw.SQLITE_CHECKPOINT_RESTART if patient else apsw.SQLITE_CHECKPOINT_PASSIVE)
        if self._health.poisoned:
            raise self._health.error()

    def _checkpoint(self, mode: int) -> None:
        connection = self.connection
        connection.set_busy_timeout(CHECKPOINT_BUSY_MILLISECONDS)
        try:
            connection.wal_checkpoint(mode=mode)
        except (apsw.BusyError, apsw.LockedError, apsw.FullError):
            pass
        except apsw.Error as error:
            if not is_full(error, connection.system_errno):
                self._health.poison(f"{error} while it copied the WAL into the file", self.position)
        finally:
            connection.set_busy_timeout(BUSY_MILLISECONDS)

    def close(self) -> None:
        """Checkpoint what can be, and close the connection."""
        connection = self.connection
        sound = not self._health.poisoned and not self._health.marked()
        if sound and (self._guard is None or self._guard.complaint() is None):
            self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
            sound = not self._health.poisoned
        else:
            sound = False
        if not sound:
            # The last connection would copy the WAL into a file that is no longer to be trusted.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.set_wal_hook(None)
        close_quietly(connection)


def settle_log(connection: apsw.Connection, where: str) -> None:
    """Copy the log that was found into the file, before anything is read of it or built on it.

    Whoever left it may have died before its last fsync, or over one that failed. What the system shows then
    may vanish in a power cut, and after a failed fsync no later one writes it, since the system takes it for
    written: what was read of it would not be there, and every commit behind it would go as well. Copied, all
    of it is written anew, and synced. The log is begun anew as well, by an empty commit: an old one that came
    back without its end would hide what was copied. A log in use is its users', who have settled it when
    they began.

    Args:
        connection: about to become a writer's.
        where: the store's name in messages.

    Raises:
        StoreFullError: there is no room to copy it.
        apsw.Error: the disk has failed; nothing was lost.
    """
    connection.set_busy_timeout(0)
    try:
        pages, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
        if pages > 0:
            # SQLite writes no page whose content is the same, but for this one.
            connection.pragma("user_version", connection.pragma("user_version"))
    except (apsw.BusyError, apsw.LockedError):
        return
    except (apsw.FullError, apsw.IOError) as error:
        if is_full(error, connection.system_errno):
            raise StoreFullError(
                f"{where}: no room left on the disk for what a process has left in its log; nothing was"
                " changed: free some space, or open it with read_only=True"
            ) from error
        raise
    finally:
        connection.set_busy_timeout(BUSY_MILLISECONDS)


def close_quietly(connection: apsw.Connection) -> None:
    """Close a connection whose last checkpoint may fail.

    SQLite passes over what fails while it closes, and the log is there at the next start; only a file system
    written in Python (a simulated disk) raises it all the same.

    Args:
        connection: which.
    """
    with suppress(apsw.IOError, apsw.FullError):
        connection.close()
