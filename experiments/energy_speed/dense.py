"""How much faster is an update of the dense network with C-EP than plain code? See README.md.

    python experiments/energy_speed/dense.py --data ROOT

Both make the same updates of 784-1024-10 on batches of 16 MNIST images, in float32 and in one thread, without gradients
of torch. The plain code computes one product for each edge in each iteration, and one phase after the other.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
from energy_algorithms.trainings import TASKS  # noqa: E402  # a folder beside this one

from driftproof.energy import CenteredEP  # noqa: E402

TASK = TASKS["dense-mnist"]
RATE = float(TASK.settings["lr"])
BATCH, UPDATES, ROUNDS, TRAINING_IMAGES = 16, 100, 9, 60_000


@torch.no_grad()
def plain_update(weights: list[Tensor], biases: list[Tensor], state: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Make one update in place, and return the free state of the hidden layer."""
    output = torch.zeros_like(y)

    def relax(s: Tensor, o: Tensor, n: float) -> tuple[Tensor, Tensor]:
        for _ in range(15):
            s = (x @ weights[0].t() + biases[0] + o @ weights[1]).clamp(0, 1)
            o = (s @ weights[1].t() + biases[1] + n * y) / (1 + n)
        return s, o

    def derivatives(s: Tensor, o: Tensor) -> list[Tensor]:
        return [-(s.t() @ x) / len(x), -s.mean(0), -(o.t() @ s) / len(x), -o.mean(0)]

    free, output = relax(state, output, 0.0)
    low, high = (derivatives(*relax(free, output, n)) for n in (-TASK.beta, TASK.beta))
    for parameter, a, b in zip((weights[0], biases[0], weights[1], biases[1]), low, high, strict=True):
        parameter -= RATE * (b - a) / (2 * TASK.beta)
    return free


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with MNIST/raw")
    options = parser.parse_args()
    torch.set_num_threads(1)
    inputs, classes = next(iter(TASK.images(options.data, "train").head(BATCH * UPDATES).batches(BATCH * UPDATES)))
    assert isinstance(inputs, Tensor)
    images, targets = torch.split(inputs.flatten(1), BATCH), torch.split(one_hot(classes, 10).float(), BATCH)
    torch.manual_seed(0)
    network = TASK.untrained()
    weights = [network.edge(n).weight.detach().clone() for n in range(2)]
    biases = [network.edge(n).bias.detach().clone() for n in range(2)]
    method = CenteredEP(beta=TASK.beta, perturbed_iterations=TASK.perturbed, start="zero")
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)

    def ours() -> None:
        for x, y in zip(images, targets, strict=True):
            method.step(lambda x=x, y=y: (network(x) - y).square().sum() / (2 * len(x)), network, optimizer)  # type: ignore[misc]

    def plain() -> None:
        for x, y in zip(images, targets, strict=True):
            plain_update(weights, biases, torch.zeros(BATCH, 1024), x, y)

    ours()
    plain()
    apart = max(float((network.edge(n).weight.detach() - weights[n]).abs().max()) for n in range(2))
    assert apart < 1e-3, f"the weights are {apart} apart after {UPDATES} updates"
    seconds: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS):
        for name, work in (("ours", ours), ("plain", plain)):
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    ratios = sorted(b / a for a, b in zip(seconds["ours"], seconds["plain"], strict=True))
    epoch = TRAINING_IMAGES / BATCH / UPDATES
    row = {f"{name}, s per epoch": round(epoch * statistics.median(of), 1) for name, of in seconds.items()}
    # of nine, the second smallest and the second largest enclose the median with 96 % confidence
    row |= {"ratio": ratios[ROUNDS // 2], "low": ratios[1], "high": ratios[-2], "apart": apart}
    table = pd.DataFrame([row]).round(6)
    table.to_csv(HERE / "dense.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
