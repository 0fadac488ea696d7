"""What of a network goes on tiles, and do both backends then compute the digital network?

    pip install -e '.[hf,timm]'
    python experiments/architectures/run.py [NAME...]

Writes networks.csv (one row a network) and digital.csv (every weight that multiplies and stays digital, with its
reason) beside this file; names redo only these networks.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[1]))
from architectures.networks import networks

from driftproof import load_preset
from driftproof.chip import Chip
from driftproof.evaluation import FoldedNetwork
from driftproof.evaluation.backends import TilesNetwork
from driftproof.inputs import call, main_output
from driftproof.mapping import map_model, plain_copy

HERE = Path(__file__).parent


def lively(network: nn.Module) -> nn.Module:
    """Give parts that are born as zeros or ones some life, so that mistakes in them show."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
                assert module.running_mean is not None
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
        for parameter in network.parameters():
            if not bool(parameter.any()):
                parameter.normal_(0, 0.05, generator=generator)
    return network.eval()


def off(found: Any, wanted: Tensor) -> float:
    """Largest difference relative to the largest output."""
    return float(f"{float((main_output(found).float() - wanted).abs().max() / wanted.abs().max()):.2g}")


def measure(library: str, name: str, network: nn.Module, inputs: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    network = plain_copy(lively(network))
    with torch.inference_mode():
        wanted = main_output(call(network, inputs)).float()
    start = time.perf_counter()
    mapping = map_model(network, example=inputs)
    ideal = Chip(mapping, load_preset("ideal"), seed=0, chip=0, compensation="none")
    errors = {}
    for backend in ("folded", "tiles"):
        made = FoldedNetwork(network, mapping, inputs) if backend == "folded" else TilesNetwork(network, mapping)
        made.load(ideal, 0.0)
        errors[backend] = off(made(inputs), wanted)
        del made
    layers = mapping.layers
    weights = sum(entry.weights for entry in layers)
    row = {
        "library": library,
        "network": name,
        "weights": weights,
        "analog_weights_percent": round(100 * sum(e.weights for e in layers if e.analog) / weights, 2),
        "analog_macs_percent": round(100 * (mapping.analog_macs or 0), 2),
        "arrays": len(mapping.weights),
        "tiles": sum(entry.tiles for entry in layers),
        "look_up_weights_percent": round(100 * sum(e.weights for e in layers if "look-up" in e.reason) / weights, 2),
        "digital_that_multiply": sum(entry.unasked for entry in layers),
        "digital_without_reason": sum(not e.analog and not e.reason for e in layers),
        "error_folded": errors["folded"],
        "error_tiles": errors["tiles"],
        "seconds": round(time.perf_counter() - start, 1),
    }
    left = [{"network": name, "layer": e.name, "kind": e.kind, "reason": e.reason} for e in layers if e.unasked]
    return row, left


def main() -> None:
    wanted = sys.argv[1:]
    old = pd.read_csv(HERE / "networks.csv").to_dict("records") if wanted else []
    rows: dict[str, dict[Any, Any]] = {row["network"]: row for row in old}
    left: list[dict[Any, Any]] = []
    if wanted:
        left = [row for row in pd.read_csv(HERE / "digital.csv").to_dict("records") if row["network"] not in wanted]
    warnings.simplefilter("ignore")
    for library, name, make, inputs in networks():
        if wanted and name not in wanted:
            continue
        torch.manual_seed(0)
        rows[name], digital = measure(library, name, make(), inputs)
        left += digital
        print(rows[name], flush=True)
    table = pd.DataFrame(rows.values())
    table.to_csv(HERE / "networks.csv", index=False, lineterminator="\n")
    columns = ["network", "layer", "kind", "reason"]
    pd.DataFrame(left, columns=columns).to_csv(HERE / "digital.csv", index=False, lineterminator="\n")
    print(table.to_string())


if __name__ == "__main__":
    main()
