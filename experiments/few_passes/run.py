"""How many passes does an honest interval of ± 0.5 points need? See README.md.

    python experiments/few_passes/run.py

Every repetition is a whole sequential measurement: pilot, allocation, stopping. Chips are drawn with replacement from
the pool of ../outcome_pool, their samples without. A row that results.csv has already is not computed again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from driftproof.statistics import Crossed, Strata, Tallies, next_step, strata_by, stratified, tallies
from driftproof.times import format_time

HERE = Path(__file__).parent
RESULTS = HERE / "results.csv"
CELLS = (
    ("pcm-nandakumar-2019", 1.0),
    ("pcm-nandakumar-2019", 86400.0),
    ("pcm-nandakumar-2019", 31536000.0),
    ("reram-wan-2022", 86400.0),
)
HALF_WIDTH, SEED = 0.5, 0
Bits = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]
Random = np.random.Generator


def margins(data: str, weights: str) -> None:
    """Write the margins of the digital network: the logit of the right class less the largest other one."""
    import torch

    from driftproof.data import cifar10
    from driftproof.zoo import load_model

    images = cifar10(data)
    model = load_model("resnet20", weights).model.eval()
    with torch.inference_mode():
        logits = torch.cat([model(inputs) for inputs, _ in images.batches(250)])
        classes = torch.cat([targets for _, targets in images.batches(250)]).unsqueeze(1)
        right = logits.gather(1, classes).squeeze(1)
        others = logits.scatter(1, classes, -torch.inf).amax(1)
    np.savez_compressed(HERE / "margins.npz", margins=(right - others).numpy().astype(np.float16))


@dataclass(frozen=True)
class Pool:
    """The chips of one device at one time.

    Attributes:
        lost: Whether a chip is wrong and the digital network right, [chips, samples].
        gained: Whether a chip is right and the digital network wrong, [chips, samples].
        digital: Whether the digital network is right, [samples].
        margins: Margins of the digital network, [samples].
    """

    lost: Bits
    gained: Bits
    digital: Bits
    margins: npt.NDArray[np.float64]

    @classmethod
    def load(cls, device: str, t_s: float) -> Pool:
        file = np.load(HERE.parent / "outcome_pool" / f"{device}.npz")
        digital = np.unpackbits(file["digital"])[: int(file["n_samples"])].astype(bool)
        place = file["t_s"].tolist().index(t_s)
        other = np.unpackbits(file["otherwise"][place], axis=1)[:, : len(digital)].astype(bool)
        held = np.load(HERE / "margins.npz")["margins"].astype(np.float64)
        assert ((held > 0) == digital).all()
        return cls(other & digital, other & ~digital, digital, held)

    @property
    def changes(self) -> npt.NDArray[np.float64]:
        """The change of every chip in points, [chips]."""
        return 100 * (self.gained.mean(axis=1) - self.lost.mean(axis=1))

    def strata(self, design: str) -> Strata:
        if design == "uniform":
            return Strata(np.zeros(len(self.digital), dtype=np.int64), SEED)
        return strata_by(np.abs(self.margins), self.digital, seed=SEED)


def full_design(pool: Pool, random: Random) -> tuple[int, float]:
    """Return the smallest number of chips on all samples whose expected half-width is small enough, and that."""
    for chips in range(2, 1000):
        drawn = pool.changes[random.integers(len(pool.changes), size=(1000, chips))]
        of = [Crossed(row, len(pool.digital), np.nan, np.nan, 0.0).interval("these") for row in drawn]
        expected = float(np.mean([(high - low) / 2 for low, high in of]))
        if expected <= HALF_WIDTH:
            return chips, expected
    raise AssertionError


class Counted:
    """Draws chips and counts what they lose and gain on random samples of strata; samples need not be drawn."""

    def __init__(self, pool: Pool, strata: Strata, random: Random) -> None:
        self.digital, self.sizes, self.random = pool.digital, strata.sizes, random
        self.lost, self.gained = (
            np.stack([np.bincount(strata.of, row, minlength=len(self.sizes)) for row in table]).astype(np.int64)
            for table in (pool.lost, pool.gained)
        )
        self.rows: list[tuple[Whole, ...]] = []

    def see(self, counts: Whole) -> Tallies:
        i = self.random.integers(len(self.lost), size=len(counts))
        lost = self.random.hypergeometric(self.lost[i], self.sizes - self.lost[i], counts)
        rest = self.sizes - self.lost[i] - self.gained[i]
        gained = self.random.hypergeometric(self.gained[i], rest, counts - lost)
        self.rows.append((counts, gained - lost, gained + lost, -lost))
        seen, sums, squares, crosses = (np.concatenate(column) for column in zip(*self.rows, strict=True))
        nothing = np.zeros(len(self.sizes))  # which samples chips have in common is not drawn
        return Tallies(self.sizes, seen, sums, squares, crosses, nothing.astype(np.int64), nothing, self.digital, True)


class Drawn:
    """Draws chips, and the samples that each of them sees."""

    def __init__(self, pool: Pool, strata: Strata, random: Random) -> None:
        self.pool, self.random = pool, random
        self.strata = Strata(strata.of, int(random.integers(2**31)))
        self.rows: list[tuple[int, Whole, Bits]] = []

    def see(self, counts: Whole) -> Tallies:
        for row in counts:
            i, samples = int(self.random.integers(len(self.pool.lost))), self.strata.drawn(len(self.rows), row)
            right = self.pool.digital ^ self.pool.lost[i] ^ self.pool.gained[i]
            self.rows.append((len(self.rows), samples, right[samples]))
        return tallies(self.strata, self.pool.digital, self.rows)


def sequence(sizes: Whole, see: Callable[[Whole], Tallies]) -> Tallies:
    """Return what a whole sequential measurement has seen at its end."""
    of: Tallies | None = None
    while (step := next_step(sizes, of, HALF_WIDTH)) is not None:
        of = see(step.counts)
    assert of is not None
    return of


def repeated(pool: Pool, design: str, repetitions: int, random: Random) -> Iterator[dict[str, float]]:
    """Yield the result of every repetition, on these inputs."""
    strata, truth = pool.strata(design), float(pool.changes.mean())
    for _ in range(repetitions):
        seen = sequence(strata.sizes, Counted(pool, strata, random).see)
        yield result(seen, truth)


def on_new_inputs(pool: Pool, repetitions: int, random: Random) -> Iterator[dict[str, float]]:
    """Yield the result of every repetition on new inputs: the images are drawn as well, with replacement."""
    truth = float(pool.changes.mean())
    for _ in range(repetitions):
        j = random.integers(len(pool.digital), size=len(pool.digital))
        drawn = Pool(pool.lost[:, j], pool.gained[:, j], pool.digital[j], pool.margins[j])
        strata = drawn.strata("stratified")
        yield result(sequence(strata.sizes, Drawn(drawn, strata, random).see), truth, "new")


def result(seen: Tallies, truth: float, on: Any = "these") -> dict[str, float]:
    of = stratified(seen).change
    low, high = of.interval(on)
    row = {"bias": of.mean - truth, "truth_below": 100 * (truth < low), "truth_above": 100 * (truth > high)}
    return row | {"half_width": (high - low) / 2, "chips": of.chips, "samples": of.passes}


def row_of(device: str, t_s: float, design: str, repetitions: int) -> dict[Hashable, Any]:
    pool = Pool.load(device, t_s)
    random = np.random.default_rng([SEED, CELLS.index((device, t_s)), len(design)])
    chips, expected = full_design(pool, np.random.default_rng([SEED, 1]))
    if design == "new inputs":
        rows = list(on_new_inputs(pool, repetitions, random))
    else:
        rows = list(repeated(pool, design, repetitions, random))
    table = pd.DataFrame(rows)
    full = chips * len(pool.digital)
    mean: dict[Hashable, float] = {name: float(value) for name, value in table.mean().items()}
    return {
        "device": device,
        "time": format_time(t_s),
        "design": design,
        "repetitions": repetitions,
        "drop": -float(pool.changes.mean()),
        "full_chips": chips,
        "full_half_width": expected,
        "covered": 100 - mean["truth_below"] - mean["truth_above"],
        **mean,
        "most_samples": float(table["samples"].quantile(0.95)),
        "full_by_samples": full / mean["samples"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000, help="repetitions on these inputs (default: 2000)")
    parser.add_argument("--new", type=int, default=100, help="repetitions on new inputs (default: 100)")
    parser.add_argument("--data", help="folder with cifar-10-batches-py, to compute the margins again")
    parser.add_argument("--weights", help="file resnet20-12fca82f.th, to compute the margins again")
    arguments = parser.parse_args()
    if arguments.data and arguments.weights:
        margins(arguments.data, arguments.weights)
    table = pd.read_csv(RESULTS).to_dict("records") if RESULTS.exists() else []
    for design in ("stratified", "uniform", "new inputs"):
        repetitions = arguments.new if design == "new inputs" else arguments.repetitions
        for device, t_s in CELLS:
            key = (device, format_time(t_s), design, repetitions)
            if key in [(row["device"], row["time"], row["design"], row["repetitions"]) for row in table]:
                continue
            start = time.monotonic()
            table.append(row_of(device, t_s, design, repetitions))
            print(f"{device} {format_time(t_s)} {design}: {time.monotonic() - start:.0f} s", flush=True)
            pd.DataFrame(table).round(4).to_csv(RESULTS, index=False, lineterminator="\n")
    print(pd.DataFrame(table).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
