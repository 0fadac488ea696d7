"""Whatever is called, and whether it works or fails: the user's network, data and global states stay bit for bit.

``method.step`` and ``train`` are for changing a network (the latter a copy): what they leave is in
``test_training_leaves.py``.
"""

from __future__ import annotations

import random
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import driftproof as dp
from driftproof.evaluation import FoldedNetwork, TilesNetwork
from driftproof.plans import causes, choose_digital_layers, sensitivity
from real.networks import KINDS, Given, given

DEVICE = "pcm-nandakumar-2019"


def numbers(value: Tensor) -> bytes:
    value = value.detach()
    return (value.to_dense() if value.is_sparse else value).contiguous().numpy().tobytes()


def of_network(network: nn.Module) -> dict[str, Any]:
    """Return everything that a user could see of a network."""
    seen: dict[str, Any] = {}
    for path, module in network.named_modules():
        seen[f"{path} module"] = (id(module), type(module), module.training)
        seen[f"{path} hooks"] = [
            tuple(hooks) for name, hooks in vars(module).items() if name.endswith("_hooks") and hooks is not None
        ]
        for name, value in {**vars(module), **module._parameters, **module._buffers}.items():
            if isinstance(value, Tensor):
                seen[f"{path}.{name}"] = (id(value), numbers(value), value.requires_grad, value.dtype, value.is_leaf)
                seen[f"{path}.{name}.grad"] = None if value.grad is None or not value.is_leaf else numbers(value.grad)
            elif isinstance(value, bool | int | float | str):
                seen[f"{path}.{name}"] = value
        seen[f"{path} names"] = sorted(name for name in vars(module) if not name.startswith("__"))
    return seen


def of_process() -> dict[str, Any]:
    """Return the global states that a user may have set."""
    legacy = np.random.get_state()  # noqa: NPY002
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": (legacy[1].tobytes(), legacy[2]),  # type: ignore[index, union-attr]
        "Python's random state": random.getstate(),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "signals": [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)],
        "directory": Path.cwd(),
    }


@contextmanager
def untouched(user: Given) -> Iterator[None]:
    """Fail if anything of the user's is not as it was."""
    tensors = [leaf for leaf in tree_leaves((user.inputs, user.targets)) if isinstance(leaf, Tensor)]
    before = of_network(user.network), [numbers(part) for part in tensors], of_process()
    yield
    network, process = of_network(user.network), of_process()
    assert [key for key in {**before[0], **network} if before[0].get(key) != network.get(key)] == []
    assert [numbers(part) for part in tensors] == before[1]
    assert [key for key in process if process[key] != before[2][key]] == []


def example(user: Given) -> Any:
    return {k: v[:8] for k, v in user.inputs.items()} if isinstance(user.inputs, dict) else user.inputs[:8]


def convert(user: Given, folder: Path) -> None:
    analog = dp.convert(user.network, DEVICE, example=example(user))
    chip = dp.program(analog).drift("1d")
    with torch.no_grad():
        chip.model(user.inputs.clone()) if isinstance(user.inputs, Tensor) else chip.model(**user.inputs)
    dp.save(chip, folder / "chip")
    dp.load(folder / "chip", user.network)
    dp.to_aihwkit(user.network, example=example(user))


def evaluate(user: Given, folder: Path, backend: str = "folded") -> None:
    data = (user.inputs, user.targets)
    record = dp.evaluate(user.network, data, presets=DEVICE, times="1s", chips=1, backend=backend, out=folder / backend)  # type: ignore[arg-type]
    dp.report(record, folder / backend)
    dp.summarise(record)


def plans(user: Given, folder: Path) -> None:
    data = (user.inputs, user.targets)
    evaluator = dp.Evaluator(user.network, data)
    deployment = dp.Deployment(device=DEVICE)
    sensitivity(evaluator, deployment, "1s", chips=2)
    causes(evaluator, deployment, "1s", chips=2)
    choose_digital_layers(evaluator, evaluator, deployment, "1s", target=0.0, chips=2, report_chips=2)


def backends(user: Given, folder: Path) -> None:
    mapping = dp.map_model(user.network, example=example(user))
    chip = dp.Chip(mapping, dp.load_preset(DEVICE), seed=0, chip=0, compensation="none")
    for backend in (FoldedNetwork(user.network, mapping, example(user)), TilesNetwork(user.network, mapping)):
        backend.load(chip, 0.0)
        backend(example(user))


CALLS: dict[str, Callable[[Given, Path], None]] = {
    "map": lambda user, _: dp.map_model(user.network, example=example(user)),  # type: ignore[dict-item]
    "map without an example": lambda user, _: dp.map_model(user.network),  # type: ignore[dict-item]
    "convert, program, save, load, export": convert,
    "evaluate, folded": evaluate,
    "evaluate, tiles": lambda user, folder: evaluate(user, folder, "tiles"),
    "plans": plans,
    "backends": backends,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
def test_nothing_of_the_users_is_changed(kind: str, call: str, tmp_path: Path) -> None:
    user = given(kind)
    with untouched(user), warnings.catch_warnings():
        warnings.simplefilter("ignore", dp.DriftproofWarning)
        with suppress(dp.DriftproofError):  # a refusal must not change anything either
            CALLS[call](user, tmp_path)


class Fails(RuntimeError):
    """What a network of a user raises."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("at", [0, 1, 3])
def test_nothing_is_changed_if_the_network_fails(kind: str, call: str, at: int, tmp_path: Path) -> None:
    user = given(kind)
    passes = 0

    def fail(module: nn.Module, args: object) -> None:
        nonlocal passes
        passes += 1
        if passes > at:
            raise Fails

    inner = user.network.module if isinstance(user.network, nn.DataParallel) else user.network
    inner.register_forward_pre_hook(fail)
    with untouched(user), warnings.catch_warnings():
        warnings.simplefilter("ignore", dp.DriftproofWarning)
        with suppress(dp.DriftproofError, Fails):
            CALLS[call](user, tmp_path)
