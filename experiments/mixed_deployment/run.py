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

from driftproof.data import cifar10
from driftproof.deployment import Cells, Conditions, causes, choose_digital_layers, part, sensitivity
from driftproof.deployment.figures import draw_causes, draw_curve, draw_layers
from driftproof.reporting.figures import render
from driftproof.zoo import load_model

HERE = Path(__file__).parent
DEVICE, TIME, TARGET = "pcm-nandakumar-2019", "1y", 90.0
IMAGES, CHIPS, REPORT_CHIPS = 2000, 10, 25
BREADTH = 6
# name of the curve → margin of its search, first test image that it is reported on; the second search has as margin
# what the first lost between search and report, and other images
SEARCHES = {"curve_margin_0.3": (0.3, 0), "curve": (0.7, 2000)}


def write(name: str, table: pd.DataFrame) -> None:
    table.round(4).to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")
    print(table.to_string(index=False), flush=True)


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
