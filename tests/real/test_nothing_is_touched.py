"""Whatever is called, and whether it works or fails: the user's network, data and global states stay bit for bit.

``method.step`` and ``train`` are for changing a network (the latter a copy): what they leave is in
``test_training_leaves.py``.
"""

from __future__ import annotations

import importlib
import inspect
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.data import Dataset

import driftproof as dp
from driftproof._random_state import random_state_kept
from driftproof.analysis import loss_surface, measure_bound
from driftproof.arrays import input_ranges
from driftproof.evaluation import FoldedNetwork, TilesNetwork
from driftproof.periphery import StaticRange, load_periphery
from driftproof.plans import causes, choose_digital_layers, sensitivity
from driftproof.training import Method
from driftproof.zoo import save_weights
from real.networks import CLASSES, KINDS, ODD, SAMPLES, Given, given

DEVICE = "pcm-nandakumar-2019"
PACKAGES = ("analysis", "arrays", "data", "evaluation", "figures", "fitting", "measured", "periphery", "plans", "zoo")


def numbers(value: Tensor) -> bytes:
    value = value.detach()
    return (value.to_dense() if value.is_sparse else value).contiguous().numpy().tobytes()


def of_value(value: Any) -> Any:
    """Return what a user could see of an attribute, with the tensors in lists and dicts."""
    if isinstance(value, Tensor):
        grad = value.grad if value.is_leaf else None
        seen = (id(value), numbers(value), value.requires_grad, value.dtype, value.is_leaf, value.is_inference())
        return *seen, None if grad is None else (id(grad), numbers(grad))
    if isinstance(value, list | tuple):
        return id(value), [of_value(part) for part in value]
    if isinstance(value, dict):
        return id(value), {key: of_value(part) for key, part in value.items()}
    return value if isinstance(value, bool | int | float | str | None) else id(value)


def of_network(network: nn.Module) -> dict[str, Any]:
    """Return everything that a user could see of a network: all attributes, with parameters, buffers and hooks."""
    seen: dict[str, Any] = {}
    for path, module in network.named_modules():
        seen[f"{path} is"] = (id(module), type(module))
        seen |= {f"{path}.{name}": of_value(value) for name, value in vars(module).items()}
    return seen


def of_process() -> dict[str, Any]:
    """Return the global states that a user may have set."""
    legacy = np.random.get_state()  # noqa: NPY002
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": (legacy[1].tobytes(), legacy[2]),
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
    with torch.no_grad(), random_state_kept():  # a call of the user's own
        chip.model(user.inputs.clone()) if isinstance(user.inputs, Tensor) else chip.model(**user.inputs)
    dp.save(chip, folder / "chip")
    dp.load(folder / "chip", user.network)


def convert_with_periphery(user: Given, _: Path) -> None:
    static = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
    dp.convert(user.network, DEVICE, example=example(user), periphery=static)


def evaluate(user: Given, folder: Path, **options: Any) -> None:
    data = (user.inputs, user.targets)
    dp.evaluate(user.network, data, presets=DEVICE, times="1s", chips=1, batch_size=10, **options)


def evaluate_on_calibrated_tiles(user: Given, folder: Path) -> None:
    static = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
    evaluate(user, folder, backend="tiles", periphery=static, calibration=(user.inputs, user.targets))


def evaluate_recalibrated(user: Given, folder: Path) -> None:
    evaluate(user, folder, recalibrate=dp.Recalibration((user.inputs, user.targets), when="time"))


def trial(user: Given, _: Path) -> None:
    evaluator = dp.Evaluator(user.network, (user.inputs, user.targets)).on((user.inputs, user.targets))
    deployment = dp.Deployment(device="gaussian:0.1")
    evaluator.check(deployment)
    evaluator(dp.Trial(deployment), samples=[3, 7])
    assert evaluator.subject.n_samples == SAMPLES


def plans(user: Given, _: Path) -> None:
    evaluator = dp.Evaluator(user.network, (user.inputs, user.targets))
    deployment = dp.Deployment(device="gaussian:0.1")
    sensitivity(evaluator, deployment, "1s", chips=2)
    causes(evaluator, deployment, "1s", chips=2)
    choose_digital_layers(evaluator, evaluator, deployment, "1s", target=0.0, chips=2, report_chips=2)


