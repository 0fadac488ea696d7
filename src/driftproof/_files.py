"""Files: atomic writes; tables (TOML, CSV) and tensors (safetensors)."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


LARGEST_TABLES = 16 * 2**20
LARGEST_CSV = 2**30
MOST_COLUMNS = 100_000
DEEPEST = 50
"""Sizes in bytes from which a file cannot be what it should be."""


def check_file(path: Path, largest: int | None = None) -> Path:
    """Return the path of a file that can be read to its end.

    Args:
        path: The file.
        largest: Largest size in bytes (default: any).

    Raises:
        DriftproofError: It is a folder, a pipe, a device or a socket, from which a reader could wait for ever; it is
            too large; its path is too long or cannot be encoded.
        FileNotFoundError: There is no such file.
    """
    try:
        state = path.stat()
    except (ValueError, OSError) as error:  # a zero byte in the path, characters that are no UTF-8, a loop of links
        if isinstance(error, FileNotFoundError):
            raise
        raise DriftproofError(f"{str(path)!a}: cannot be read: {error}") from None
    if not stat.S_ISREG(state.st_mode):
        raise DriftproofError(f"{path}: wanted a file, got a folder, a pipe or a device")
    if largest is not None and state.st_size > largest:
        raise DriftproofError(f"{path}: {state.st_size:,} bytes; wanted at most {largest:,}: is this the right file?")
    return path


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it, unless they are there.

    Raises:
        DriftproofError: A file is in the way, the folder cannot be written, or the path is too long or cannot be
            encoded.
    """
    try:
        missing = [part for part in (folder, *folder.parents) if not part.exists()]
        for part in reversed(missing):
            part.mkdir(exist_ok=True)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "there is a file of this name")
    except (OSError, ValueError) as error:
        raise _cannot_be_made(folder, error) from error
    return folder


def is_folder(path: Path, what: str) -> bool:
    """Return whether a folder is there; False if nothing is.

    Args:
        path: The folder.
        what: What the folder is for, for the message.

    Raises:
        DriftproofError: It is a file, or its path is too long or cannot be encoded.
    """
    try:
        if path.exists() and not path.is_dir():
            raise DriftproofError(f"{path} is a file, wanted a folder for {what}; choose another one")
        return path.is_dir()
    except DriftproofError:
        raise
    except (OSError, ValueError) as error:
        raise _cannot_be_made(path, error) from error


def _cannot_be_made(folder: Path, error: Exception) -> DriftproofError:
    text = ascii(str(folder))
    short = text if len(text) < _LONG else f"{text[:_LONG]}… ({len(text)} characters)"
    fault = getattr(error, "strerror", None) or error
    return DriftproofError(f"folder {short} cannot be made: {fault}; choose another one")


_LONG = 200


def write_atomically(path: Path, content: bytes | Callable[[Path], object]) -> Path:
    """Replace ``path`` in one step: a reader or a crash sees the old file or the new one.

    A process that is killed meanwhile leaves a temporary file ``.NAME.….part``. The next one that writes ``path``
    deletes it.

    Args:
        path: File in a folder that exists.
        content: Content of the file, or a function that writes it to the path that it receives.

    Raises:
        OSError: If the folder does not exist or cannot be written.
    """
    with _temporary(path) as temporary:
        _ = content(temporary) if callable(content) else temporary.write_bytes(content)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp and safetensors make files that only the owner can read; others should read a report, too
        temporary.chmod(0o644)
        temporary.replace(path)
    return path


_PART = ".part"


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Make a file beside ``path``, locked as long as its writer lives; delete it, and those that dead writers left."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_PART}"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            if _lock(file.fileno()):
                left.unlink()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
    temporary = Path(name)
    try:
        _lock(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file until it is closed or the process dies; return False if another process has, or without locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def read_toml(path: Path | Traversable) -> dict[str, Any]:
    """Return the tables of a TOML file.

    Raises:
        DriftproofError: If the file cannot be read or is not TOML. The message names the file.
    """
    try:
        content = check_file(path, LARGEST_TABLES).read_bytes() if isinstance(path, Path) else path.read_bytes()
        tables = tomllib.loads(content.decode())
        _check_depth(path, tables)
        return tables
    except FileNotFoundError:
        raise DriftproofError(f"{path}: there is no such file") from None
    except ValueError as error:  # no UTF-8, no TOML, or an integer of thousands of digits
        raise error if isinstance(error, DriftproofError) else _not(path, "TOML", error) from None
    except RecursionError:
        raise _not(path, "TOML", "its tables or lists are nested too deep") from None
    except OSError as error:
        raise DriftproofError(f"{path}: cannot be read: {error}") from None


def _check_depth(path: object, tables: dict[str, Any]) -> None:
    level: list[Any] = [tables]
    for _ in range(DEEPEST):
        parts = [part for whole in level for part in (whole.values() if isinstance(whole, dict) else whole)]
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise _not(path, "TOML", f"its tables or lists are nested more than {DEEPEST} deep")


def _not(path: object, form: str, fault: object) -> DriftproofError:
    return DriftproofError(f"{path}: not a {form} file: {fault}")


def write_toml(path: Path, tables: Mapping[str, Any]) -> Path:
    """Write tables as a TOML file. Numbers and texts read back equal."""
    return write_atomically(path, tomlkit.dumps(tables).encode())


def write_csv(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as a CSV file, without its index."""
    return write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())


def read_tensors(path: Path, what: str = "") -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, on the CPU. Messages begin with ``what`` and the path.

    Raises:
        DriftproofError: If the file is not a complete safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(check_file(path), device="cpu")
    except DriftproofError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, MemoryError, OverflowError) as error:
        raise DriftproofError(f"{what}{path}: not a complete safetensors file ({error})") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """Write tensors as a safetensors file. Each is copied, because safetensors refuses tensors that share memory."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from driftproof._sparse import as_dense

    copies = {name: as_dense(value.detach()).cpu().contiguous().clone() for name, value in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(copies, temporary)
        except SafetensorError as error:  # no room, or a limit of sizes
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} ({error})", str(path)) from error

    return write_atomically(path, write)
