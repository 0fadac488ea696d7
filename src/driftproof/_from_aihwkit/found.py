"""What was taken over from aihwkit, and what was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from torch import nn

from driftproof._devices import Device
from driftproof._from_aihwkit.writing import write_files
from driftproof._mapping import MappingOptions
from driftproof.periphery import Periphery
from driftproof.training import RWP, ClipWeights, Method, Plain


@dataclass(frozen=True, kw_only=True)
class FromAihwkit:
    """What driftproof has for a network or a configuration of aihwkit, and what it has not.

    Attributes:
        network: Digital network in eval mode with the trained weights; None if a configuration was given.
        device: Device with the law and the numbers of the noise model; None if no device here has its law, or the
            configuration has no noise model: ``not_taken_over`` says why.
        periphery: Converters, noise and wires of the arrays; None if only a noise model was given.
        mapping: Size of the tiles, scale of the weights, and the layers on tiles; None as above.
        compensation: Text of the drift compensation; None if there is none that is known here.
        ranges: Input range of each layer, or of each of its row splits, as the tiles have learned them: layer → range
            (default: none; static ranges are then measured on ``calibration``).
        noise: Noise of a training, as text, for aihwkit's weight modifier (default: None).
        clip: Weight clipping of a training (default: None).
        taken_over: Setting of aihwkit → what it is here.
        not_taken_over: One text ``NAME = VALUE: reason, or what to use`` for every other setting that has an effect in
            aihwkit or is not its default.
    """

    network: nn.Module | None = None
    device: Device | None = None
    periphery: Periphery | None = None
    mapping: MappingOptions | None = None
    compensation: str | None = None
    ranges: Mapping[str, float | list[float]] = field(default_factory=dict)
    noise: str | None = None
    clip: ClipWeights | None = None
    taken_over: Mapping[str, str] = field(default_factory=dict)
    not_taken_over: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The keywords of :func:`driftproof.evaluate` and :func:`driftproof.convert`, without network and device."""
        given: dict[str, Any] = {}
        if self.mapping is not None:
            given |= {"tile": self.mapping.tile, "scale": self.mapping.scale}
            given |= {} if self.mapping.where is None else {"where": self.mapping.where}
        if self.compensation is not None:
            given["compensation"] = self.compensation
        if self.periphery is not None:
            given["periphery"] = self.periphery
        return given | ({"ranges": dict(self.ranges)} if self.ranges else {})

    @property
    def training(self) -> dict[str, Method]:
        """The keywords of :func:`driftproof.train` for aihwkit's modifier and clipping, a new method each time.

        Without a modifier and a clipping that are known here, it is empty.
        """
        if self.noise is not None:
            return {"method": RWP(noise=self.noise, clip=self.clip)}
        return {} if self.clip is None else {"method": Plain(clip=self.clip)}

    def write(self, folder: str | Path) -> str:
        """Write files for the command line, and return the command that evaluates them.

        The files are ``device.toml``, ``periphery.toml`` with the input ranges of the tiles, and
        ``weights.safetensors``; each only if it was taken over.

        Args:
            folder: New or empty folder.

        Returns:
            A command with the words MODEL and DATA for your network and data; with DEVICE if ``device`` is None.

        Raises:
            DriftproofError: The folder is not empty.
        """
        return write_files(self, Path(folder).expanduser())

    @property
    def next_lines(self) -> tuple[str, ...]:
        """Lines of Python that go on from here, for an object that is called ``found``."""
        network = "found.network" if self.network is not None else "network"
        device = "found.device" if self.device is not None else '"pcm-nandakumar-2019"'
        wires = self.periphery is not None and self.periphery.ir_drop is not None
        tiles = ', backend="tiles"' if wires else ""
        lines = [
            f"record = dp.evaluate({network}, data, presets={device}, **found.settings{tiles})"
            + ("" if self.device is not None else "  # or a device of your own: there is none for the noise model"),
            f"analog = dp.convert({network}, {device}, **found.settings)",
        ]
        if wires:
            perfect = "{'periphery': found.periphery.with_changes(ir_drop=None)}"
            lines.append(f"without_ir_drop = found.settings | {perfect}  # repeatable")
        if self.training:
            lines.append(f"robust = dp.train({network}, data, epochs=10, **found.training)")
        return tuple(lines)

    def __str__(self) -> str:
        rows = list(self.taken_over.items())
        wide = max((len(name) for name, _ in rows), default=0)
        lines = ["taken over from aihwkit:", *(f"  {name:{wide}}  {text}" for name, text in rows)]
        lines += ["not taken over:", *(f"  {text}" for text in self.not_taken_over or ("nothing is left",))]
        return "\n".join([*lines, "go on with:", *(f"  {line}" for line in self.next_lines)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return two tables and the next lines, as a notebook shows them."""
        taken = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in self.taken_over.items()
        )
        left = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(rest)}</td></tr>"
            for name, _, rest in (text.partition(" = ") for text in self.not_taken_over)
        )
        lines = escape("\n".join(self.next_lines))
        return (
            f"<table><caption>Taken over from aihwkit</caption><thead><tr><th scope='col'>aihwkit</th>"
            f"<th scope='col'>driftproof</th></tr></thead><tbody>{taken}</tbody></table>"
            f"<table><caption>Not taken over</caption><thead><tr><th scope='col'>aihwkit</th>"
            f"<th scope='col'>value, and what to use</th></tr></thead><tbody>{left}</tbody></table><pre>{lines}</pre>"
        )
