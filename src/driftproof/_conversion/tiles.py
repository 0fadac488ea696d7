"""Layers on IBM aihwkit's torch-based tiles.

aihwkit is imported here, in ``health``, ``export_aihwkit``, ``import_aihwkit`` and ``bench``.

aihwkit's tile is held, never subclassed: our noise implements the interface of aihwkit's noise models, with one object
per tile, attached *after* the layer is made (aihwkit copies configurations tile by tile). aihwkit's drift compensation
is off: α is measured once, by :mod:`driftproof._compensation`, and set as the tile's digital output scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from driftproof._calls import Product
from driftproof._chip import Chip
from driftproof._conversion.grid import TileGrid
from driftproof._errors import DriftproofError
from driftproof._mapping import MappedWeight, TileSize
from driftproof.arrays import AnalogArray
from driftproof.arrays._reading import ArrayReading
from driftproof.periphery import Periphery
from driftproof.periphery._aihwkit_fields import aihwkit_forward, aihwkit_input_range


def tile_config(tile: TileSize, periphery: Periphery | None = None) -> Any:
    """Return the configuration of aihwkit's torch-based tile, or of its compiled tile if there is IR drop.

    Args:
        tile: Size of the largest crossbar.
        periphery: Periphery of the arrays (default: ideal). Our stages add its noise, except on the compiled tile,
            which draws the noise itself.

    Raises:
        DriftproofError: If aihwkit is not installed or does not import.
    """
    try:
        from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
    except ImportError as error:
        raise DriftproofError(
            f"a network on tiles (convert, program, the backend tiles) needs aihwkit, which does not import: {error}. "
            "Install it (pip install aihwkit), or use evaluate and train on the backend folded, the default, which "
            "work without it"
        ) from error
    compiled = periphery is not None and periphery.ir_drop is not None
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
    config.mapping.learn_out_scaling = False
    return scaled_by_column(config, tile)


def scaled_by_column(config: Any, tile: TileSize) -> Any:
    """Give a configuration our tile size, and weights scaled column by column to the whole conductance range."""
    config.mapping.weight_scaling_omega = 1.0
    config.mapping.weight_scaling_columnwise = True
    config.mapping.max_input_size, config.mapping.max_output_size = tile.rows, tile.columns
    return config


@dataclass
class TiledLayer:
    """One weight on aihwkit's tiles, each with its place, and the latest reading of its chip.

    aihwkit's noise models know weights only. Noise that is new in every MVM is ours: it is added to the layer's output
    if the periphery is ideal, otherwise before the tiles' ADCs together with the other stages. Transposed reads are
    ours, too, since aihwkit's torch-based tile has none: they use the conductances that the tiles hold.

    Attributes:
        mapped: The weight.
        array: The weight as a linear operator, for noise, stages and transposed reads.
        ideal: Whether the periphery is ideal. (The array's own periphery does not tell: where aihwkit's compiled tile
            computes all of it, the array has none.)
        tiles: aihwkit's tile, row split and column slice of each tile.
        held: What the tiles hold before they are programmed, [out, in].
        chip: The chip that is programmed into the tiles.
        next: What the tiles are to hold, while they are being programmed or read.
        reading: The latest reading of the chip.
        at: The time of this reading, in seconds after the first read, and whether it calibrates the chip.
    """

    mapped: MappedWeight
    array: AnalogArray
    ideal: bool
    tiles: list[tuple[Any, int, slice]] = field(default_factory=list)
    held: Tensor | None = None
    chip: Chip | None = None
    next: Tensor | None = None
    reading: ArrayReading | None = None
    at: tuple[float, bool] = (-1.0, False)

    def read(self, t_s: float, to_calibrate: bool = False) -> ArrayReading:
        """Return the reading at a time, computed once for all tiles."""
        assert self.chip is not None
        if self.reading is None or self.at != (t_s, to_calibrate):
            self.reading = self.chip.read(self.mapped.name, t_s, to_calibrate=to_calibrate)
            self.at = t_s, to_calibrate
        return self.reading

    def place(self, chip: Chip) -> None:
        """Program a chip into the tiles: the end of programming, before any read noise and compensation."""
        name = self.mapped.name
        self.chip, self.reading = chip, None
        net = chip.arrays[name].net(0.0, read_noise=False)
        scale = chip.weights[name].scale  # the layer's, if the device's law is relative to the layer
        self.next, factors = self.form(net, scale)
        for tile, split, columns in self.tiles:
            tile.program_weights()
            tile.set_mapping_scales(factors[split, columns].clone())  # the tile modifies its scales
        self.array.load(ArrayReading(net, scale, torch.ones_like(scale), key=chip.key(name)))
        self.next = None

    def form(self, net: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the tiles hold, [out, in], and the factors of their outputs, [row splits, out].

        These are the net values and their factors. Only where the array holds quantised weights without any error and
        its periphery is ideal, the factors are powers of two: multiplying by them does not round, so that the tiles
        compute what the digital network computes, to the last bit.

        Args:
            net: Net values of the array relative to the columns' maxima, [out, in].
            factors: The columns' maxima times their drift compensation, [row splits, out].
        """
        mapped, exact = self.mapped, self.mapped.held(net, factors) if self.ideal else None
        if exact is None:
            return net, factors
        # their inverses are numbers of float32, too
        exponents = torch.frexp(mapped.scale).exponent.clamp(-125, 125)
        powers = torch.ldexp(torch.ones_like(mapped.scale), exponents)
        for split, rows in enumerate(mapped.rows):
            exact[:, rows] *= (1 / powers[split])[:, None]
        # a column without weights keeps the factor 0
        return exact, torch.where(mapped.scale > 0, powers, 0.0)

    def multiply_back(self, product: Product) -> Tensor:
        """Return a product by the transpose; before a chip is programmed, the targets multiply exactly."""
        array = self.array
        if self.chip is None:
            array = AnalogArray(self.mapped)
            array.load(ArrayReading(self.mapped.target, self.mapped.scale, torch.ones_like(self.mapped.scale)))
        return array.multiply(product, transposed=True)

    def drift(self, t_s: float, to_calibrate: bool = False) -> None:
        """Move the programmed chip to ``t_s`` seconds after the first read, and set the output scales.

        Args:
            t_s: Time in seconds after the first read.
            to_calibrate: Whether to read in the read-out that calibrates the chip (default: in that of its use).
        """
        reading = self.read(t_s, to_calibrate)
        self.next, factors = self.form(reading.net, reading.scale * reading.alpha)
        for tile, split, columns in self.tiles:
            tile.drift_weights(t_s)
            tile.set_mapping_scales(factors[split, columns].clone())
        self.array.load(reading)
        self.next = None


