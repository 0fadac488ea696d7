"""Print the table of README.md out of summary.csv.

python experiments/all_devices/table.py
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from driftproof.times import format_time


def main() -> None:
    """Print one row per preset and one column per time; an asterisk marks times outside the range of validity."""
    summary = pd.read_csv(Path(__file__).parent / "summary.csv")
    chips = summary[summary["chips"] > 0]
    times = sorted(chips["t_s"].unique())
    print("| preset | " + " | ".join(format_time(t) for t in times) + " |")
    print("|---|" + "---|" * len(times))
    for preset, rows in chips.sort_values(["preset", "t_s"]).groupby("preset"):
        cells = [f"{row.mean:.1f}{'' if row.in_validity else '*'}" for row in rows.itertuples()]
        print(f"| `{preset}` | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
