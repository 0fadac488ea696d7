"""Which weights of a network go on tiles, and do both backends then compute the outputs of the digital network?

    pip install -e '.[hf,timm]'
    python experiments/architectures/run.py [NAME...]

The script writes networks.csv (one row per network) and digital.csv (every weight that multiplies but stays digital,
with its reason) beside this file. With names, it measures only these networks and keeps the other rows.
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

from driftproof import Chip, load_preset, map_model
from driftproof.evaluation import FoldedNetwork, TilesNetwork

HERE = Path(__file__).parent


def lively(network: nn.Module) -> nn.Module:
    """Fill parameters that are initialised to zeros or ones with random numbers, so that mistakes in them show."""
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


def main_output(outputs: Any) -> Tensor:
    """Return the logits of a network's outputs, or else the first tensor among them."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    parts = list(outputs.values()) if hasattr(outputs, "values") else list(outputs)
    logits = getattr(outputs, "logits", None)
    return next(part.float() for part in (logits, *parts) if isinstance(part, Tensor))


def relative_error(outputs: Any, expected: Tensor) -> float:
    """Return the largest difference, relative to the largest output."""
    return float(f"{float((main_output(outputs) - expected).abs().max() / expected.abs().max()):.2g}")


def measure(library: str, name: str, network: nn.Module, inputs: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a network's row, and a row for each weight that multiplies but stays digital unasked."""
    network = lively(network)
    with torch.inference_mode():
        expected = main_output(network(**inputs) if isinstance(inputs, dict) else network(inputs))
    start = time.perf_counter()
    mapping = map_model(network, example=inputs)
    ideal = Chip(mapping, load_preset("ideal"), seed=0, chip=0, compensation="none")
    errors = {}
    for backend in ("folded", "tiles"):
        analog = FoldedNetwork(network, mapping, inputs) if backend == "folded" else TilesNetwork(network, mapping)
        analog.load(ideal, 0.0)
        errors[backend] = relative_error(analog(inputs), expected)
        del analog
    layers = mapping.layers
    weights = sum(entry.weights for entry in layers)
    row = {
        "library": library,
        "network": name,
        "weights": weights,
        "analog_weights_percent": round(100 * sum(e.weights for e in layers if e.analog) / weights, 2),
        "analog_macs_percent": _percent(mapping.analog_macs),
        "analog_macs_with_weights_percent": _percent(mapping.analog_macs_with_weights),
        "arrays": len(mapping.weights),
        "tiles": sum(entry.tiles for entry in layers),
        "look_up_weights_percent": round(100 * sum(e.weights for e in layers if "look-up" in e.reason) / weights, 2),
        "digital_that_multiply": sum(entry.unasked for entry in layers),
        "digital_without_reason": sum(not e.analog and not e.reason for e in layers),
        "error_folded": errors["folded"],
        "error_tiles": errors["tiles"],
        "seconds": round(time.perf_counter() - start, 1),
    }
    digital = [{"network": name, "layer": e.name, "kind": e.kind, "reason": e.reason} for e in layers if e.unasked]
    return row, digital


def _percent(share: float | None) -> float | None:
    """Return a share in percent; None if the multiply-accumulates cannot all be counted."""
    return None if share is None else round(100 * share, 2)


def main() -> None:
    chosen = sys.argv[1:]
    rows: dict[str, dict[Any, Any]] = {}
    digital: list[dict[Any, Any]] = []
    if chosen:
        rows = {row["network"]: row for row in pd.read_csv(HERE / "networks.csv").to_dict("records")}
        digital = [row for row in pd.read_csv(HERE / "digital.csv").to_dict("records") if row["network"] not in chosen]
    warnings.simplefilter("ignore")
    for library, name, make, inputs in networks():
        if chosen and name not in chosen:
            continue
        torch.manual_seed(0)
        rows[name], unasked = measure(library, name, make(), inputs)
        digital += unasked
        print(rows[name], flush=True)
    table = pd.DataFrame(rows.values())
    table.to_csv(HERE / "networks.csv", index=False, lineterminator="\n")
    columns = ["network", "layer", "kind", "reason"]
    pd.DataFrame(digital, columns=columns).to_csv(HERE / "digital.csv", index=False, lineterminator="\n")
    print(table.to_string())


if __name__ == "__main__":
    main()
