"""Option groups that commands share: the network, and its mapping onto tiles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from driftproof._cli.panels import MAPPING, NETWORK
from driftproof._defaults import SCALE, TILE
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof._mapping import MappingOptions
    from driftproof.zoo._load import LoadedModel


@dataclass(kw_only=True)
class NetworkOptions:
    """The network and its weights.

    Attributes:
        model (MODEL): The network: digits-cnn or digits-resnet (for --data digits), resnet20, resnet32, resnet44 or
            resnet56 (for CIFAR images), hopfield-dense:SIZES (hopfield-dense:64-128-10) or dchn:KEY=VALUE,KEY=VALUE
            (dchn:widths=16-32,image=1x32), Hopfield networks with further keys such as iterations=15, torchvision:NAME,
            timm:NAME (NAME:num_classes=N for a head of N classes), hf:FOLDER (written by save_pretrained of Hugging
            Face), or FILE.py:FUNCTION, a function without arguments that returns a torch.nn.Module.
        weights (FILE): File with the trained weights of the network: .safetensors, or .pt, .pth, .th, .pth.tar, .ckpt
            (of Lightning) with tensors only.
            Default: the weights that come with digits-cnn, digits-resnet or an hf:FOLDER, or from FILE.py:FUNCTION.
    """

    panel: ClassVar[str] = NETWORK
    model: Annotated[str, typer.Argument(rich_help_panel="Arguments")]
    weights: Path | None = None

    def load(self) -> LoadedModel:
        """Return the network, trained or not."""
        from driftproof.zoo import load_model

        return load_model(self.model, self.weights)

    @property
    def is_hugging_face(self) -> bool:
        """Whether the network is a folder of Hugging Face."""
        return self.model.startswith("hf:")

    @property
    def folder(self) -> Path:
        """The folder of Hugging Face."""
        return Path(self.model.removeprefix("hf:")).expanduser()

    def check_out(self, out: Path) -> None:
        """Raise DriftproofError if a trained network of Hugging Face would be written over another one."""
        if self.is_hugging_face:
            from driftproof.zoo._hf_folder import check_folders

            check_folders(self.folder, out)

    def load_trained(self) -> LoadedModel:
        """Return the network; raise DriftproofError if its weights are random."""
        loaded = self.load()
        if not loaded.trained:
            raise DriftproofError(f"{self.model} has random weights: give its trained weights with --weights FILE")
        return loaded


@dataclass(kw_only=True)
class TileOptions:
    """Which layers go on tiles, and how.

    Attributes:
        where (LAYERS): Layers to put on tiles, separated by commas: names (fc), patterns (layer1.*), !NAME for all
            layers but one, or inner for all but the first and the last. Default: every layer that can be on tiles.
        tile (ROWSxCOLUMNS): Largest size of a tile. A larger weight matrix is split over several tiles.
        scale: What weights are scaled to: column (the largest weight of each column of a tile) or layer (the largest
            weight of the layer).
        clip (PERCENTILE): Clip weights to this percentile of their absolute values, such as 99.9, and scale by it
            instead of by the largest weight. Default: no clipping.
        all_analog: Fail if a weight that is used in a matrix multiplication stays digital although --where does not
            exclude it.
        within_validity: Fail if a time is outside the device's range of validity.
        strict: Set both --all-analog and --within-validity.
    """

    panel: ClassVar[str] = MAPPING
    axes: ClassVar[tuple[str, ...]] = ("where", "tile", "scale", "clip")
    where: str | None = None
    tile: str = "{}x{}".format(*TILE)
    scale: str = SCALE
    clip: float | None = None
    all_analog: bool = False
    within_validity: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        """Let --strict set both switches."""
        self.all_analog, self.within_validity = self.all_analog or self.strict, self.within_validity or self.strict

    def options(self) -> MappingOptions:
        """Return the options as one object."""
        from driftproof._mapping import MappingOptions, TileSize

        return MappingOptions(
            tile=TileSize.parse(self.tile),
            where=self.where,
            scale=self.scale,  # type: ignore[arg-type]  # checked where weights are mapped
            clip=self.clip,
            all_analog=self.all_analog,
        )
