"""A network of plain aihwkit layers, with aihwkit's own noise instead of ours: for those who go on there."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from driftproof.conversion.analog_model import AnalogModel
from driftproof.conversion.digital import digital_network
from driftproof.conversion.tiles import check_dtype
from driftproof.errors import DriftproofError
from driftproof.inputs import Inputs
from driftproof.keywords import checks_keywords
from driftproof.mapping import LayerEntry, MappedWeight, TileSize, Where, map_model, plain_copy


@dataclass(frozen=True)
class AihwkitNetwork:
    """A network of aihwkit's layers.

    Attributes:
        model: the network, in eval mode, nothing of driftproof in it.
        layers: one entry per weight-bearing layer: analog (aihwkit's), or digital and why.
    """

    model: nn.Module
    layers: tuple[LayerEntry, ...]

    @property
    def digital(self) -> dict[str, str]:
        """The layers that stay digital, by name, and why."""
        return {entry.name: entry.reason for entry in self.layers if not entry.analog}


@checks_keywords
def to_aihwkit(
    model: nn.Module | AnalogModel,
    rpu_config: Any = None,
    *,
    example: Inputs | None = None,
    where: Where | None = None,
) -> AihwkitNetwork:
    """Return a copy of a network with aihwkit's layers and aihwkit's noise model, drift compensation and converters.

    The weights are the network's own, neither programmed nor perturbed; ``program_analog_weights`` and
    ``drift_analog_weights`` of the returned model are aihwkit's. Its numbers differ from driftproof's where
    docs/aihwkit.md says. aihwkit saves its layers with pickle, which is left to the user.

    Args:
        model: a trained network, or a converted one, whose layers and tile size are taken over.
        rpu_config: aihwkit's configuration, used as it is; default: ``TorchInferenceRPUConfig()`` (PCM, global drift
            compensation, noisy converters) with weights scaled column-wise to the whole conductance range, which
            aihwkit's own default does not do.
        example: inputs to watch a network with; without them only layers that are torch's own are converted.
        where: which layers, as for :func:`driftproof.convert`.

    Raises:
        DriftproofError: aihwkit is missing, or has a layer for nothing; ``example`` or ``where`` beside a converted
            network.

    >>> network = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Conv1d(1, 2, 3, groups=1))
    >>> made = to_aihwkit(network)
    >>> type(made.model[0]).__name__, list(made.digital)
    ('AnalogLinear', ['2'])
    """
    if isinstance(model, AnalogModel):
        if example is not None or where is not None:
            raise DriftproofError("to_aihwkit: example and where belong to convert; this network is converted already")
        network, mapping = digital_network(model), model.mapping
    elif isinstance(model, nn.Module):
        network = plain_copy(model)
        mapping = map_model(network, example=example, where=where)
    else:
        raise DriftproofError(f"to_aihwkit: wanted a network, or what convert returns, got a {type(model).__name__}")
    config = _default_config(mapping.tile) if rpu_config is None else rpu_config
    entries = []
    for entry in mapping.layers:
        mapped = mapping.weights.get(entry.name)
        if entry.analog and mapped is not None:
            entry, network = _exported(entry, mapped, network, config)
        elif entry.analog:  # on another layer's array
            entry = replace(entry, analog=False, reason=_SHARED)
        entries.append(entry)
    if not any(entry.analog for entry in entries):
        listed = "; ".join(f"{entry.name or '(root)'} {entry.kind}: {entry.reason}" for entry in entries)
        raise DriftproofError(f"aihwkit has no layer for anything in this network. Seen: {listed}")
    return AihwkitNetwork(_wrapped(network), tuple(entries))


_SHARED = "its weight is used at several places: aihwkit's layers have weights of their own"


def _default_config(tile: TileSize) -> Any:
    try:
        from aihwkit.simulator.configs import TorchInferenceRPUConfig
    except ImportError as error:
        raise DriftproofError(f"aihwkit does not import: {error}. Install it (pip install aihwkit)") from error
    config = TorchInferenceRPUConfig()
    config.mapping.weight_scaling_omega = 1.0
    config.mapping.weight_scaling_columnwise = True
    config.mapping.max_input_size, config.mapping.max_output_size = tile.rows, tile.columns
    return config


def _exported(entry: LayerEntry, mapped: MappedWeight, network: nn.Module, config: Any) -> tuple[LayerEntry, nn.Module]:
    """Put aihwkit's layer into the network if it has one; return the entry that says so, and the network."""
    layer = network.get_submodule(mapped.path)
    analog, reason = None, _why_not(layer, mapped, network)
    if not reason:
        check_dtype(mapped, layer.get_parameter("weight"))
        analog, reason = _aihwkit_layer(layer, config)
    if analog is None:
        return replace(entry, analog=False, reason=reason, tiles=0, utilisation=None), network
    tiles = len(list(analog.analog_tiles()))
    entry = replace(entry, tiles=tiles, utilisation=None, dac_per_input=None, adc_per_input=None)
    if not mapped.path:
        return entry, analog
    network.set_submodule(mapped.path, analog)
    return entry, network


