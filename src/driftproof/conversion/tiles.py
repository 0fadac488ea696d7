"""Layers on IBM aihwkit's torch-based tiles. aihwkit is imported here, in ``health`` and ``export_aihwkit``.

aihwkit's tile is held, never subclassed: our noise stands behind the interface of aihwkit's noise models, one object
per tile, attached *after* the layer is made (aihwkit copies configurations tile by tile). aihwkit's own drift
compensation is off: α is measured once, by :mod:`driftproof.compensation`, and set as the tile's digital output scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from driftproof.arrays import AnalogArray, ArrayReading
from driftproof.chip import Chip
from driftproof.conversion.grid import TileGrid
from driftproof.errors import DriftproofError
from driftproof.mapping import MappedWeight, TileSize
from driftproof.periphery import Periphery, aihwkit_forward, aihwkit_input_range


def tile_config(tile: TileSize, periphery: Periphery | None = None) -> Any:
    """Return the configuration of aihwkit's tile with column-wise scales; with wire drop, of its compiled tile.

    Args:
        tile: largest crossbar.
        periphery: what is around it; ideal unless said. Its noise is ours, and comes in between (``NoisySum``), but for
            the compiled tile, which draws its own.

    Raises:
        DriftproofError: if aihwkit is not installed or does not import.
    """
    try:
        from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
    except ImportError as error:
        raise DriftproofError(
            f"the tiles backend needs aihwkit, which does not import: {error}. Install it (pip install aihwkit), "
            "or use the folded backend, which does without it"
        ) from error
    compiled = periphery is not None and periphery.wire_drop is not None
    config = InferenceRPUConfig() if compiled else TorchInferenceRPUConfig()
    if periphery is None or periphery.is_ideal:
        config.forward.is_perfect = True
    else:
        for name, value in aihwkit_forward(periphery if compiled else periphery.without_noise()).items():
            setattr(config.forward, name, type(getattr(config.forward, name))(value))
        for name, value in aihwkit_input_range(periphery).items():
            setattr(config.pre_post.input_range, name, value)
    config.drift_compensation = None
    config.mapping.digital_bias = True
    config.mapping.weight_scaling_omega = 1.0
    config.mapping.weight_scaling_columnwise = True
    config.mapping.learn_out_scaling = False
    config.mapping.max_input_size = tile.rows
    config.mapping.max_output_size = tile.columns
    return config


@dataclass
class LayerNoise:
    """What the tiles of one layer share: the chip they belong to and its latest reading."""

    name: str
    chip: Chip | None = None
    start: Tensor | None = None
    reading: ArrayReading | None = None
    t_s: float = -1.0

    def read(self, t_s: float) -> ArrayReading:
        """Return the layer at a time, computed once for all its tiles."""
        assert self.chip is not None
        if self.reading is None or self.t_s != t_s:
            self.reading, self.t_s = self.chip.read(self.name, t_s), t_s
        return self.reading


class TileNoise:
    """Our device noise behind the interface of aihwkit's noise models, for one tile."""

    def __init__(self, layer: LayerNoise, mapped: MappedWeight, rows: slice, columns: slice) -> None:
        self.layer, self.rows, self.columns = layer, rows, columns
        self.target = mapped.target[columns, rows]

    def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[Any]]:
        """Return what the tile multiplies by when programming has ended (no drift, no read noise).

        Raises:
            RuntimeError: if aihwkit's tile does not hold the weights that :mod:`driftproof.mapping` put there.
        """
        assert self.layer.chip is not None
        gap = float((weights.to(self.target.device) - self.target).abs().max())
        if not gap <= 1e-5:
            raise RuntimeError(
                f"layer {self.layer.name}: the tile holds other weights than mapping gave it (off by {gap:.3g})"
            )
        if self.layer.start is None:  # once for all tiles of the layer
            self.layer.start = self.layer.chip.arrays[self.layer.name].net(0.0, read_noise=False)
        return self.layer.start[self.columns, self.rows], []

    def apply_drift_noise(self, programmed: Tensor, state: list[Any], t_s: float) -> Tensor:
        """Return what the tile multiplies by at ``t_s``: the same devices, drifted and read."""
        return self.layer.read(t_s).net[self.columns, self.rows]


