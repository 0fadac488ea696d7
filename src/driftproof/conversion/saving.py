"""Write a converted network, a programmed one, or a chip into a folder: tensors and JSON, no code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from driftproof.chip import Chip
from driftproof.conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof.conversion.network_state import digital_state
from driftproof.conversion.saved_form import (
    FORMAT,
    Saved,
    SavedChip,
    SavedMapping,
    SavedMoment,
    SavedNetwork,
    Tensors,
    save_device,
)
from driftproof.errors import DriftproofError
from driftproof.keywords import checks_keywords

FORM, WEIGHTS = "converted.json", "weights.safetensors"


@checks_keywords
def save(what: AnalogModel | ProgrammedChip | Chip, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a converted network, a programmed one, or a chip into a folder; :func:`driftproof.load` reads it.

    The folder holds ``weights.safetensors`` (the digital state, targets and scales, and what a chip's devices keep for
    life) and ``converted.json`` (everything else). It appears whole or not at all. The network's Python code is not in
    it: who loads a network builds it anew.

    Args:
        what: from :func:`driftproof.convert` or :func:`driftproof.program`; or a :class:`driftproof.Chip`, which has
            no network.
        folder: a new or empty folder; folders above it are made.
        overwrite: replace a folder that this function wrote.

    Returns:
        The folder.

    Raises:
        DriftproofError: a folder with something in it (other files are never replaced); a network whose tiles were
            changed by hand, or whose state is not all tensors.

    >>> import driftproof as dp
    >>> network = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(dp.convert(network, "pcm-nandakumar-2019"), Path(folder, "saved"))
    ...     sorted(file.name for file in path.iterdir())
    ['converted.json', 'weights.safetensors']
    """
    folder = Path(folder).expanduser()
    _check_folder(folder, overwrite)
    saved, tensors = _described(what)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        made.chmod(0o755)  # mkdtemp makes folders that only the owner reads
        form = saved | {"weights_sha256": _write_tensors(made / WEIGHTS, tensors)}
        _write(made / FORM, json.dumps(form, indent=1, allow_nan=False, ensure_ascii=False).encode())
        _take_place(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def sha256_of(path: Path) -> str:
    """Return the hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(what: AnalogModel | ProgrammedChip | Chip) -> tuple[dict[str, object], Tensors]:
    """Return what ``converted.json`` says but for the hash, and the tensors."""
    network: SavedNetwork | None = None
    chip: SavedChip | None = None
    moment: SavedMoment | None = None
    tensors: Tensors = {}
    if isinstance(what, AnalogModel):
        kind, mapping, device, compensation = "converted network", what.mapping, what.preset, what.compensation
        _check_tiles(what)
        network, tensors = digital_state(what.model, mapping.weights)
    elif isinstance(what, ProgrammedChip | Chip):
        inner = what if isinstance(what, Chip) else what.chip
        kind, mapping, device, compensation = "chip", inner.mapping, inner.preset, inner.compensation
        drawn_on = next(iter(mapping.weights.values())).target.device.type
        chip = SavedChip(seed=inner.seed, number=inner.number, drawn_on=drawn_on)
        if isinstance(what, ProgrammedChip):
            kind = "programmed network"
            network, tensors = digital_state(what.model, mapping.weights)
            read = any(layer.noise.reading is not None for layer in what.tiled.values())
            moment = SavedMoment(t_s=what.t_s, read=read, next_sample=what.passes.next_sample)
        for layer, state in inner.state().items():
            tensors |= {f"chip/{layer}/{name}": value for name, value in state.items()}
    else:
        hint = "; convert it first" if isinstance(what, nn.Module) else ""
        raise DriftproofError(
            f"save: wanted what convert or program returns, or a Chip, got a {type(what).__name__}{hint}"
        )
    saved_mapping, of_mapping = SavedMapping.of(mapping)
    try:
        saved_device, of_device = save_device(device)
    except ValidationError as error:  # a preset that was changed past its checks
        raise DriftproofError(f"device {device.name} cannot be saved: {error.errors()[0]['msg']}") from None
    saved = Saved(
        format=FORMAT,
        kind=kind,
        driftproof=metadata.version("driftproof"),
        torch=torch.__version__,
        weights_sha256="",
        compensation=str(compensation),
        device=saved_device,
        mapping=saved_mapping,
        network=network,
        periphery=None if isinstance(what, Chip) else what.periphery,
        ranges={} if isinstance(what, Chip) else what.ranges,
        chip=chip,
        moment=moment,
        within_validity=True if isinstance(what, AnalogModel | ProgrammedChip) and what.within_validity else None,
    )
    return saved.model_dump(mode="json", exclude_none=True), tensors | of_mapping | of_device


def _check_tiles(analog: AnalogModel) -> None:
    """Refuse tiles that do not hold what mapping put there: the file would hold something else than the network."""
    for layer in analog.tiled.values():
        for tile, split, columns in layer.tiles:
            rows = layer.mapped.rows[split]
            if not torch.equal(tile.tile.get_weights(), layer.mapped.target[columns, rows].cpu()):
                raise DriftproofError(
                    f"layer {layer.mapped.name or '(root)'}: its tiles hold other weights than mapping put there; "
                    "change the digital network and convert that"
                )


def _check_folder(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DriftproofError(f"{folder} is a file; wanted a folder")
    inside = {path.name for path in folder.iterdir()}
    if inside and not (overwrite and inside == {FORM, WEIGHTS}):
        ours = inside == {FORM, WEIGHTS}
        advice = (
            "choose another folder, or overwrite it (overwrite=True, --overwrite)" if ours else "choose another one"
        )
        shown = ", ".join(sorted(inside)[:3])
        raise DriftproofError(f"{folder} is not empty ({shown}{', …' if len(inside) > 3 else ''}): {advice}")


def _write_tensors(path: Path, tensors: Tensors) -> str:
    """Write the tensors and return the file's hash."""
    from safetensors.torch import save_file

    # copies: safetensors refuses tensors that share memory, as parts of one do
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, path)
    path.chmod(0o644)  # safetensors makes files that only the owner reads
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return sha256_of(path)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _take_place(made: Path, folder: Path) -> None:
    """Put a finished folder where it belongs; what was there is removed when the new one stands."""
    if not folder.exists():
        made.rename(folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    aside = old / "was"
    folder.rename(aside)
    try:
        made.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
