"""Do ramps make training at large noise possible, and why does it fail without them? See README.md.

    python experiments/over_regularisation/run.py --data ROOT
    python experiments/sam_vs_rwp/run.py --data ROOT
    python experiments/ramps/run.py --data ROOT

The best constant RWP and SAM are those of the first two scripts. Every finished training is stored in out/, so that a
stopped run continues. The tables and figures are written beside this file.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[1]))
import small_scale as small
from small_scale import BLUE, GREEN, GREY, INK, RED

from driftproof.figures import render

HERE = Path(__file__).parent
SIGMA, RHO = (0.5, 0.8), (0.2, 0.5)
SHAPES = ("constant", "linear", "quadratic", "cosine", "adaptive")
TEST = (0.1, 0.2, 0.3)
SEEDS, DIAGNOSE_EVERY = range(4), 20
CONDITIONS = [(f"gaussian:{sigma:g}", "") for sigma in TEST]
COLOURS = dict(zip(SHAPES, (RED, BLUE, GREEN, "#CC79A7", "#E69F00"), strict=True))
PAIRS = [("ramped sam", other) for other in ("constant rwp", "constant rwp, gradients of sam", "constant sam", "plain")]
PAIRS += [("ramped rwp", "constant rwp")]
FAILED = 50.0  # digital test accuracy in % below which a training counts as failed


def strength(shape: str, to: float) -> str:
    return f"{to:g}" if shape == "constant" else f"{shape}:to={to:g}"


# name in the tables → (perturbation, shape of its ramp)
METHODS = {"plain": ("plain", "")}
METHODS |= {f"rwp gaussian:{sigma:g}": (f"RWP σ {sigma:g}", "constant") for sigma in SIGMA}
METHODS |= {f"rwp gaussian:{sigma:g} {strength(s, 1)}": (f"RWP σ {sigma:g}", s) for sigma in SIGMA for s in SHAPES[1:]}
METHODS |= {f"sam {strength(s, rho)}": (f"SAM ρ {rho:g}", s) for rho in RHO for s in SHAPES}


def others(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return plain training and the constant RWP and SAM of the other experiments, of the same networks and seeds."""
    folders = [HERE.parent / folder / "seeds.csv" for folder in ("over_regularisation", "sam_vs_rwp")]
    rows = pd.concat([pd.read_csv(path, keep_default_na=False) for path in folders], ignore_index=True)
    return rows.merge(seeds[["data", "seed"]].drop_duplicates(), on=["data", "seed"])


def best(rows: pd.DataFrame, kind: str, data: str, device: str) -> tuple[str, pd.Series]:
    """Return the method of a kind that is best on validation images and other chips, and its accuracies by seed."""
    rows = rows[(rows["data"] == data) & (rows["device"] == device) & (rows["method"].map(small.family) == kind)]
    chosen = str(rows.groupby("method")["validation"].mean().idxmax())
    return chosen, rows[rows["method"] == chosen].set_index("seed")["test"]


