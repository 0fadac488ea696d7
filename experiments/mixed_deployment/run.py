"""Which layers of ResNet-20 must be digital to restore 90 % on PCM after a year? See README.md.

    python experiments/mixed_deployment/run.py --data ROOT --weights resnet20-12fca82f.th

Every measured cell goes to a record in out/, one for each set of images, so that a stopped run goes on. Tables and
figures are written beside this file.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from driftproof import Deployment, Evaluator, Record
from driftproof.data import cifar10, part
from driftproof.evaluation import run
from driftproof.plans import MixedDeployment, causes, choose_digital_layers, sensitivity
from driftproof.plans.figures import draw_causes, draw_curve, draw_layers
from driftproof.plans.measure import beside_digital, configurations, ready
from driftproof.reporting.figures import render
from driftproof.times import parse_time
from driftproof.zoo import load_model

HERE = Path(__file__).parent
DEVICE, TIME, TARGET = "pcm-nandakumar-2019", "1y", 90.0
IMAGES, CHIPS, REPORT_CHIPS = 2000, 10, 25
BREADTH = 6
AROUND = (0, 7, 8, 9, 10, 11)  # digital layers of the points that are reported on all images
# name of the curve → margin of its search, first test image that it is reported on; the second search has as margin
# what the first lost between search and report, and other images
SEARCHES = {"curve_margin_0.3": (0.3, 0), "curve": (0.7, 2000)}


def write(name: str, table: pd.DataFrame) -> None:
    table.round(4).to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
    print(table.to_string(index=False), flush=True)


def on_all_images(evaluator: Evaluator, deployment: Deployment, found: MixedDeployment, record: Record) -> pd.DataFrame:
    points = [point for point in found.points if len(point.digital) in AROUND]
    chips, sets = range(CHIPS, CHIPS + REPORT_CHIPS), [point.digital for point in points]
    trials = configurations(deployment, parse_time(TIME), chips, sets, found.layers)
    with ready(evaluator, {DEVICE: deployment}, record):
        digital, values = run(beside_digital(trials), evaluator, record, what="all images")
    rows = []
    for point, column in zip(points, values, strict=True):
        shares = {"analog_macs": point.analog_macs, "analog_weights": point.analog_weights}
        own = {"digital_layers": len(point.digital), "layer": point.layer, "kind": point.kind, **shares}
        rows.append(own | column.columns("value") | {"digital": digital, "n_samples": len(evaluator.data)})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    arguments = parser.parse_args()
    start = time.perf_counter()
    model, test = load_model("resnet20", arguments.weights).model, cifar10(arguments.data)
    deployment = Deployment(device=DEVICE, compensation="tile")
    records: dict[tuple[int, int], Record] = {}
    with ExitStack() as opened:

        def on(first: int, end: int) -> tuple[Evaluator, Record]:
            """Return what measures on some images, and where its cells are kept."""
            if (first, end) not in records:
                folder = HERE / "out" / f"images_{first}_to_{end - 1}"
                records[first, end] = opened.enter_context(Record.create_or_open(folder))
            return Evaluator(model, part(test, slice(first, end)), name="resnet20"), records[first, end]

        choose_on, chosen = on(len(test) - IMAGES, len(test))
        figures = {}
        for name, (margin, first) in SEARCHES.items():
            report_on, reported = on(first, first + IMAGES)
            found = choose_digital_layers(
                choose_on,
                report_on,
                deployment,
                TIME,
                target=TARGET,
                chips=CHIPS,
                report_chips=REPORT_CHIPS,
                margin=margin,
                breadth=BREADTH,
                record=chosen,
                report_record=reported,
            )
            write(name, found.table())
            print(found.verdict(), f"({found.searched} sets searched)", flush=True)
            figures[name] = render(draw_curve, found)[1]
        # the second curve around the target once more, on all test images that no layers were chosen on
        everything, record = on(0, len(test) - IMAGES)
        write("all_images", on_all_images(everything, deployment, found, record))
        each = sensitivity(choose_on, deployment, TIME, chips=CHIPS, record=chosen)
        write("layers", each.table())
        first_images, record = on(0, IMAGES)
        why = causes(first_images, deployment, TIME, chips=REPORT_CHIPS, record=record)
        write("causes", why.table())
        figures |= {"layers": render(draw_layers, each)[1], "causes": render(draw_causes, why)[1]}
        for name, png in figures.items():
            (HERE / f"{name}.png").write_bytes(png)
        cells = sum(len(record.cells()) for record in records.values())
        print(f"{cells:,} cells, {(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
