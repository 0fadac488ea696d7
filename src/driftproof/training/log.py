"""The live log of a training: a row of means every few updates, in a CSV file and, if installed, TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driftproof.training.methods import Diagnostics

COLUMNS = (
    "epoch",
    "updates",
    "seconds",
    "lr",
    "strength",
    "loss",
    "clean_loss",
    "update_norm",
    "noise",
    "noise_strength",
    "gradient_sharpness",
    "clipped",
    "skipped",
    "validation",
)
type Row = dict[str, float | int | None]


class Window:
    """The updates since the last row of the log."""

    def __init__(self) -> None:
        self._seen: list[Diagnostics] = []

    def add(self, update: Diagnostics) -> None:
        """Take note of one update."""
        self._seen.append(update)

    def __len__(self) -> int:
        return len(self._seen)

    def row(self, epoch: int, seconds: float, lr: float) -> Row:
        """Return means over the updates since the last row, and begin the next one.

        What is measured at some updates only (clean loss, noise, gradient sharpness) is the mean over those.
        """
        seen, self._seen = self._seen, []

        def mean(values: list[float]) -> float | None:
            return sum(values) / len(values) if values else None

        def more(name: str) -> float | None:
            return mean([update.more[name] for update in seen if name in update.more])

        return {
            "epoch": epoch,
            "updates": seen[-1].step + 1,
            "seconds": round(seconds, 1),
            "lr": lr,
            "strength": mean([update.level for update in seen]),
            "loss": mean([update.loss for update in seen]),
            "clean_loss": more("clean_loss"),
            "update_norm": mean([update.update_norm for update in seen if not update.skipped]),
            "noise": more("noise"),
            "noise_strength": more("noise_strength"),
            "gradient_sharpness": more("gradient_sharpness"),
            "clipped": sum(update.clipped for update in seen),
            "skipped": sum(update.skipped for update in seen),
            "validation": None,
        }


class Log:
    """Rows of a training, kept and written as they come.

    Args:
        folder: where ``log.csv`` and TensorBoard's events go; None to keep them only.
        rows: those of the run so far, if it goes on.
    """

    def __init__(self, folder: Path | None, rows: list[Row]) -> None:
        self.rows = list(rows)
        self._path = None if folder is None else folder / "log.csv"
        self._board: Callable[[str, float, int], Any] | None = None
        if folder is None:
            return
        with (folder / "log.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(map(_written, self.rows))
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        first = int(self.rows[-1]["updates"] or 0) + 1 if self.rows else None
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first).add_scalar

    def add(self, row: Row) -> None:
        """Keep a row, append it to the file, and show it."""
        self.rows.append(row)
        if self._path is not None:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(_written(row))
        if self._board is not None:
            for name, value in row.items():
                if value is not None and name not in ("epoch", "updates", "seconds"):
                    self._board(name, float(value), int(row["updates"] or 0))


def _written(row: Row) -> dict[str, Any]:
    return {
        name: "" if (value := row.get(name)) is None else f"{value:.6g}" if isinstance(value, float) else value
        for name in COLUMNS
    }
