"""One writer per record: a lock on a file next to it, which the system releases when the process dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from driftproof._errors import DriftproofError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Windows locks byte ranges, even beyond the end: far out, so that the process id stays readable.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """An exclusive lock that is held until ``release`` or the end of the process.

    The lock file is never deleted: between unlink and re-creation two processes could each lock "the" file.
    The lock is not on the database itself, because closing any descriptor of a database drops SQLite's own locks.

    Raises:
        DriftproofError: another process, or another record of this process, holds the lock.
    """

    _descriptor = -1

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._descriptor)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0) if hasattr(os, "pread") else b""
            self.release()
            process = holder.decode(errors="replace").strip()
            who = "this process" if process == str(os.getpid()) else f"process {process or 'unknown'}"
            raise DriftproofError(
                f"{who} is writing the record in {path.parent}; "
                "wait for it, close() the record that holds it, or choose another --out folder"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Release the lock."""
        if self._descriptor >= 0:
            # Reset before closing: the number may soon belong to another file.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __del__(self) -> None:
        # A record that is no longer referenced, for example after an exception, must not keep its folder locked.
        self.release()
