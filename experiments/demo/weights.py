"""Train the demo's plain network and write its weights, which driftproof ships as digits-resnet."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from driftproof.zoo import save_weights

sys.path.append(str(Path(__file__).parents[1]))

from demo.run import plain

WEIGHTS = Path(__file__).parents[2] / "src/driftproof/zoo/digits_resnet.safetensors"

if __name__ == "__main__":
    torch.set_num_threads(1)
    save_weights(plain(seed=0), WEIGHTS)