def chosen(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return, for each condition, the best of ramped and constant SAM and RWP, and their differences."""
    constant = others(seeds)
    ramped = seeds[~seeds["shape"].isin(["", "constant"])]
    sources = {"ramped sam": (ramped, "sam"), "ramped rwp": (ramped, "rwp"), "plain": (constant, "plain")}
    sources |= {"constant sam": (constant, "sam"), "constant rwp": (constant, "rwp")}
    sources |= {"constant rwp, gradients of sam": (constant, "rwp2")}
    rows = []
    for data, here in seeds.groupby("data"):
        for device in ("digital", *(name for name, _ in CONDITIONS)):
            row = {"data": data, "device": device, "seeds": here["seed"].nunique()}
            accuracies_of = {}
            for name, (table, kind) in sources.items():
                row[name], accuracies_of[name] = best(table, kind, str(data), device)
            row |= {f"{name}, test": small.interval_text(values) for name, values in accuracies_of.items()}
            for one, other in PAIRS:
                row[f"{one} - {other}"] = small.interval_text(accuracies_of[one] - accuracies_of[other], "+")
            rows.append(row)
    return pd.DataFrame(rows)


def accuracies(seeds: pd.DataFrame) -> pd.DataFrame:
    """Return test accuracies by method, the number of failed trainings, and the gains of each ramp.

    The gains are those over the same perturbation at constant strength, and over the best constant RWP.
    """
    rows, constant = [], others(seeds)
    keys, order = ["data", "what", "shape"], list(METHODS)
    seeds = seeds.sort_values(["data", "method"], key=lambda c: c.map(order.index) if c.name == "method" else c)
    for (data, what, shape), group in seeds.groupby(keys, sort=False):
        digital = group[group["device"] == "digital"]
        row: dict[Any, Any] = {"data": data, "what": what, "shape": shape, "seeds": len(digital)}
        row["failed"] = int((digital["test"] < FAILED).sum())
        row |= {device: small.interval_text(g["test"]) for device, g in group.groupby("device", sort=False)}
        for device, _ in CONDITIONS:
            here = seeds[(seeds["data"] == data) & (seeds["what"] == what) & (seeds["device"] == device)]
            table = here.pivot(index="seed", columns="shape", values="test")
            if shape not in ("", "constant"):
                row[f"{device}, over the constant"] = small.interval_text(table[shape] - table["constant"], "+")
            best_rwp = best(constant, "rwp", str(data), device)[1]
            row[f"{device}, over the best RWP"] = small.interval_text(table[shape] - best_rwp, "+")
        rows.append(row)
    return pd.DataFrame(rows)


def epochs_of(out: Path, seeds: pd.DataFrame) -> pd.DataFrame:
    """Return the diagnostics by epoch, mean over the seeds of a table."""
    rows = pd.read_csv(out / "epochs.csv").drop_duplicates(["data", "method", "seed", "epoch"], keep="last")
    rows = rows.merge(seeds[["data", "seed"]].drop_duplicates(), on=["data", "seed"])
    rows = rows.assign(**dict(zip(("what", "shape"), zip(*rows["method"].map(METHODS), strict=True), strict=True)))
    columns = ["level", "loss", "clean_loss", "update_norm", "gradient_sharpness", "noise"]
    means = rows.groupby(["data", "what", "shape", "epoch"], sort=False)[columns].mean()
    return means.assign(trainings=rows.groupby(["data", "what", "shape", "epoch"], sort=False).size()).reset_index()


def draw(epochs: pd.DataFrame, data: str) -> Figure:
    """Draw the loss, the norm of the gradient and its sharpness over the epochs, one column per perturbation."""
    group = epochs[epochs["data"] == data]
    whats = list(dict.fromkeys(group[group["shape"] == "constant"]["what"]))
    figure = Figure(figsize=(10.4, 7.6), layout="constrained")
    panels = figure.subplots(3, len(whats), sharex=True, sharey="row", squeeze=False)
    plain = group[group["what"] == "plain"]
    sides = [("loss", "training loss where\nthe gradient is taken"), ("update_norm", "norm of the\nupdate's gradient")]
    sides += [("gradient_sharpness", "gradient sharpness\n‖∇L(w+ε) − ∇L(w)‖ / ‖ε‖")]
    for column, what in enumerate(whats):
        for row, (name, label) in enumerate(sides):
            axes = panels[row][column]
            if name != "gradient_sharpness":
                axes.plot(plain["epoch"], plain[name], color=INK, lw=1.2, ls=(0, (4, 2)), label="plain")
            for shape in SHAPES:
                line = group[(group["what"] == what) & (group["shape"] == shape)]
                axes.plot(line["epoch"], line[name], color=COLOURS[shape], lw=1.6, label=shape, marker="o", ms=2.5)
            if row:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] == "3" else "")
            axes.grid(axis="y", color="#e6e6e6", lw=0.8)
            if not column:
                axes.set_ylabel(label)
        panels[0][column].set_title(what, loc="left", fontweight="bold")
        panels[-1][column].set_xlabel("epoch")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(
        f"{data}: mean over the updates of an epoch and over {group['trainings'].max()} training seeds (only those not "
        "stopped). Norm and sharpness have logarithmic axes",
        fontsize=8.5, color=GREY, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def main() -> None:
    root, start = small.data_root(__doc__), time.perf_counter()
    task = small.digits_task(root)
    rates = small.learning_rates(small.RATES, task, METHODS, small.GAUSSIAN)
    small.study(HERE / "out", task, list(METHODS), CONDITIONS, rates, seeds=SEEDS, diagnose_every=DIAGNOSE_EVERY)
    seeds = small.complete(small.by_seed(HERE / "out" / "cells.csv"))
    seeds.to_csv(HERE / "seeds.csv", index=False, lineterminator="\n")
    seeds = seeds.assign(**dict(zip(("what", "shape"), zip(*seeds["method"].map(METHODS), strict=True), strict=True)))
    epochs = epochs_of(HERE / "out", seeds)
    for name, table in (("accuracy", accuracies(seeds)), ("chosen", chosen(seeds)), ("epochs", epochs.round(5))):
        table.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
    print(accuracies(seeds).to_string(index=False))
    (HERE / "digits.png").write_bytes(render(partial(draw, data="digits"), epochs)[1])
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
