"""Files of weights into and out of a model: all of it fits, or nothing is changed."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from driftproof.errors import DriftproofError, did_you_mean

PICKLES = (".pt", ".pth", ".th")
SAFETENSORS = ".safetensors"
SHOWN = 8

_WRAPPED_UNDER = ("state_dict", "model")
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a file of weights into ``model``, in place; if anything does not fit, the model stays as it was.

    ``.pt``, ``.pth`` and ``.th`` are read with ``weights_only=True`` (no code of the file is run), ``.safetensors``
    with safetensors. A dict under ``state_dict`` or ``model`` is unwrapped; ``module.`` in front of names is dropped,
    and ``_orig_mod.`` anywhere. Floating-point tensors are converted to the model's dtype. Names must match exactly,
    but for BatchNorm's ``num_batches_tracked``: a counter which older files do not have.

    Raises:
        DriftproofError: file missing, unreadable, or with more than tensors in it; names, shapes or kinds of number
            that do not fit; values that are NaN, or too large for the model's dtype.
    """
    path = Path(path).expanduser()
    entries = _unwrapped(_read(path), path)
    prepared = _fitted(model, entries, path)
    before = {name: value.clone() for name, value in _tensors(model).items()}
    try:
        model.load_state_dict(prepared, strict=False)  # `_fitted` was strict, and tells more
    except Exception as error:  # a module's own loading hook may raise anything, half-way
        for name, value in _tensors(model).items():
            value.copy_(before[name])
        raise DriftproofError(f"weights {path}: the model refused them: {error}") from error


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Write the model's weights and buffers as ``.safetensors``, which holds tensors and nothing else.

    Raises:
        DriftproofError: another suffix, or a folder that does not exist.
    """
    from safetensors.torch import save_file

    path = Path(path).expanduser()
    if path.suffix.lower() != SAFETENSORS:
        raise DriftproofError(f"weights {path}: suffix {path.suffix!r}; wanted {SAFETENSORS}")
    if not path.parent.is_dir():
        raise DriftproofError(f"weights {path}: no folder {path.parent}; make it first")
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    save_file({name: value.cpu().contiguous().clone() for name, value in _tensors(model).items()}, path)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DriftproofError(f"weights {path}: no such file; wanted a .pt, .pth, .th or .safetensors file")
    suffix = path.suffix.lower()
    if suffix == SAFETENSORS:
        return _read_safetensors(path)
    if suffix not in PICKLES:
        known = [*PICKLES, SAFETENSORS]
        raise DriftproofError(
            f"weights {path}: suffix {path.suffix!r}{did_you_mean(suffix, known)}; wanted one of {', '.join(known)}"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DriftproofError(
            f"weights {path}: not a file of plain weights. Only plain tensors are loaded, because anything else in "
            f"such a file can run code. Where you trust the file, load it there and save the tensors alone: "
            f"torch.save(model.state_dict(), 'weights.pt')"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DriftproofError(
            f"weights {path}: the file cannot be read ({type(error).__name__}: {error}); is it complete, and was it "
            f"written by torch.save(model.state_dict(), ...)?"
        ) from error


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError) as error:
        raise DriftproofError(f"weights {path}: not a complete safetensors file ({error})") from error


def _unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    """Return name → tensor, out of what training scripts put around it."""
    wanted = "wanted names → tensors, bare or under 'state_dict' or 'model'"
    inner = content
    while isinstance(inner, Mapping):
        under = next((key for key in _WRAPPED_UNDER if isinstance(inner.get(key), Mapping)), None)
        if under is None:
            break
        inner = inner[under]
    if not isinstance(inner, Mapping):
        raise DriftproofError(f"weights {path}: a {type(inner).__name__} came; {wanted}")
    other = [f"{name} ({type(value).__name__})" for name, value in inner.items() if not isinstance(value, Tensor)]
    if other or not inner:
        has = f"has entries that are not tensors: {some(other)}" if other else "has no entries"
        raise DriftproofError(f"weights {path}: {has}; {wanted}: torch.save(model.state_dict(), 'weights.pt')")
    named: dict[str, Tensor] = {}
    for name, value in inner.items():
        short = _bare(str(name))
        if short in named:
            raise DriftproofError(
                f"weights {path}: two tensors are called {short!r} once wrappers' prefixes are dropped"
            )
        named[short] = value
    return named


def _fitted(model: nn.Module, entries: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return a whole new state for the model, or raise with everything that does not fit."""
    own = _tensors(model)
    # The model may be wrapped itself: its names lose the same prefixes, unless that would make two of them one.
    names = {_bare(name): name for name in own}
    if len(names) != len(own):
        names = {name: name for name in own}
    counters = {short for short in names if short.endswith("num_batches_tracked")}
    problems = [
        _listed("missing", [short for short in names if short not in entries and short not in counters]),
        _listed("unexpected", [name for name in entries if name not in names]),
    ]
    prepared = dict(own)
    shapes, kinds, values = [], [], []
    for short, value in entries.items():
        if short not in names:
            continue
        target = own[names[short]]
        if value.shape != target.shape:
            shapes.append(f"{short} (file {list(value.shape)}, model {list(target.shape)})")
        elif value.dtype != target.dtype and not (value.dtype in _FLOATS and target.dtype in _FLOATS):
            kinds.append(f"{short} (file {value.dtype}, model {target.dtype})")
        else:
            prepared[names[short]] = cast = value.detach().to(target.dtype)
            # An infinity that was in the file may be meant (attention masks); NaN and an overflow never are.
            if bool(cast.isnan().any()) or bool((cast.isinf() & ~value.isinf()).any()):
                values.append(short)
    problems += [
        _listed("other shapes", shapes),
        _listed("other kinds of number", kinds),
        _listed("NaN, or too large for the model's dtype", values),
    ]
    said = [problem for problem in problems if problem]
    if said:
        raise DriftproofError(
            f"weights {path} do not fit {type(model).__name__}, which stays as it was. {'. '.join(said)}. "
            f"Are these the weights of this very network, with as many classes?"
        )
    return prepared


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _bare(name: str) -> str:
    """Return a name without wrappers' prefixes.

    >>> _bare("module._orig_mod.conv1.weight")
    'conv1.weight'
    """
    name = name.replace("_orig_mod.", "")  # torch.compile, of the model or of a part of it
    while name.startswith("module."):  # DataParallel and its kin
        name = name.removeprefix("module.")
    return name


def _listed(what: str, names: list[str]) -> str:
    return f"{len(names)} {what}: {some(names)}" if names else ""


def some(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are.

    >>> some(str(i) for i in range(10))
    '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    """
    names = list(names)
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