@dataclass
class TiledLayer:
    """One weight on aihwkit's tiles, in the order of ``mapping``, each with its place and its noise.

    aihwkit's noise models know of weights only: noise that is new in every MVM is ours, added behind the layer if the
    periphery is ideal, else before the tiles' ADCs with what other stages there are. So are transposed reads, of which
    aihwkit's torch-based tile has none: they are computed with the conductances that the tiles hold.

    Attributes:
        mapped: the weight.
        noise: what its tiles share.
        array: the weight as a linear operator, for noise, stages and transposed reads.
        tiles: aihwkit tile, row split, column slice.
    """

    mapped: MappedWeight
    noise: LayerNoise
    array: AnalogArray
    tiles: list[tuple[Any, int, slice]]

    def place(self, chip: Chip) -> None:
        """Program a chip into the tiles: the end of programming, before any read noise and compensation."""
        self.noise.chip, self.noise.start, self.noise.reading = chip, None, None
        scale = chip.weights[self.mapped.name].scale  # the layer's, if that is what the device's law is relative to
        for tile, split, columns in self.tiles:
            tile.program_weights()
            tile.set_mapping_scales(scale[split, columns].clone())  # the tile writes into what it is given
        assert self.noise.start is not None
        programmed = ArrayReading(self.noise.start, scale, torch.ones_like(scale), key=chip.key(self.mapped.name))
        self.array.load(programmed)
        self.noise.start = None

    def drift(self, t_s: float) -> None:
        """Move the programmed chip to ``t_s`` seconds after programming, and set the output scales."""
        for tile, split, columns in self.tiles:
            tile.drift_weights(t_s)
            reading = self.noise.read(t_s)
            tile.set_mapping_scales(reading.scale[split, columns] * reading.alpha[split, columns])
        self.array.load(self.noise.read(t_s))


def analog_layer(layer: nn.Module, config: Any) -> nn.Module | None:
    """Return aihwkit's layer for a linear layer or convolution, or None where it has none that runs."""
    from aihwkit.nn import AnalogConv2d, AnalogLinear

    if type(layer) is nn.Linear:
        analog = AnalogLinear.from_digital(layer, config)
    elif (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    ):
        analog = AnalogConv2d.from_digital(layer, config)
    else:
        return None
    analog.register_forward_hook(_contiguous)
    return analog  # type: ignore[no-any-return]


def _contiguous(_: nn.Module, __: object, output: Tensor) -> Tensor:
    """Order the outputs as torch's own layers do: a network that calls ``view`` on them relies on it."""
    return output.contiguous()


def attach_noise(module: nn.Module, mapped: MappedWeight, array: AnalogArray) -> TiledLayer:
    """Put one noise object behind each tile of aihwkit's layer or of a grid.

    Raises:
        RuntimeError: if aihwkit cut the layer into other tiles than :mod:`driftproof.mapping`.
    """
    noise, tiles = LayerNoise(mapped.name), []
    if isinstance(module, TileGrid):
        found = [(tile, *place) for tile, place in zip(module.pieces, module.places, strict=True)]
    else:
        held: Any = module.analog_module
        grid = held.array if hasattr(held, "array") else [[held]]
        if len(grid) != len(mapped.rows) or any(len(row) != len(mapped.columns) for row in grid):
            raise RuntimeError(f"layer {mapped.name}: aihwkit cut it into other tiles than mapping did")
        found = [
            (tile, split, columns)
            for split, row in enumerate(grid)
            for tile, columns in zip(row, mapped.columns, strict=True)
        ]
    for tile, split, columns in cast("list[tuple[Any, int, slice]]", found):
        rows = mapped.rows[split]
        if (tile.out_size, tile.in_size) != (columns.stop - columns.start, rows.stop - rows.start):
            raise RuntimeError(f"layer {mapped.name}: aihwkit's tile is {tile.out_size} x {tile.in_size}")
        tile.rpu_config.noise_model = TileNoise(noise, mapped, rows, columns)
        # a column without weights has scale 0: its devices' noise must not reach the output
        tile.set_mapping_scales(mapped.scale[split, columns].clone())
        if not isinstance(module, TileGrid):
            # to the bit, however aihwkit rounds its own scaling: a saved network is these targets
            tile.tile.set_weights(mapped.target[columns, rows])
        tiles.append((tile, split, columns))
    return TiledLayer(mapped, noise, array, tiles)


def check_dtype(mapped: MappedWeight, weight: Tensor) -> None:
    """Refuse weights that aihwkit's tiles would silently widen.

    Raises:
        DriftproofError: if the weights are not float32.
    """
    if weight.dtype != torch.float32:
        raise DriftproofError(
            f"layer {mapped.name} has {weight.dtype} weights; aihwkit's tiles want float32: convert model.float(), "
            "or use the folded backend"
        )