def validate(user: Given, _: Path) -> None:
    dp.ChipValidation(data=(user.inputs, user.targets), preset="gaussian:0.1", chips=1)(user.network)


def backends(user: Given, _: Path) -> None:
    mapping = dp.MappingOptions().map(user.network, example(user))
    chip = dp.Chip(mapping, dp.load_preset(DEVICE), seed=0, chip=0, compensation="none")
    static = load_periphery("standard").with_changes(input_range=StaticRange(method="maximum"))
    input_ranges(user.network, mapping, static, [example(user)])
    for backend in (FoldedNetwork(user.network, mapping, example(user)), TilesNetwork(user.network, mapping)):
        backend.load(chip, 0.0)
        backend(example(user))


def surface(user: Given, _: Path) -> None:
    loss_surface(user.network, (user.inputs, user.targets), "gaussian:0.1", points=3)


def bound(user: Given, _: Path) -> None:
    measure_bound(user.network, user.network, (user.inputs, user.targets), draws=1)


CALLS: dict[str, Callable[[Given, Path], object]] = {
    "map": lambda user, _: dp.map_model(user.network, example=example(user)),
    "map without an example": lambda user, _: dp.map_model(user.network),
    "convert, program, save, load": convert,
    "convert without an example": lambda user, _: dp.convert(user.network, DEVICE),
    "convert with a periphery": convert_with_periphery,
    "export": lambda user, _: dp.to_aihwkit(user.network, example=example(user)),
    "evaluate, folded": evaluate,
    "evaluate, tiles": partial(evaluate, backend="tiles"),
    "evaluate, a periphery": partial(evaluate, periphery="standard"),
    "evaluate, calibrated tiles": evaluate_on_calibrated_tiles,
    "evaluate, recalibrated": evaluate_recalibrated,
    "trial": trial,
    "plans": plans,
    "validate": validate,
    "backends": backends,
    "surface": surface,
    "bound": bound,
    "weights": lambda user, folder: save_weights(user.network, folder / "weights.safetensors"),
}
WITHOUT_A_PASS = ("map without an example", "convert without an example", "weights")
"""Calls that do not run the network."""
CALLED = {
    *("map_model", "convert", "load", "to_aihwkit", "evaluate", "Evaluator", "ChipValidation", "MappingOptions"),
    *("Deployment", "run", "sensitivity", "causes", "choose_digital_layers", "FoldedNetwork", "TilesNetwork"),
    *("input_ranges", "loss_surface", "measure_bound", "save_weights"),
}
"""Public names that take a network, or an evaluator of one, and are called above; ``run`` is called by each plan."""
ELSEWHERE = {
    **dict.fromkeys(("train", "Method", "Distillation", "OnTiles"), "test_training_leaves.py"),
    "from_aihwkit": "tests/from_aihwkit",
    **dict.fromkeys(("AnalogModel", "ProgrammedChip", "Training"), "results, which only the package makes"),
}


def takes_a_network(thing: Any) -> bool:
    """Return whether a public function, or a public method of a class, takes a network or an evaluator."""
    methods = [
        part for name, part in vars(thing).items() if not name.startswith("_") or name in ("__init__", "__call__")
    ]
    functions = [part for part in methods if inspect.isfunction(part)] if inspect.isclass(thing) else [thing]
    kinds = [p.annotation for f in functions if callable(f) for p in inspect.signature(f).parameters.values()]
    return any(word in str(kind) for kind in kinds for word in ("nn.Module", "Evaluator"))


def test_every_public_function_that_takes_a_network_is_called_here() -> None:
    packages = [dp, *(importlib.import_module(f"driftproof.{name}") for name in PACKAGES)]
    things = {name: getattr(package, name) for package in packages for name in package.__all__}
    found = {name for name, thing in things.items() if callable(thing) and takes_a_network(thing)}
    assert "evaluate" in found
    assert found - CALLED - ELSEWHERE.keys() - {kind.__name__ for kind in Method.__subclasses__()} == set()


