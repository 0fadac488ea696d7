"""``driftproof doctor``: is this installation sound?"""

from __future__ import annotations

import typer
from rich.markup import escape

from driftproof.cli.console import lines


def doctor_command() -> None:
    """Run a tile of each kind and say whether this installation is sound. Exit code 2 if not, with the fix."""
    import torch

    from driftproof.conversion import check_installation
    from driftproof.presets import load_preset, preset_folder, preset_names

    console = lines()
    health = check_installation()
    console.print(f"torch {health.torch}, CUDA GPU: {'yes' if torch.cuda.is_available() else 'no'}")
    console.print(f"aihwkit {health.aihwkit or 'not installed'}")
    for kind, fault in (("torch-based", health.torch_tile), ("compiled", health.compiled_tile)):
        verdict = "[green]works[/green]" if not fault else f"[red]fails[/red]: {escape(fault)}"
        console.print(f"  aihwkit's {kind} tile: {verdict}")
    names = preset_names()
    for name in names:
        load_preset(name)
    console.print(f"{len(names)} presets in {escape(str(preset_folder()))}: all valid")
    if health.advice:
        console.print(f"[bold red]not sound:[/bold red] {escape(health.advice)}")
        if not health.torch_tile:
            console.print("Until then: both backends work, since they use the torch-based tile only.")
        else:
            console.print("Until then: the folded backend and reports work, the tiles backend does not.")
        raise typer.Exit(2)
    console.print("[bold green]sound[/bold green]")
