"""Test whether our laws and aihwkit's give the same accuracy in results.csv: two one-sided tests (TOST).

Run the script without arguments; it writes table.md. Two laws are equivalent if their mean accuracies differ by less
than the margin. The null hypothesis is that they do not, so that too few chips can never show equivalence. Holm's
correction holds the level over the rows of a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats

from driftproof.times import format_time

HERE = Path(__file__).parent
MARGIN = 1.0
"""Points of accuracy: about the standard error of an accuracy of 90 % on 1,000 images."""
LEVEL = 0.05


def holm(p_values: list[float]) -> list[bool]:
    """Return which hypotheses are rejected at the family-wise level, step by step from the smallest p."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > LEVEL / (len(p_values) - rank):
            break
        rejected[i] = True
    return rejected


def equivalence(ours: pd.Series, theirs: pd.Series, paired: bool) -> dict[str, Any]:
    """Return the mean difference, its 90 % interval, and the p-value of two one-sided tests at the margin.

    The chips of two laws are independent: Welch's t. The same chips with and without a step are pairs: the paired t.
    At a level of 5 %, the tests reject exactly if the 90 % interval lies within the margin.
    """

    def test(shift: float, alternative: str) -> Any:
        if paired:
            return stats.ttest_rel(ours - shift, theirs, alternative=alternative)
        return stats.ttest_ind(ours - shift, theirs, equal_var=False, alternative=alternative)

    low, high = test(0, "two-sided").confidence_interval(1 - 2 * LEVEL)
    p = max(test(MARGIN, "less").pvalue, test(-MARGIN, "greater").pvalue)
    return {"difference": ours.mean() - theirs.mean(), "90 % interval": f"{low:+.2f} to {high:+.2f}", "p": float(p)}


def compare(cells: pd.DataFrame, law: str) -> pd.DataFrame:
    """Return the mean accuracy of one of our laws less that of aihwkit's, per preset and time."""
    rows = []
    for (preset, t_s), group in cells.groupby(["preset", "t_s"]):
        ours = group[group["law"] == law].set_index("chip")["accuracy"]
        theirs = group[group["law"] == "aihwkit"].set_index("chip")["accuracy"]
        if ours.empty:
            continue
        rows.append(
            {
                "preset": preset,
                "t_s": t_s,
                "chips": f"{len(ours)} / {len(theirs)}",
                law: f"{ours.mean():.2f} ± {ours.std():.2f}",
                "aihwkit": f"{theirs.mean():.2f} ± {theirs.std():.2f}",
            }
            | equivalence(ours, theirs, paired=False)
        )
    return judged(pd.DataFrame(rows).sort_values(["preset", "t_s"]))


def steps(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the effect of aihwkit's steps on the same chips: our law with the step less our law without it."""
    wide = cells.pivot_table(index=["preset", "t_s", "chip"], columns="law", values="accuracy").dropna()
    rows = []
    for law in ("ours, pair dropped", "ours, pair dropped and rescaled"):
        for (preset, t_s), group in wide.groupby(["preset", "t_s"]):
            row = {"step": law.removeprefix("ours, "), "preset": preset, "t_s": t_s, "chips": len(group)}
            rows.append(row | equivalence(group[law], group["ours"], paired=True))
    return judged(pd.DataFrame(rows))


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Add whether each difference is within the margin, with Holm's correction over the rows."""
    verdict = pd.Series(holm(table["p"].tolist()), index=table.index)
    return table.assign(**{f"within {MARGIN:g} point": verdict.map({True: "yes", False: "not shown"})})


def markdown(table: pd.DataFrame) -> str:
    shown = table.copy()
    shown["t_s"] = shown["t_s"].map(format_time)
    shown["difference"] = shown["difference"].map("{:+.2f}".format)
    shown["p"] = shown["p"].map("{:.2g}".format)
    lines = ["| " + " | ".join(shown.columns) + " |", "|" + "---|" * len(shown.columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in shown.to_numpy().tolist()]
    return "\n".join(lines)


def main() -> None:
    cells = pd.read_csv(HERE / "results.csv")
    parts = []
    for law in cells["law"].drop_duplicates():
        if law != "aihwkit":
            parts.append(f"### {law}, against aihwkit\n\n{markdown(compare(cells, law))}\n")
    parts.append(f"### The same chips with and without aihwkit's steps\n\n{markdown(steps(cells))}\n")
    text = "\n".join(parts)
    (HERE / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
