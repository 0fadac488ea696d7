"""A trained network of Hugging Face as a folder of its own: configuration, weights, tokenizer, and a model card."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from driftproof._errors import DriftproofError
from driftproof._files import write_atomically
from driftproof.zoo._outside import CONFIG, from_hugging_face, quiet_and_offline

CARD = "README.md"
_MARK = "<!-- written by driftproof train -->"
_BESIDE = (
    *("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "*.model", "*.jinja"),
    *("preprocessor_config.json", "processor_config.json", "generation_config.json"),
)
"""Files of a folder that belong to the network and are not its configuration, its weights or its card."""


def check_folders(source: Path, out: Path) -> None:
    """Raise DriftproofError if a trained network would be written over another one.

    Args:
        source: Folder of the network to train.
        out: Folder of the training.
    """
    if out.resolve() == source.resolve():
        raise DriftproofError(f"--out {out}: the network to train is in this folder; choose another one")
    card = out / CARD
    ours = card.is_file() and _MARK in card.read_text(encoding="utf-8", errors="replace")
    if (out / CONFIG).exists() and not ours:
        raise DriftproofError(f"--out {out}: another network is in this folder ({CONFIG}); choose another one")


def write_folder(
    source: Path,
    out: Path,
    model: nn.Module,
    *,
    rows: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    note: str,
) -> Path:
    """Write a trained network as a folder that ``save_pretrained`` could have written, with a model card.

    Args:
        source: Folder of the network before training. Its tokenizer is copied; its card and its weights are not.
        out: Folder to write to, which may hold other files.
        model: The trained network.
        rows: Rows of results for the card, all with the same keys.
        settings: Settings for the card.
        note: What the results are, in a sentence.

    Returns:
        The folder, which ``hf:FOLDER`` reads.

    Raises:
        DriftproofError: The network is not one of transformers, or a file cannot be written.
    """
    if not hasattr(model, "save_pretrained"):
        raise DriftproofError(f"{type(model).__name__} has no save_pretrained: it is no network of transformers")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with quiet_and_offline():
            saver: Any = model
            saver.save_pretrained(out)
        for pattern in _BESIDE:
            for file in sorted(source.glob(pattern)):
                if file.is_file() and not (out / file.name).exists():
                    shutil.copyfile(file, out / file.name)
        write_atomically(out / CARD, _card(source.resolve().name, out, rows, settings, note).encode())
    except OSError as error:
        raise DriftproofError(f"the trained network cannot be written to {out}: {error}") from None
    from_hugging_face(out, with_weights=True)  # what was written can be read
    return out


def _card(name: str, out: Path, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], note: str) -> str:
    """Return a model card in Markdown: what it is, the results, the settings, and how to go on."""
    results = _table(rows[0], [row.values() for row in rows]) if rows else "none"
    chosen = _table(
        ("setting", "value"), [(key, value) for key, value in settings.items() if not isinstance(value, dict)]
    )
    return f"""---
library_name: transformers
tags: [driftproof, analog-in-memory-computing]
---
{_MARK}
# {name}, trained with driftproof

The network of `{name}` with weights that `driftproof train` made. Its licence and its uses are those of `{name}` and of
the data that it was trained on.

## Results

{note}

{results}

## Settings

{chosen}

## Use

`driftproof evaluate hf:{out.name} --data DATA --preset DEVICE --out report`, or `from_pretrained` of transformers.
"""


def _table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_text(cell) for cell in line)} |" for line in lines)


def _text(value: Any) -> str:
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
