"""Compare our laws with aihwkit's in results.csv: Welch tests with Holm's correction at a family-wise level of 1 %.

Run the script without arguments; it writes table.md.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from scipy import stats

from driftproof.times import format_time

HERE = Path(__file__).parent
FAMILY_WISE = 0.01


def holm(p_values: list[float]) -> list[bool]:
    """Return which hypotheses are rejected at the family-wise level, step by step from the smallest p."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > FAMILY_WISE / (len(p_values) - rank):
            break
        rejected[i] = True
    return rejected


def compare(cells: pd.DataFrame, law: str) -> pd.DataFrame:
    """Return the mean accuracy of one of our laws less that of aihwkit's, per preset and time."""
    rows = []
    for (preset, t_s), group in cells.groupby(["preset", "t_s"]):
        ours = group[group["law"] == law].set_index("chip")["accuracy"]
        theirs = group[group["law"] == "aihwkit"].set_index("chip")["accuracy"]
        if ours.empty:
            continue
        test = stats.ttest_ind(ours, theirs, equal_var=False)
        low, high = test.confidence_interval(0.95)
        rows.append(
            {
                "preset": preset,
                "t_s": t_s,
                "chips": f"{len(ours)} / {len(theirs)}",
                law: f"{ours.mean():.2f} ± {ours.std():.2f}",
                "aihwkit": f"{theirs.mean():.2f} ± {theirs.std():.2f}",
                "difference": ours.mean() - theirs.mean(),
                "95 % interval": f"{low:+.2f} to {high:+.2f}",
                "p": test.pvalue,
            }
        )
    table = pd.DataFrame(rows).sort_values(["preset", "t_s"])
    table["significant"] = holm(table["p"].tolist())
    return table


def paired(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the effect of aihwkit's steps on the same chips: our law with the step less our law without it."""
    wide = cells.pivot_table(index=["preset", "t_s", "chip"], columns="law", values="accuracy").dropna()
    rows = []
    for law in ("ours, pair dropped", "ours, pair dropped and rescaled"):
        for (preset, t_s), group in wide.groupby(["preset", "t_s"]):
            test = stats.ttest_rel(group[law], group["ours"])
            low, high = test.confidence_interval(0.95)
            rows.append(
                {
                    "step": law.removeprefix("ours, "),
                    "preset": preset,
                    "t_s": t_s,
                    "chips": len(group),
                    "difference": (group[law] - group["ours"]).mean(),
                    "95 % interval": f"{low:+.2f} to {high:+.2f}",
                    "p": test.pvalue,
                }
            )
    table = pd.DataFrame(rows)
    table["significant"] = holm(table["p"].tolist())
    return table


def markdown(table: pd.DataFrame) -> str:
    shown = table.copy()
    shown["t_s"] = shown["t_s"].map(format_time)
    shown["difference"] = shown["difference"].map("{:+.2f}".format)
    shown["p"] = shown["p"].map("{:.2g}".format)
    shown["significant"] = shown["significant"].map({True: "yes", False: "no"})
    lines = ["| " + " | ".join(shown.columns) + " |", "|" + "---|" * len(shown.columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in shown.to_numpy().tolist()]
    return "\n".join(lines)


def main() -> None:
    cells = pd.read_csv(HERE / "results.csv")
    parts = []
    for law in cells["law"].drop_duplicates():
        if law != "aihwkit":
            parts.append(f"### {law}, against aihwkit\n\n{markdown(compare(cells, law))}\n")
    parts.append(f"### The same chips with and without aihwkit's steps\n\n{markdown(paired(cells))}\n")
    text = "\n".join(parts)
    (HERE / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
