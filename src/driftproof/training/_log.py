"""The live log of a training: a row of means every few updates, in a CSV file and, if installed, TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from driftproof.training._methods import Diagnostics

type Row = dict[str, float | int | None]
_NUMBERS: dict[str, Callable[[Sequence[Diagnostics]], float | None]] = {
    "strength": lambda updates: _mean([update.strength for update in updates]),
    "loss": lambda updates: _mean([update.loss for update in updates]),
    "clean_loss": lambda updates: _mean_of("clean_loss", updates),
    "update_norm": lambda updates: _mean([update.update_norm for update in updates if not update.skipped]),
    "noise": lambda updates: _mean_of("noise", updates),
    "noise_strength": lambda updates: _mean_of("noise_strength", updates),
    "gradient_sharpness": lambda updates: _mean_of("gradient_sharpness", updates),
    "clipped": lambda updates: sum(update.clipped for update in updates),
    "skipped": lambda updates: sum(update.skipped for update in updates),
}
"""Column → its number for some updates: a mean, or a count."""
COLUMNS = ("epoch", "updates", "seconds", "lr", *_NUMBERS, "validation")


def row_of(updates: Sequence[Diagnostics], epoch: int, seconds: float, lr: float) -> Row:
    """Return the row of the log for some updates, which is without a validation.

    Clean loss, noise and gradient sharpness are means over the updates at which they were measured.
    """
    numbers = {name: number(updates) for name, number in _NUMBERS.items()}
    first: Row = {"epoch": epoch, "updates": updates[-1].step + 1, "seconds": round(seconds, 1), "lr": lr}
    return first | numbers | {"validation": None}


def _mean_of(name: str, updates: Sequence[Diagnostics]) -> float | None:
    return _mean([update.more[name] for update in updates if name in update.more])


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


class Log:
    """The rows of a training, written to files as they come.

    Args:
        folder: Folder of ``log.csv`` and TensorBoard's events; None to write no files.
        rows: Rows of the run so far, if it is resumed.
    """

    def __init__(self, folder: Path | None, rows: list[Row]) -> None:
        self.rows = list(rows)
        self._path = None if folder is None else folder / "log.csv"
        self._board: Callable[[str, float, int], Any] | None = None
        if folder is None:
            return
        self._write(self.rows, mode="w")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        first = int(self.rows[-1]["updates"] or 0) + 1 if self.rows else None
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first).add_scalar

    def add(self, row: Row) -> None:
        """Add a row to the log, to the file and to TensorBoard."""
        self.rows.append(row)
        if self._path is not None:
            self._write([row], mode="a")
        if self._board is not None:
            for name, value in row.items():
                if value is not None and name not in ("epoch", "updates", "seconds"):
                    self._board(name, float(value), int(row["updates"] or 0))

    def _write(self, rows: list[Row], mode: Literal["w", "a"]) -> None:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(
            self._path, mode=mode, header=mode == "w", index=False, float_format="%.6g", lineterminator="\n"
        )
