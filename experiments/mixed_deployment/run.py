"""Which layers of ResNet-20 must be digital to keep 90 % accuracy on PCM after a year? See README.md.

    python experiments/mixed_deployment/run.py --data ROOT --weights resnet20-12fca82f.th

Every measured cell goes to a record in out/, one record per set of images, so that a stopped run continues. Tables and
figures are written beside this file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.append(str(Path(__file__).parents[1]))
import small_scale as small

from driftproof import Deployment, Evaluator, Record, Trial
from driftproof.data import cifar10, part
from driftproof.evaluation import ask, run
from driftproof.figures import draw_causes, draw_curve, draw_layers, render
from driftproof.plans import causes, choose_digital_layers, sensitivity
from driftproof.times import parse_time
from driftproof.zoo import load_model

HERE = Path(__file__).parent
DEVICE, TIME, TARGET = "pcm-nandakumar-2019", "1y", 90.0
IMAGES, CHIPS, REPORT_CHIPS = 2000, 10, 25
BREADTH = 6
REPORTED = (0, 7, 8, 9, 10, 11)  # numbers of digital layers that are reported on all images
# name of the curve → margin of its search, first test image of its report. The second search has other images, and its
# margin is the accuracy that the first one lost between search and report.
SEARCHES = {"curve_margin_0.3": (0.3, 0), "curve": (0.7, 2000)}


def write(name: str, table: pd.DataFrame) -> None:
    table.round(4).to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
    print(table.to_string(index=False), flush=True)


def on_chips(
    deployment: Deployment, digital_layers: Sequence[frozenset[str]]
) -> Generator[Any, Any, tuple[float, list[list[float]]]]:
    """Ask for the digital network, and for every set of digital layers on the same chips; return the accuracies."""
    (digital,) = yield ask([Trial(None)])
    chips, t_s = range(CHIPS, CHIPS + REPORT_CHIPS), parse_time(TIME)
    outcomes = yield ask(Trial(deployment, chip, t_s, layers) for chip in chips for layers in digital_layers)
    values, count = [outcome.value for outcome in outcomes], len(digital_layers)
    return digital.value, [values[place::count] for place in range(count)]


def on_all_images(evaluator: Evaluator, deployment: Deployment, points: Sequence[Any], record: Record) -> pd.DataFrame:
    """Return the accuracy of some points of the curve on all images that no layers were chosen on."""
    points = [point for point in points if len(point.digital) in REPORTED]
    plan = on_chips(deployment, [frozenset(point.digital) for point in points])
    digital, accuracies = run(plan, evaluator, record, what="all images")
    rows = []
    for point, values in zip(points, accuracies, strict=True):
        mean, arm = small.student(values)
        shares = {"analog_macs": point.analog_macs, "analog_weights": point.analog_weights}
        row = {"digital_layers": len(point.digital), "layer": point.layer, "kind": point.kind, **shares}
        row |= {"value": mean, "value_ci95_low": mean - arm, "value_ci95_high": mean + arm}
        rows.append(row | {"digital": digital, "n_samples": len(evaluator.data)})
    return pd.DataFrame(rows)


class Images:
    """Evaluators on parts of the test images, each with the record that keeps its cells."""

    def __init__(self, network: Any, test: Any, opened: ExitStack) -> None:
        self.network, self.test, self.opened = network, test, opened
        self.records: dict[tuple[int, int], Record] = {}

    def __call__(self, first: int, end: int) -> tuple[Evaluator, Record]:
        if (first, end) not in self.records:
            folder = HERE / "out" / f"images_{first}_to_{end - 1}"
            self.records[first, end] = self.opened.enter_context(Record.create_or_open(folder))
        return Evaluator(self.network, part(self.test, slice(first, end)), name="resnet20"), self.records[first, end]


def search(images: Images, deployment: Deployment) -> tuple[Sequence[Any], dict[str, bytes]]:
    """Search for the fewest digital layers; return the points of the last curve, and the figures."""
    count, figures = len(images.test), {}
    choose_on, choose_record = images(count - IMAGES, count)
    for name, (margin, first) in SEARCHES.items():
        report_on, report_record = images(first, first + IMAGES)
        curve = choose_digital_layers(
            choose_on,
            report_on,
            deployment,
            TIME,
            target=TARGET,
            chips=CHIPS,
            report_chips=REPORT_CHIPS,
            margin=margin,
            breadth=BREADTH,
            record=choose_record,
            report_record=report_record,
        )
        write(name, curve.table())
        print(curve.verdict(), f"({curve.searched} sets searched)", flush=True)
        figures[name] = render(draw_curve, curve)[1]
    return curve.points, figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    arguments = parser.parse_args()
    start = time.perf_counter()
    deployment = Deployment(device=DEVICE, compensation="tile")
    with ExitStack() as opened:
        images = Images(load_model("resnet20", arguments.weights).model, cifar10(arguments.data), opened)
        points, figures = search(images, deployment)
        evaluator, record = images(0, len(images.test) - IMAGES)
        write("all_images", on_all_images(evaluator, deployment, points, record))
        evaluator, record = images(len(images.test) - IMAGES, len(images.test))
        by_layer = sensitivity(evaluator, deployment, TIME, chips=CHIPS, record=record)
        write("layers", by_layer.table())
        evaluator, record = images(0, IMAGES)
        by_cause = causes(evaluator, deployment, TIME, chips=REPORT_CHIPS, record=record)
        write("causes", by_cause.table())
        figures |= {"layers": render(draw_layers, by_layer)[1], "causes": render(draw_causes, by_cause)[1]}
        for name, png in figures.items():
            (HERE / f"{name}.png").write_bytes(png)
        cells = sum(len(record.cells()) for record in images.records.values())
        print(f"{cells:,} cells, {(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