def prepared(kind: str) -> Given:
    """Return a network that has been trained: it has gradients, and holds results with a graph."""
    user = given(kind)
    inputs = user.inputs.clone() if isinstance(user.inputs, Tensor) else user.inputs
    outputs = user.network(inputs) if isinstance(inputs, Tensor) else user.network(**inputs)["logits"]
    outputs.square().sum().backward()
    random.seed(1)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(3)
    return user


@pytest.mark.parametrize("kind", KINDS | ODD)
@pytest.mark.parametrize("call", CALLS)
def test_nothing_of_the_users_is_changed(kind: str, call: str, tmp_path: Path) -> None:
    user = prepared(kind)
    with untouched(user), warnings.catch_warnings():
        warnings.simplefilter("ignore", dp.DriftproofWarning)
        with suppress(dp.DriftproofError):  # a refusal must not change anything either
            CALLS[call](user, tmp_path)


def test_a_report_changes_nothing(tmp_path: Path) -> None:
    user = prepared("linear layers and dropout")
    with untouched(user):
        record = dp.evaluate(
            user.network, (user.inputs, user.targets), presets=DEVICE, times="1s", chips=1, out=tmp_path
        )
        dp.report(record, tmp_path)
        dp.summarise(record)


class Augmented(Dataset[Any]):
    """Draws from all global random states whenever a sample is read. Its inputs are not tensors only."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, number: int) -> dict[str, Any]:
        noise = torch.rand(6) + np.random.rand() + random.random()  # noqa: NPY002
        return {"x": number / 20 + 0.01 * noise, "name": f"sample {number}", "labels": number % CLASSES}


class Named(nn.Module):
    """Takes the names of the samples, too."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor, name: list[str]) -> Tensor:
        y: Tensor = self.layer(x)
        return y


def test_data_that_draw_leave_the_random_states_alone() -> None:
    torch.manual_seed(0)
    user = Given(Named().eval(), torch.zeros(1), torch.zeros(1))
    data = Augmented()
    with untouched(user):
        dp.evaluate(user.network, data, presets="gaussian:0.1", times="1s", chips=1)
        evaluator = dp.Evaluator(user.network, data)
        deployment = dp.Deployment(device="gaussian:0.1", calibration=data, periphery="standard")
        sensitivity(evaluator, deployment, "1s", chips=2)
        dp.ChipValidation(data=data, preset="gaussian:0.1", chips=1)(user.network)


class Fails(RuntimeError):
    """What a network of a user raises."""


@pytest.mark.parametrize("kind", KINDS | ODD)
@pytest.mark.parametrize("call", [call for call in CALLS if call not in WITHOUT_A_PASS])
def test_nothing_is_changed_if_the_network_fails(kind: str, call: str, tmp_path: Path) -> None:
    for at in (0, 1, 4):
        check_a_failure(kind, call, at, tmp_path / str(at))


def check_a_failure(kind: str, call: str, at: int, folder: Path) -> None:
    """Fail if anything is changed by a call in which the network fails after some passes."""
    user, passes = prepared(kind), 0

    def fail(module: nn.Module, args: object, output: object) -> None:
        nonlocal passes
        passes += 1
        if passes > at:  # the pass has done what it does to inputs and attributes
            random.random()
            np.random.rand()  # noqa: NPY002
            torch.rand(1)
            raise Fails

    inner = user.network.module if isinstance(user.network, nn.DataParallel) else user.network
    inner.register_forward_hook(fail)
    with untouched(user), warnings.catch_warnings():
        warnings.simplefilter("ignore", dp.DriftproofWarning)
        with suppress(dp.DriftproofError, Fails):
            CALLS[call](user, folder)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("call", ["convert, program, save, load", "evaluate, folded", "evaluate, tiles"])
def test_the_users_autograd_mode_is_kept(mode: Callable[[], Any], call: str, tmp_path: Path) -> None:
    user = prepared("convolution and BatchNorm")
    with mode(), untouched(user):
        CALLS[call](user, tmp_path)
