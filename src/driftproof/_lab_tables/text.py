"""Bytes of a file → lines of text, whatever encoding an instrument writes; what is no text is refused."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from driftproof._errors import DriftproofError
from driftproof._files import LARGEST_CSV, check_file

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_FRAME = "read it in Python and give the columns as a pandas DataFrame (driftproof.fitting.read_measurements takes one)"
_BINARY = {
    b"PK\x03\x04": "an Excel workbook or another archive; save the sheet as CSV, or read it with pandas.read_excel and "
    "give the DataFrame to driftproof.fitting.read_measurements",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
    b"\x89HDF": f"an HDF5 or MATLAB file; {_FRAME}",
    b"MATLAB 5.0": f"a MATLAB file; {_FRAME}",
    b"\x93NUMPY": f"a NumPy array; {_FRAME}",
    b"PAR1": f"a Parquet file; {_FRAME}",
    b"\x1f\x8b": "a gzip archive; unpack it first",
}


def read_lines(path: Path) -> tuple[list[str], str]:
    """Return the lines of a text file, and the name of its encoding.

    UTF-8 and UTF-16 are recognised, with or without a byte order mark. Other bytes are read as Windows-1252, which
    contains what latin-1 has of letters and the sign µ.

    Raises:
        DriftproofError: The file is no text, is empty, or is too large.
        FileNotFoundError: There is no such file.
    """
    content = check_file(path, LARGEST_CSV).read_bytes()
    for start, what in _BINARY.items():
        if content.startswith(start):
            raise DriftproofError(f"{path}: not a CSV file: it is {what}")
    for encoding in (_encoding(content), "cp1252"):
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise DriftproofError(f"{path}: not a CSV file: it is no text in UTF-8, UTF-16 or latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().rstrip("\x1a").rstrip()
    if found := _CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        what = "zero bytes" if found[0] == "\0" else f"control characters ({ord(found[0]):#04x})"
        raise DriftproofError(f"{path}: not a CSV file: line {line} has {what}: is it a binary file?")
    if not text.strip():
        raise DriftproofError(f"{path}: not a CSV file: it is empty")
    return text.split("\n"), _NAMES.get(encoding, encoding)


_NAMES = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "cp1252": "latin-1"}


def _encoding(content: bytes) -> str:
    """Return the encoding that the first bytes show."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = content[:4096]
    if len(start) > 3 and b"\0" in start:  # of Latin letters in UTF-16 every second byte is zero
        for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
            if zeros.count(0) > 0.9 * len(zeros) and start.count(0) < 0.6 * len(start):
                return name
    return "utf-8-sig"
