"""The same work on other simulators: IBM aihwkit's two tiles, and Sandia CrossSim where it is installed.

**aihwkit.** Its own layers (:func:`driftproof.to_aihwkit`), noise model, drift compensation and converters, with the
tile size and the scale of weights of the cells. Its default noise model is that of PCM (Nandakumar), so that
programming (``program_analog_weights``), drift (``drift_analog_weights``) and the pass do what a cell does. Static
input ranges have aihwkit's initial value, since no time depends on it.

**CrossSim.** PCM (Joshi) without drift, which its model does not have, and an ideal periphery: its converters want
ranges that are calibrated layer by layer.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from driftproof._conversion import to_aihwkit
from driftproof._conversion.tiles import scaled_by_column
from driftproof._defaults import TILE
from driftproof._errors import DriftproofError
from driftproof._mapping import TileSize
from driftproof.bench._cells import T_S
from driftproof.bench._networks import CONTIGUOUS, Workload
from driftproof.bench._paired import Step
from driftproof.bench._plain import Pass, best_of
from driftproof.periphery import Periphery
from driftproof.periphery._aihwkit_fields import aihwkit_forward, aihwkit_input_range

TORCH_TILE, COMPILED_TILE, CROSSSIM = "aihwkit torch tile", "aihwkit compiled tile", "CrossSim"
SMALL_BATCH = 4
"""A batch size that peers are offered in addition to those of plain passes: CrossSim is fastest there."""


class Peers:
    """The cells of other simulators, each in the batch size that is best for it on the first periphery.

    Args:
        of: The network and its inputs.
    """

    def __init__(self, of: Workload) -> None:
        self._of = of
        self._batch_sizes: dict[str, int] = {}

    def steps(self, periphery: Periphery) -> tuple[dict[str, Step], dict[str, str]]:
        """Return the steps of the peers, and why each other peer is missing.

        Args:
            periphery: Periphery of the arrays.
        """
        makers = {TORCH_TILE: _torch_tile, COMPILED_TILE: _compiled_tile, CROSSSIM: _crosssim}
        steps, missing = {}, {}
        for name, make in makers.items():
            try:
                network, program = make(self._of, periphery)
                if name not in self._batch_sizes:
                    self._batch_sizes[name] = self._best_batch(network, program)
                step = cell(self._of, network, program, self._batch_sizes[name])
                step()
            except DriftproofError as error:
                missing[name] = str(error)
            except Exception as error:  # others' code may raise anything, and must not end an hour of timing
                missing[name] = f"it failed with {type(error).__name__}: {error}"
            else:
                steps[name] = step
        return steps, missing

    def _best_batch(self, network: nn.Module, program: Callable[[], object]) -> int:
        fitting = sorted({min(size, self._of.peer_samples) for size in (SMALL_BATCH, *self._of.plain_batch_sizes)})
        passes = [Pass(CONTIGUOUS, size, cell(self._of, network, program, size)) for size in fitting]
        return best_of(passes, rounds=1)[0].batch_size


def cell(of: Workload, network: nn.Module, program: Callable[[], object], batch_size: int) -> Step:
    """Return a step that programs a new chip and computes some of the inputs. It returns the time for all of them.

    Args:
        of: The network and its inputs.
        network: The network on the peer's layers.
        program: Programs a new chip. Its time is not scaled.
        batch_size: Number of inputs in a batch.
    """
    inputs = torch.split(of.inputs[: of.peer_samples], batch_size)
    scale = len(of.inputs) / of.peer_samples

    @torch.no_grad()
    def step() -> float:
        start = time.perf_counter()
        program()
        programmed = time.perf_counter()
        for batch in inputs:
            network(batch)
        return programmed - start + scale * (time.perf_counter() - programmed)

    return step


def _torch_tile(of: Workload, periphery: Periphery) -> tuple[nn.Module, Callable[[], object]]:
    return _aihwkit(of, periphery, "TorchInferenceRPUConfig")


def _compiled_tile(of: Workload, periphery: Periphery) -> tuple[nn.Module, Callable[[], object]]:
    return _aihwkit(of, periphery, "InferenceRPUConfig")


def _aihwkit(of: Workload, periphery: Periphery, kind: str) -> tuple[nn.Module, Callable[[], object]]:
    """Return a network on aihwkit's tiles, and a function that programs it anew.

    Raises:
        DriftproofError: aihwkit is not installed, does not import, or has no layer for a part of the network.
    """
    try:
        from aihwkit.simulator import configs
    except ImportError as error:
        raise DriftproofError(f"aihwkit does not import ({error}): pip install aihwkit") from error
    config = getattr(configs, kind)()
    for name, value in aihwkit_forward(periphery).items():
        setattr(config.forward, name, type(getattr(config.forward, name))(value))
    for name, value in aihwkit_input_range(periphery).items():
        setattr(config.pre_post.input_range, name, value)
    made = to_aihwkit(of.network, scaled_by_column(config, TileSize(*TILE)), example=of.inputs[:1])
    network: Any = made.model.eval()

    def program() -> None:
        network.program_analog_weights()
        network.drift_analog_weights(T_S)

    return network, program


def _crosssim(of: Workload, periphery: Periphery) -> tuple[nn.Module, Callable[[], object]]:
    """Return a network of CrossSim's layers, and a function that programs it anew.

    Raises:
        DriftproofError: CrossSim is not installed, has no such layers, or the periphery has converters.
    """
    try:
        simulator: Any = importlib.import_module("simulator")
        convert: Any = importlib.import_module("simulator.algorithms.dnn.torch.convert")
    except ImportError as error:
        raise DriftproofError(f"CrossSim (its package simulator) does not import ({error})") from error
    if not periphery.is_ideal:
        raise DriftproofError("CrossSim is timed with an ideal periphery only: its converters want calibrated ranges")
    parameters = simulator.CrossSimParameters()
    parameters.core.style = "BALANCED"
    device = parameters.xbar.device
    device.Rmin, device.infinite_on_off_ratio = 1 / 25e-6, True
    device.programming_error.enable, device.programming_error.model = True, "PCMJoshi"
    network: nn.Module = convert.from_torch(of.network, parameters)
    return network, lambda: convert.reinitialize(network)
