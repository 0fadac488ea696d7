"""What a user of aihwkit has: a network that was trained on analog layers, and the file of its state."""

import sys

import torch
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters.enums import WeightModifierType
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch import nn

inputs, labels = load_wine(return_X_y=True)
inputs = torch.tensor(StandardScaler().fit_transform(inputs), dtype=torch.float32)
order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
inputs, labels = inputs[order], torch.tensor(labels)[order]


def config() -> InferenceRPUConfig:
    rpu_config = InferenceRPUConfig(noise_model=PCMLikeNoiseModel(prog_noise_scale=1.5))
    rpu_config.modifier.type, rpu_config.modifier.std_dev = WeightModifierType.ADD_NORMAL, 0.1
    rpu_config.mapping.weight_scaling_omega = 1.0
    rpu_config.mapping.weight_scaling_columnwise = True
    return rpu_config


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(13, 32), nn.Tanh(), nn.Linear(32, 3))


if __name__ == "__main__":
    torch.manual_seed(0)
    analog = convert_to_analog(net(), config())
    optimizer = AnalogSGD(analog.parameters(), lr=0.1)
    optimizer.regroup_param_groups(analog)
    for _ in range(60):
        for batch in torch.arange(100).split(20):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            nn.functional.cross_entropy(analog(inputs[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.save(analog.state_dict(), sys.argv[1])
