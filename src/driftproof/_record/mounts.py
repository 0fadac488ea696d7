"""On which file system a folder is: network file systems have other rules for a record."""

from __future__ import annotations

import re
from pathlib import Path

_NETWORK = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs"}
    | {"nfs4", "ocfs2", "orangefs", "panfs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs", "wekafs"}
)
"""Types of file systems that several machines may write to. FUSE (sshfs, s3fs and others) is counted as one."""
_MOUNTS = Path("/proc/self/mounts")


def file_system(path: Path, mounts: str | None = None) -> str:
    r"""Return the type of the file system that holds a path; an empty text if it is not known.

    It is known on Linux, and for the ``//server/share`` paths of Windows.

    Args:
        path: A path that exists.
        mounts: The table of mounts, in the form of ``/proc/mounts`` (default: this machine's).

    >>> file_system(Path("/home/me/out"), "/dev/sda / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n")
    'nfs4'
    """
    place = path.resolve()
    if place.drive.startswith("\\\\"):
        return "smbfs"
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    kind, depth = "", -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # spaces and the like are written as octal numbers: \040
        top = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        # of several mounts on one folder the last one is seen
        if len(top.parts) >= depth and place.is_relative_to(top):
            kind, depth = fields[2], len(top.parts)
    return kind


def is_network(kind: str) -> bool:
    """Whether several machines may write to a file system of this type.

    >>> is_network("ext4"), is_network("nfs4"), is_network("fuse.sshfs"), is_network("")
    (False, True, True, False)
    """
    return kind in _NETWORK or kind == "fuse" or kind.startswith("fuse.")
