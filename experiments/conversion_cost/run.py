"""How much time and memory does converting a transformer of 110 million parameters take?

    pip install -e '.[hf]'
    python experiments/conversion_cost/run.py            # costs.csv

The network is BERT base with random weights; its example inputs are two sentences of 32 tokens. Each backend runs in a
separate process.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
COLUMNS = ("backend", "parameters", "seconds_mapping", "seconds", "peak_memory_over_weights")


def resident() -> int:
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Peak:
    """Samples the memory of this process every 5 ms."""

    def __init__(self) -> None:
        self.start = self.most = resident()
        self.going = True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self) -> None:
        while self.going:
            self.most = max(self.most, resident())
            time.sleep(0.005)

    def stop(self) -> int:
        self.going = False
        self.thread.join()
        return self.most - self.start


def measure(backend: str) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    from driftproof import map_model
    from driftproof.evaluation import FoldedNetwork, TilesNetwork

    torch.manual_seed(0)
    network: torch.nn.Module = BertForSequenceClassification(BertConfig())
    network.eval()
    example = {"input_ids": torch.randint(1, 30000, (2, 32))}
    with torch.inference_mode():
        network(**example)  # the memory that torch keeps after a first pass is not part of the conversion
    parameters = sum(p.numel() for p in network.parameters())
    peak, start = Peak(), time.perf_counter()
    mapping = map_model(network, example=example)
    mapped = time.perf_counter()
    analog = FoldedNetwork(network, mapping, example) if backend == "folded" else TilesNetwork(network, mapping)
    end = time.perf_counter()
    assert analog is not None
    row = (backend, parameters, f"{mapped - start:.1f}", f"{end - start:.1f}", f"{peak.stop() / (4 * parameters):.2f}")
    csv.writer(sys.stdout).writerow(row)


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    rows = [
        subprocess.run([sys.executable, __file__, backend], capture_output=True, text=True, check=True).stdout.strip()
        for backend in ("folded", "tiles")
    ]
    text = "\n".join([",".join(COLUMNS), *rows, ""])
    (HERE / "costs.csv").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
