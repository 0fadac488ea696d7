"""The processes of a command, from /proc: its workers while it lives, and what is left of it after its death."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    """A process that has not ended."""

    pid: int
    parent: int
    session: int


def processes() -> list[Process]:
    """Return all processes that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # the name in brackets may hold anything
            state, parent, _, session_id, *_ = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if state not in "ZX":
            found.append(Process(int(path.parent.name), int(parent), int(session_id)))
    return found


def descendants(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    every = processes()
    found, level = [], {pid}
    while level := {process.pid for process in every if process.parent in level}:
        found += sorted(level)
    return found


def session(leader: int) -> list[int]:
    """Return the processes of a session."""
    return [process.pid for process in processes() if process.session == leader]
