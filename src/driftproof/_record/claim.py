"""A writer's claim on a record on a network file system, where another machine may not see its lock."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from driftproof._errors import DriftproofError, warn
from driftproof._files import write_atomically

CLAIM_NAME = "record.claim"
BEAT_S = 10.0
"""Time between two signs of life of a writer, in s."""
WATCH_S = 35.0
"""Time without a sign of life after which a writer is taken for dead, in s."""
_SETTLE_S = 2.0
"""Time in which all who take a claim over at once have done so, in s."""
_LARGEST = 4096


class Holder(BaseModel):
    """The process that writes a record, as its lock and its claim name it.

    Attributes:
        pid: Number of the process; 0 if it is not known.
        host: Name of its machine.
        started: When it began to write, by the clock of its machine.
        machine: What tells its machine and its group of processes from all others.
        token: What tells its record from all others.
    """

    pid: int = 0
    host: str = ""
    started: str = ""
    machine: str = ""
    token: str = ""

    @classmethod
    def this_process(cls) -> Self:
        """Return this process with a new token."""
        return cls(
            pid=os.getpid(),
            host=socket.gethostname(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=_machine(),
            token=uuid.uuid4().hex,
        )

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the process that a lock or a claim names; one without a name if it says none, or is not there.

        Raises:
            OSError: The file cannot be read.
        """
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST).decode(errors="replace").strip()
            # earlier versions wrote the number of the process only
            return cls(pid=int(text)) if text.isdecimal() else cls.model_validate_json(text)
        except (FileNotFoundError, ValidationError):
            return cls()

    def __str__(self) -> str:
        if self.pid == os.getpid() and self.machine in ("", _machine()):
            return "this process"
        place = f" on {self.host}" if self.host else ""
        return f"process {self.pid or 'unknown'}{place}" + (f" (since {self.started})" if self.started else "")

    def refusal(self, folder: Path) -> str:
        """Return the message for the next process that wants to write."""
        return (
            f"{self} is writing the record in {folder}; wait for it, close() the record that holds it, or choose "
            "another --out folder"
        )


def _machine() -> str:
    """Return a text that is the same for processes that see each other, empty if it is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


class Claim:
    """A file that names the writer, and whose time of change the writer renews as a sign of life.

    Locks of network file systems may be seen by their own machine only, and clocks of machines differ. So nobody
    compares clocks: who finds a claim watches it for ``WATCH_S`` seconds, and takes it over if it does not change. A
    writer that stood still meanwhile finds the claim of another before it writes again.
    """

    def __init__(self, folder: Path, me: Holder) -> None:
        self._folder, self._path, self._me = folder, folder / CLAIM_NAME, me
        self._ended = threading.Event()
        self._beats = threading.Thread(target=self._beat, daemon=True, name="driftproof-claim")

    @classmethod
    def take(cls, folder: Path, me: Holder, *, same_machine_is_gone: bool) -> Self:
        """Return a new claim on the record of a folder.

        Args:
            folder: Folder of the record.
            me: This process.
            same_machine_is_gone: Whether a claim of this machine is one of a dead process, since the lock is free.

        Raises:
            DriftproofError: A living process has the claim.
        """
        claim = cls(folder, me)
        try:
            claim._make()
        except FileExistsError:
            held = Holder.of(claim._path)
            gone = same_machine_is_gone and held.machine == me.machine != ""
            if not gone:
                warn(f"{held} has written the record in {folder}; watching for {WATCH_S:g} s whether it still lives")
            if not gone and changes(claim._path):
                raise DriftproofError(held.refusal(folder)) from None
            write_atomically(claim._path, me.model_dump_json().encode())
            if not gone:
                time.sleep(_SETTLE_S)
            claim.check()
        claim._beats.start()
        return claim

    def _make(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._me.model_dump_json().encode())
        except OSError:  # no room
            self._path.unlink(missing_ok=True)
            raise

    def is_mine(self) -> bool:
        """Whether the claim still names this process; False if it cannot be read."""
        try:
            return Holder.of(self._path).token == self._me.token
        except OSError:
            return False

    def check(self) -> None:
        """Raise DriftproofError if the claim is another's, was deleted, or cannot be read."""
        try:
            other = Holder.of(self._path)
        except OSError as error:
            raise DriftproofError(
                f"{self._path} cannot be read ({error.strerror}), so that another process may write the record; what "
                "was added before is safe: give the same command again"
            ) from error
        if other.token != self._me.token:
            who = f"{other} has taken over" if other.token else "somebody has deleted the claim on"
            raise DriftproofError(
                f"{who} the record in {self._folder}, while this process stood still; what it wrote before is kept: "
                "let the other finish, then give the same command again"
            )

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            with contextlib.suppress(OSError):  # the next write says what is wrong
                if self.is_mine():
                    os.utime(self._path)

    def release(self) -> None:
        """Delete the claim, unless it is another's."""
        self._ended.set()
        if self.is_mine():
            with contextlib.suppress(OSError):  # the file system is read-only by now: a dead claim is taken over
                self._path.unlink(missing_ok=True)


def changes(path: Path) -> bool:
    """Watch a claim, and return whether its writer gives a sign of life; at once if the claim goes."""
    end = time.monotonic() + WATCH_S
    first = _seen(path)
    while time.monotonic() < end:
        time.sleep(min(1.0, max(0.01, (end - time.monotonic()) / 20)))
        now = _seen(path)
        if now != first:
            return now is not None
    return False


def _seen(path: Path) -> tuple[int, str] | None:
    """Return when a claim was changed last, and by whom; None if there is none."""
    try:
        with path.open("rb") as file:  # opening makes network file systems ask their server
            return os.fstat(file.fileno()).st_mtime_ns, json.dumps(file.read(_LARGEST).decode(errors="replace"))
    except OSError:
        return None
