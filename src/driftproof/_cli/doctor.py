"""``driftproof doctor``: whether this installation works."""

from __future__ import annotations

from dataclasses import asdict
from importlib import metadata
from typing import Annotated

import typer

from driftproof._cli.console import print_json, print_line


def doctor_command(*, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Check this installation: run each kind of aihwkit tile and load every preset.

    The exit code is 2 if a tile does not work; the last lines say how to fix it.

    Args:
        as_json: Print the findings as JSON, in place of lines.
    """
    import torch

    from driftproof._conversion import check_installation
    from driftproof._presets import load_preset, preset_folder, preset_names

    health, names = check_installation(), preset_names()
    if as_json:
        for name in names:
            load_preset(name)
        print_json(
            {
                "driftproof": metadata.version("driftproof"),
                "cuda": torch.cuda.is_available(),
                "presets": len(names),
                "preset_folder": str(preset_folder()),
                "sound": not health.advice,
                **asdict(health),
                "advice": health.advice,
            }
        )
        if health.advice:
            raise typer.Exit(2)
        return
    print_line(f"torch {health.torch}, CUDA GPU: {'yes' if torch.cuda.is_available() else 'no'}")
    print_line(f"aihwkit {health.aihwkit or 'not installed'}")
    for kind, fault in (("torch-based", health.torch_tile), ("compiled", health.compiled_tile)):
        print_line(f"  aihwkit's {kind} tile: {f'fails: {fault}' if fault else 'works'}")
    for name in names:
        load_preset(name)
    print_line(f"{len(names)} presets in {preset_folder()}: all valid")
    if health.advice:
        print_line(health.advice, head="not sound: ", style="bold red")
        works = (
            "evaluate (on the backend folded, the default), train, sensitivity and report work; what puts a network on "
            "tiles does not: convert and program in Python, the backend tiles"
        )
        if not health.torch_tile:
            works = "both backends work, because they use only the torch-based tile"
        print_line(f"Until then, {works}.")
        raise typer.Exit(2)
    print_line("", head="The installation is sound.", style="bold green")
