"""Which layers of ResNet-20 must be digital to restore 90 % on PCM after a year? See README.md.

    python experiments/mixed_deployment/run.py --data ROOT --weights resnet20-12fca82f.th

Every measured cell goes to out/cells.csv, so that a stopped run goes on. Tables and figures are written beside this
file.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd
from torch import nn

from driftproof.data import Data, cifar10
from driftproof.deployment import (
    Cells,
    Conditions,
    MixedDeployment,
    MixedNetwork,
    PerChip,
    causes,
    choose_digital_layers,
    part,
    sensitivity,
)
from driftproof.deployment.figures import draw_causes, draw_curve, draw_layers
from driftproof.reporting.figures import render
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


def on_all_images(
    model: nn.Module, data: Data, found: MixedDeployment, conditions: Conditions, cells: Cells
) -> pd.DataFrame:
    mixed = MixedNetwork(model, data, conditions, cells)
    digital = mixed.digital(data)
    points = [point for point in found.points if len(point.digital) in AROUND]
    chips = range(CHIPS, CHIPS + REPORT_CHIPS)
    values = mixed.measure(DEVICE, TIME, data, chips=chips, configurations=[point.digital for point in points])
    rows = []
    for point, column in zip(points, values.T, strict=True):
        shares = {"analog_macs": point.analog_macs, "analog_weights": point.analog_weights}
        own = {"digital_layers": len(point.digital), "layer": point.layer, "kind": point.kind, **shares}
        rows.append(own | PerChip.of(column).columns("value") | {"digital": digital, "n_samples": len(data)})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    arguments = parser.parse_args()
    start = time.perf_counter()
    model = load_model("resnet20", arguments.weights).model
    test = cifar10(arguments.data)
    choose_on = part(test, slice(len(test) - IMAGES, len(test)))
    cells, conditions = Cells(HERE / "out" / "cells.csv"), Conditions(compensation="tile")

    figures = {}
    for name, (margin, first) in SEARCHES.items():
        found = choose_digital_layers(
            model,
            choose_on,
            part(test, slice(first, first + IMAGES)),
            DEVICE,
            TIME,
            target=TARGET,
            chips=CHIPS,
            report_chips=REPORT_CHIPS,
            margin=margin,
            breadth=BREADTH,
            conditions=conditions,
            cells=cells,
        )
        write(name, found.table())
        print(found.verdict(), f"({found.searched} sets searched)", flush=True)
        figures[name] = render(draw_curve, found)[1]
    # the second curve around the target once more, on all test images that no layers were chosen on
    write("all_images", on_all_images(model, part(test, slice(0, len(test) - IMAGES)), found, conditions, cells))
    each = sensitivity(model, choose_on, DEVICE, TIME, chips=CHIPS, conditions=conditions, cells=cells)
    write("layers", each.table())
    why = causes(
        model, part(test, slice(0, IMAGES)), DEVICE, TIME, chips=REPORT_CHIPS, conditions=conditions, cells=cells
    )
    write("causes", why.table())
    figures |= {"layers": render(draw_layers, each)[1], "causes": render(draw_causes, why)[1]}
    for name, png in figures.items():
        (HERE / f"{name}.png").write_bytes(png)
    print(f"{len(cells):,} cells, {(time.perf_counter() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
