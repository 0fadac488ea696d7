"""A classifier of ten clusters in 48 dimensions: network, data, and the training that an architect was given."""

import sys

import torch
from sklearn.datasets import make_classification
from torch import nn

inputs, labels = (
    torch.tensor(part)
    for part in make_classification(
        6000, n_features=48, n_informative=24, n_classes=10, n_clusters_per_class=2, class_sep=1.6, random_state=0
    )
)
inputs = (inputs / inputs.std(dim=0)).float()


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(48, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def test_set() -> tuple[torch.Tensor, torch.Tensor]:
    return inputs[5000:], labels[5000:]


def calibration() -> tuple[torch.Tensor, torch.Tensor]:
    return inputs[:500], labels[:500]  # the labels are not used


if __name__ == "__main__":
    torch.manual_seed(0)
    network = net()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(30):
        for batch in torch.randperm(5000).split(100):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(inputs[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.save(network.state_dict(), sys.argv[1])