def _why_not(layer: nn.Module, mapped: MappedWeight, network: nn.Module) -> str:
    """Return why aihwkit's layers cannot take this one's place, empty if they may."""
    if type(layer) not in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d):
        return f"aihwkit has no layer for {type(layer).__name__}"
    if mapped.aliases or sum(child is layer for module in network.modules() for child in module._modules.values()) > 1:
        return _SHARED
    if mapped.made:
        return "the network's code makes another weight of it at every call"
    others = sorted({*mapped.modules, *mapped.readers} - {mapped.path})
    parent = mapped.path.rpartition(".")[0]
    if mapped.path and isinstance(network.get_submodule(parent), nn.TransformerEncoderLayer):
        others = [parent]  # it looks whether torch's fused kernel would do, but not while a network is watched
    if others:
        return f"{others[0] or 'the network'} reads its weight: aihwkit's layers have none to read"
    if isinstance(getattr(layer, "padding", None), str):
        return f"aihwkit's convolutions want their padding in numbers, not {layer.padding!r}"
    return ""


def _aihwkit_layer(layer: nn.Module, config: Any) -> tuple[Any, str]:
    """Return aihwkit's layer, or None and what aihwkit says against it."""
    from aihwkit.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear

    kinds = {nn.Linear: AnalogLinear, nn.Conv1d: AnalogConv1d, nn.Conv2d: AnalogConv2d, nn.Conv3d: AnalogConv3d}
    kind = kinds[type(layer)]
    try:
        analog = kind.from_digital(layer, copy.deepcopy(config))
    except ValueError as error:  # how aihwkit's convolutions refuse what they cannot do
        return None, f"aihwkit's {kind.__name__}: {error}"
    if getattr(analog, "NEEDS_INDEXED", False) and not analog.use_indexed:
        return None, (
            f"aihwkit's {kind.__name__} runs on a single compiled tile only: give InferenceRPUConfig(), and a "
            "mapping.max_input_size that is large enough"
        )
    return analog, ""


def _wrapped(network: nn.Module) -> nn.Module:
    """Return the network with aihwkit's functions of a whole network, as its own conversion does."""
    from aihwkit.nn.modules.base import AnalogLayerBase
    from aihwkit.nn.modules.container import AnalogWrapper

    alone: bool = isinstance(network, AnalogLayerBase)
    if alone:
        return network
    # aihwkit knows classes by their names: a second class of one name would get the first one's forward
    known = AnalogWrapper.SUBCLASSES.get(f"{AnalogWrapper.__name__}{type(network).__name__}")
    if known is not None and type(network) not in known.__bases__:
        del AnalogWrapper.SUBCLASSES[known.__name__]
    wrapped: nn.Module = AnalogWrapper(network)
    return wrapped
