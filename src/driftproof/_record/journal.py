"""When what is written reaches the disk, and the files beside a record while it is written."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time

SYNC_S = 1.0
"""A power cut loses at most what was written in this time, in s."""
BESIDE = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside a record while it is written, and leaves if the process is killed."""


class Journal:
    """SQLite's write-ahead log, while a process writes a record.

    A transaction is one write to the log, without waiting for the disk: it outlives the process whatever kills it. The
    disk is waited for once in ``SYNC_S`` seconds, and when the log is copied into the record. The log has checksums, so
    that a power cut leaves whole transactions, and none without those before it. A rollback journal would have to wait
    for the disk three times per transaction (12 to 20 ms on a virtual disk, against 0.05 ms).

    Where there is no write-ahead log, the rollback journal is kept and every transaction waits for the disk.

    Args:
        connection: Connection to the file, outside a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection, self._synced = connection, -math.inf
        self._is_log: bool | None = None  # not begun: a record that nothing is added to stays as it is, bit for bit
        self._waits = True  # as a connection begins

    def before_transaction(self) -> None:
        """Let the transaction that follows wait for the disk if the last wait was long ago.

        Raises:
            sqlite3.DatabaseError: The log cannot be begun, since the disk is full or read-only.
        """
        if self._is_log is None:
            self._is_log = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal"
        now = time.monotonic()  # not the clock of the day, which may jump
        wait = not self._is_log or now - self._synced >= SYNC_S
        if wait:
            self._synced = now
        if wait != self._waits:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if wait else 'NORMAL'}")
            self._waits = wait

    def end(self) -> None:
        """Copy the log into the record and delete it, so that the record is one file.

        The connection is for reading from then on. What cannot be copied now, since the disk is full or another process
        reads, stays in the log and is copied by the next process that opens the record.
        """
        if self._is_log is None:  # nothing was written, but a process that was killed may have left its log
            self._is_log = self._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        if not self._is_log:
            return
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.execute("PRAGMA journal_mode = DELETE")
            self._connection.execute("PRAGMA locking_mode = NORMAL")
            self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()  # which gives the lock back
