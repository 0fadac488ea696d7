"""Files are replaced in one step: what a killed process left is deleted, what a living one writes is not."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from driftproof._files import write_atomically
from record.processes import python


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_temporary_file_of_a_killed_process_is_deleted_by_the_next_writer(tmp_path: Path) -> None:
    code = """
        import sys, time
        from pathlib import Path
        from driftproof._files import write_atomically
        def slowly(temporary):
            temporary.write_bytes(b"half")
            print("ready", flush=True)
            sys.stdin.readline()
        write_atomically(Path({path!r}), slowly)
    """
    path, other = tmp_path / "page [1].html", tmp_path / "page 1.html"
    living, dying, another = (python(code.format(path=str(of)), stdin=-1) for of in (path, path, other))
    for process in (living, dying, another):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in (dying, another):
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert len(names(tmp_path)) == 3
    write_atomically(path, b"mine")
    kept = [name for name in names(tmp_path) if name.endswith(".part")]
    assert len(kept) == 2  # of the living process, and of another file
    assert path.read_bytes() == b"mine"
    _, said = living.communicate("\n")
    assert said == ""
    assert path.read_bytes() == b"half"
    write_atomically(other, b"other")
    assert names(tmp_path) == ["page 1.html", "page [1].html"]