class TileNoise:
    """Our device noise for one tile, with the interface of aihwkit's noise models."""

    def __init__(self, layer: TiledLayer, rows: slice, columns: slice) -> None:
        self.layer, self.rows, self.columns = layer, rows, columns
        assert layer.held is not None
        self.target = layer.held[columns, rows]

    def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[Any]]:
        """Return the tile's net values at the end of programming (no drift, no read noise).

        Raises:
            RuntimeError: If aihwkit's tile does not hold the weights of the mapping.
        """
        gap = float((weights.to(self.target.device) - self.target).abs().max())
        if not gap <= 1e-5:
            raise RuntimeError(
                f"layer {self.layer.mapped.name}: the tile holds other weights than mapping gave it (off by {gap:.3g})"
            )
        assert self.layer.next is not None
        return self.layer.next[self.columns, self.rows], []

    def apply_drift_noise(self, programmed: Tensor, state: list[Any], t_s: float) -> Tensor:
        """Return the tile's net values at ``t_s``: the same devices, drifted and read."""
        assert self.layer.next is not None
        return self.layer.next[self.columns, self.rows]


def analog_layer(layer: nn.Module, config: Any) -> nn.Module | None:
    """Return aihwkit's layer for a linear layer or convolution, or None if it has none that runs."""
    from aihwkit.nn import AnalogConv2d, AnalogLinear

    analog: nn.Module
    if type(layer) is nn.Linear:
        analog = AnalogLinear.from_digital(layer, config)
    elif type(layer) is nn.Conv2d and (layer.groups, layer.padding_mode) == (1, "zeros"):
        if isinstance(layer.padding, str):
            return None
        analog = AnalogConv2d.from_digital(layer, config)
    else:
        return None
    analog.register_forward_hook(_contiguous)
    return analog


def _contiguous(_: nn.Module, __: object, output: Tensor) -> Tensor:
    """Return outputs in the memory order of torch's layers: a network that calls ``view`` on them relies on it."""
    return output.contiguous()


def attach_noise(module: nn.Module, mapped: MappedWeight, array: AnalogArray, ideal: bool = True) -> TiledLayer:
    """Put the weights on the tiles of aihwkit's layer or of a grid, with one noise object for each.

    Args:
        module: aihwkit's layer, or a grid.
        mapped: The weight.
        array: The weight as a linear operator.
        ideal: Whether the periphery is ideal (default: True).

    Raises:
        RuntimeError: If aihwkit cut the layer into other tiles than :mod:`driftproof._mapping`.
    """
    layer = TiledLayer(mapped, array, ideal)
    layer.held, factors = layer.form(mapped.target, mapped.scale)
    if isinstance(module, TileGrid):
        tiles: list[Any] = list(module.pieces)
    else:
        held: Any = module.analog_module
        grid = held.array if hasattr(held, "array") else [[held]]
        if len(grid) != len(mapped.rows) or any(len(row) != len(mapped.columns) for row in grid):
            raise RuntimeError(f"layer {mapped.name}: aihwkit cut it into other tiles than mapping did")
        tiles = [tile for row in grid for tile in row]
    for tile, (split, columns) in zip(tiles, mapped.places, strict=True):
        rows = mapped.rows[split]
        if (tile.out_size, tile.in_size) != (columns.stop - columns.start, rows.stop - rows.start):
            raise RuntimeError(f"layer {mapped.name}: aihwkit's tile is {tile.out_size} x {tile.in_size}")
        tile.rpu_config.noise_model = TileNoise(layer, rows, columns)
        # a column without weights has scale 0, so that its devices' noise does not reach the output
        tile.set_mapping_scales(factors[split, columns].clone())
        # exactly these, however aihwkit rounds its scaling: a saved network consists of them
        tile.tile.set_weights(layer.held[columns, rows].contiguous())
        layer.tiles.append((tile, split, columns))
    return layer


def check_dtype(mapped: MappedWeight, weight: Tensor) -> None:
    """Raise for weights that aihwkit's tiles would silently widen.

    Raises:
        DriftproofError: If the weights are not float32.
    """
    if weight.dtype != torch.float32:
        raise DriftproofError(
            f"layer {mapped.name} has {weight.dtype} weights; aihwkit's tiles need float32: convert model.float(), "
            "or use the folded backend"
        )
