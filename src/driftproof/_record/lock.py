"""One writer per record: a lock on a file next to it, which the system releases when the process dies."""

from __future__ import annotations

import errno
import os
import sys
import weakref
from pathlib import Path

from driftproof._errors import DriftproofError
from driftproof._record.claim import Claim, Holder
from driftproof._record.mounts import file_system, is_network

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # Windows locks byte ranges, even beyond the end: far out, so that the holder's name stays readable.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


LOCK_NAME = "record.lock"
_HELD = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
"""What the system says of a lock that another process holds. Anything else means that there are no locks here."""


class WriterLock:
    """The right to write the record of a folder, until ``release`` or the end of the process.

    The lock is on a file of its own, since closing any descriptor of a database drops SQLite's locks. That file is
    never deleted: between unlink and re-creation two processes could each lock "the" file.

    On a network file system, and wherever files cannot be locked, another machine may not see the lock. There the
    writer also holds a :class:`driftproof._record.claim.Claim`.

    Args:
        folder: Folder of the record.

    Raises:
        DriftproofError: Another process, or another record of this process, writes the record.
        OSError: The folder cannot be written.
    """

    _descriptor = -1
    _claim: Claim | None = None

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
        me = Holder.this_process()
        try:
            locked = self._is_locked(folder)
            self.alone = not locked or is_network(file_system(folder))
            if self.alone:
                self._claim = Claim.take(folder, me, same_machine_is_gone=locked)
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, me.model_dump_json().encode())
        except BaseException:
            self.release()
            raise
        _locks.add(self)

    def _is_locked(self, folder: Path) -> bool:
        """Lock the file, and return whether files can be locked here."""
        try:
            _lock(self._descriptor)
        except OSError as error:
            if error.errno not in _HELD:
                return False
            raise DriftproofError(Holder.of(folder / LOCK_NAME).refusal(folder)) from None
        return True

    def is_held(self) -> bool:
        """Whether the record is still this process's to write."""
        return self._descriptor >= 0 and (self._claim is None or self._claim.is_mine())

    def check(self) -> None:
        """Raise DriftproofError if another process has taken the record over, while this one stood still."""
        if self._claim:
            self._claim.check()

    def release(self) -> None:
        """Release the lock; calling it twice does nothing."""
        if self._claim:
            self._claim.release()
            self._claim = None
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            # Reset before closing: the number may soon belong to another file.
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _leave_to_parent(self) -> None:
        self._claim = None
        self._close()

    def __del__(self) -> None:
        # A record that is no longer referenced, for example after an exception, must not keep its folder locked.
        self.release()


_locks: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for lock in list(_locks):
        lock._leave_to_parent()


if hasattr(os, "register_at_fork"):
    # A forked process, such as a worker, would hold the lock of its parent also after the parent was killed.
    os.register_at_fork(after_in_child=_leave_to_parent)
