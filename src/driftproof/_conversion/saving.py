"""Write a converted network, a programmed one, or a chip into a folder as tensors and JSON, without code."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from driftproof._chip import Chip
from driftproof._conversion.analog_model import AnalogModel, ProgrammedChip
from driftproof._conversion.network_state import digital_state
from driftproof._conversion.saved_form import FORMAT, Saved, SavedChip, SavedMapping, SavedMoment, Tensors
from driftproof._errors import DriftproofError, explained
from driftproof._files import is_folder, make_folder, write_atomically, write_tensors
from driftproof._keywords import checks_keywords

FORM, WEIGHTS = "converted.json", "weights.safetensors"


@checks_keywords
def save(what: AnalogModel | ProgrammedChip | Chip, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write a converted network, a programmed one, or a chip into a folder; :func:`driftproof.load` reads it.

    The folder holds ``weights.safetensors`` (the digital state, targets and scales, and the lasting state of a chip's
    devices) and ``converted.json`` (everything else). It is written completely or not at all. It does not contain the
    network's Python code: build the network again before you load it.

    Args:
        what: The result of :func:`driftproof.convert` or :func:`driftproof.program`, or a :class:`driftproof.Chip`,
            which has no network.
        folder: A new or empty folder. Folders above it are created.
        overwrite: Whether to replace a folder that this function wrote (default: False).

    Returns:
        The folder.

    Raises:
        DriftproofError: If the folder is not empty (other files are never replaced), if a network's tiles were changed
            by hand, or if its state does not consist of tensors only.

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
    make_folder(folder.parent)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        made.chmod(0o755)  # mkdtemp makes folders that only the owner reads
        form = saved | {"weights_sha256": sha256_of(write_tensors(made / WEIGHTS, tensors))}
        write_atomically(made / FORM, json.dumps(form, indent=1, allow_nan=False, ensure_ascii=False).encode())
        _take_place(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def sha256_of(path: Path) -> str:
    """Return the SHA-256 hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(item: AnalogModel | ProgrammedChip | Chip) -> tuple[dict[str, object], Tensors]:
    """Return the content of ``converted.json`` except the hash, and the tensors."""
    tensors: Tensors = {}
    given: dict[str, Any] = {}
    source: AnalogModel | Chip
    if isinstance(item, AnalogModel):
        kind, source = "converted network", item
        _check_tiles(item)
    elif isinstance(item, ProgrammedChip):
        kind, source = "programmed network", item.chip
        read = any(layer.reading is not None for layer in item.tiled.values())
        given["moment"] = SavedMoment(t_s=item.t_s, read=read, next_sample=item.passes.next_sample)
    elif isinstance(item, Chip):
        kind, source = "chip", item
    else:
        hint = "; convert it first" if isinstance(item, nn.Module) else ""
        raise DriftproofError(
            f"save: wanted the result of convert or program, or a Chip, got a {type(item).__name__}{hint}"
        )
    weights = source.mapping.weights
    if not isinstance(item, Chip):
        given["network"], tensors = digital_state(item.model, weights)
        given |= {"periphery": item.periphery, "ranges": item.ranges, "within_validity": item.within_validity or None}
    if isinstance(source, Chip):
        drawn_on = next(iter(weights.values())).target.device.type
        given["chip"] = SavedChip(
            seed=source.seed, number=source.number, drawn_on=drawn_on, read_outs=str(source.read_outs)
        )
        for layer, state in source.state().items():
            tensors |= {f"chip/{layer}/{name}": value for name, value in state.items()}
    tensors |= {f"target/{name}": mapped.target for name, mapped in weights.items()}
    tensors |= {f"scale/{name}": mapped.scale for name, mapped in weights.items()}
    tensors |= {f"lost/{name}": mapped.lost for name, mapped in weights.items() if mapped.lost is not None}
    try:
        device, of_device = source.preset.saved()
        saved = Saved(
            format=FORMAT,
            kind=kind,
            driftproof=metadata.version("driftproof"),
            torch=torch.__version__,
            weights_sha256="",
            compensation=str(source.compensation),
            device=device,
            mapping=SavedMapping.of(source.mapping),
            **given,
        )
    except ValidationError as error:  # a preset that was changed although its values are checked
        raise DriftproofError(explained(f"device {source.preset.name} cannot be saved", error)) from None
    return saved.model_dump(mode="json", exclude_none=True), tensors | of_device


def _check_tiles(analog: AnalogModel) -> None:
    """Raise for tiles that do not hold the targets of the mapping: the file would differ from the network."""
    for layer in analog.tiled.values():
        for tile, split, columns in layer.tiles:
            rows = layer.mapped.rows[split]
            assert layer.held is not None
            if not torch.equal(tile.tile.get_weights(), layer.held[columns, rows].cpu()):
                raise DriftproofError(
                    f"layer {layer.mapped.name or '(root)'}: its tiles hold other weights than mapping put there; "
                    "change the digital network and convert that"
                )


def _check_folder(folder: Path, overwrite: bool) -> None:
    if not is_folder(folder, "the converted network"):
        return
    inside = {path.name for path in folder.iterdir()}
    ours = inside == {FORM, WEIGHTS}
    if inside and not (overwrite and ours):
        advice = "choose another one" + (", or overwrite it (overwrite=True, --overwrite)" if ours else "")
        shown = ", ".join(sorted(inside)[:3])
        raise DriftproofError(f"{folder} is not empty ({shown}{', …' if len(inside) > 3 else ''}): {advice}")


def _take_place(made: Path, folder: Path) -> None:
    """Move a finished folder to its place; the folder that was there is removed once the new one is in place."""
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
