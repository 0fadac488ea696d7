"""Train Hopfield networks with the seven algorithms and with backpropagation. See README.md.

    python experiments/energy_algorithms/run.py --data ROOT [--only PART] [--processes N] [--torch-device cuda]

Each training is kept in out/ after every epoch, so that a stopped run continues. A finished one is a row of
trainings.csv, which is not computed again.
"""

from __future__ import annotations

import argparse
import fcntl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats

import driftproof as dp
from driftproof.evaluation import Evaluator, Trial

sys.path.append(str(Path(__file__).parents[1]))
from energy_algorithms.trainings import ALGORITHMS, TASKS  # a folder beside this one

HERE = Path(__file__).parent
TABLE = HERE / "trainings.csv"
FULL, COMPARED = 100, 5
"""Epochs of the dense network: of the full length with C-EP, and of the comparison of all algorithms."""


COLUMNS = ["task", "algorithm", "seed", "epochs", "torch_device", "failed"]
COLUMNS += [f"{part}_{what}" for part in ("train", "test") for what in ("error", "residual", "iterations", "energy")]
COLUMNS += ["loss", "cpu_s_per_epoch"]
STATEMENTS = [("n-ep", "p-ep"), ("c-ep", "n-ep"), ("c-ep", "c-cpl"), ("c-ep", "cl"), ("n-cpl", "p-cpl")]
STATEMENTS += [("c-ep", "backpropagation")]
"""Pairs of which the study says that the first is better, and the baseline."""


@dataclass(frozen=True)
class Run:
    task: str
    algorithm: str
    seed: int
    epochs: int

    @property
    def name(self) -> str:
        return f"{self.task}-{self.algorithm}-{self.seed}-{self.epochs}"


def wanted() -> Iterator[Run]:
    """Yield all trainings, seed by seed, so that a run that is stopped early has whole comparisons."""
    for seed in range(3):
        yield Run("dense-mnist", "c-ep", seed, FULL)
    for seed in range(3):
        for algorithm in ALGORITHMS:
            yield Run("dense-mnist", algorithm, seed, COMPARED)
    for seed in range(3):
        for task in ("dchn-mnist", "dchn-cifar10"):
            for algorithm in ALGORITHMS:
                yield Run(task, algorithm, seed, int(TASKS[task].settings["epochs"]))


def epochs_in(out: Path) -> int:
    """Return the number of whole epochs of a training that was stopped, from which it continues."""
    log = out / "log.csv"
    if not log.exists() or not (out / "last.safetensors").exists():
        return 0
    return max(0, int(pd.read_csv(log)["epoch"].max()) - 1)


def train(run: Run, root: Path, torch_device: str) -> None:
    """Make one training, and add its row to the table."""
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # products in float32 on every device
    task = TASKS[run.task]
    out, start = HERE / "out" / run.name, time.process_time()
    made = epochs_in(out)
    row = {"task": run.task, "algorithm": run.algorithm, "seed": run.seed, "epochs": run.epochs}
    row |= {"torch_device": torch_device, "failed": ""}
    try:
        result = task.train(run.algorithm, run.seed, root, out, run.epochs, torch_device)
    except dp.DriftproofError as error:
        if "runs away" not in str(error):
            raise
        add(row | {"failed": str(error).split(": the relaxation")[0] + ": the relaxation runs away"})
        return
    used = time.process_time() - start if torch_device == "cpu" else float("nan")
    for part in ("train", "test"):
        outcome = Evaluator(result.model, task.images(root, part), torch_device=torch_device)(Trial(None))
        row[f"{part}_error"] = round(100 - outcome.value, 3)
        row |= {f"{part}_{name}": of for name, of in outcome.diagnostics.items() if name != "symmetry_error"}
    row["loss"] = result.rows[-1]["loss"]
    row["cpu_s_per_epoch"] = round(used / (run.epochs - made), 1) if made < run.epochs else float("nan")
    add(row)


def add(row: dict[str, Any]) -> None:
    """Add a row to the table; other processes may do so at the same time."""
    with TABLE.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        pd.DataFrame([row], columns=COLUMNS).to_csv(file, header=file.tell() == 0, index=False)


def interval(values: pd.Series) -> str:
    """Return a mean with the half-width of its 95 % interval over seeds (Student), if there are two at least."""
    if len(values) < 2:
        return f"{values.mean():.2f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std() / len(values) ** 0.5
    return f"{values.mean():.2f} ± {half:.2f}"


def summarise(rows: pd.DataFrame) -> None:
    """Write the test errors by algorithm, and the differences that the study's statements are about, over seeds."""
    errors, statements = [], []
    for (task, epochs), group in rows.groupby(["task", "epochs"], sort=False):
        table = group.pivot(index="seed", columns="algorithm", values="test_error")
        for algorithm in [name for name in ALGORITHMS if name in table]:
            found = table[algorithm].dropna()
            row = {"task": task, "epochs": epochs, "algorithm": algorithm, "seeds": len(found)}
            trained = group[group["algorithm"] == algorithm]
            row |= {"test_error": interval(found), "train_error": interval(trained["train_error"])}
            errors.append(row | {"cpu_s_per_epoch": trained["cpu_s_per_epoch"].median()})
        for better, worse in STATEMENTS:
            if {better, worse} <= set(table):
                difference = (table[worse] - table[better]).dropna()
                row = {"task": task, "epochs": epochs, "statement": f"{better} better than {worse}"}
                statements.append(row | {"points": interval(difference), "seeds": len(difference)})
    pd.DataFrame(errors).to_csv(HERE / "errors.csv", index=False)
    pd.DataFrame(statements).to_csv(HERE / "statements.csv", index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with cifar-10-batches-py and MNIST/raw")
    parser.add_argument("--only", default="", help="beginning of the names of the trainings to make")
    parser.add_argument("--processes", type=int, default=1, help="trainings at a time, each with one thread")
    parser.add_argument("--torch-device", default="cpu", help="device to compute on, cpu or cuda (default: cpu)")
    options = parser.parse_args()
    done = set()
    if TABLE.exists():
        keys = ["task", "algorithm", "seed", "epochs"]
        done = {Run(*row) for row in pd.read_csv(TABLE)[keys].itertuples(index=False)}
    left = [run for run in wanted() if run not in done and run.name.startswith(options.only)]
    with ProcessPoolExecutor(options.processes) as pool:
        for run, job in [(run, pool.submit(train, run, options.data, options.torch_device)) for run in left]:
            job.result()
            print(run.name, flush=True)
            summarise(pd.read_csv(TABLE))


if __name__ == "__main__":
    main()
