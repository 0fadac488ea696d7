"""``driftproof presets``: the devices that can be evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from driftproof.cli.console import lines, tables
from driftproof.cli.fit import fit_command

ERROR_TIMES = ("1s", "1d", "1y")

presets_app = typer.Typer(help="List the devices, or show one with its source and constants.", no_args_is_help=True)
presets_app.command("fit")(fit_command)


@presets_app.command("list")
def list_command() -> None:
    """List the presets that come with driftproof."""
    from driftproof.presets import load_preset, preset_names
    from driftproof.times import format_time, parse_time
    from driftproof.weight_error import weight_error

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), caption_justify="left")
    table.add_column("preset", overflow="fold")
    table.add_column("family")
    for heading in ("µS", "levels", "valid", *ERROR_TIMES):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in preset_names():
        preset = load_preset(name)
        low, high = preset.validity.t_s
        encoding, (g_min, g_max) = preset.conductance, preset.conductance.ends
        errors = []
        for time in ERROR_TIMES:
            t_s = parse_time(time)
            mark = "" if preset.in_validity(t_s) else "*"
            errors.append(f"{100 * weight_error(preset, t_s):.1f}{mark}")
        table.add_row(
            f"{name}:{preset.argument.rpartition('.')[2].upper()}" if preset.argument else name,
            preset.family,
            f"{g_min:g}-{g_max:g}" if encoding.has_devices else "",
            "" if preset.levels is None else str(preset.levels.count),
            "any" if preset.of_no_device else f"{format_time(low)}-{format_time(high)}".replace(" ", ""),
            *errors,
        )
    table.caption = (
        "Last columns: error of a weight at half the range, in % of the column's maximum (root mean square, drift "
        "compensated per tile); * outside the range of validity, where tables hold their last value"
    )
    tables().print(table)


@presets_app.command("show")
def show_command(
    name: Annotated[
        str, typer.Argument(help="NAME, NAME:ARGUMENT, FILE.toml, DEVICE,LAYERS=DEVICE or measured:FOLDER.")
    ],
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one number.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the card: FILE.html, or only its plots: FILE.svg, FILE.png.")
    ] = None,
) -> None:
    """Show one device: source, constants with their units, validity, assumptions, and what its devices do."""
    from driftproof.cli.card import card_tables, fit_table
    from driftproof.device_choice import load_device
    from driftproof.errors import DriftproofError
    from driftproof.evaluation.identity import preset_entries
    from driftproof.laws import in_words
    from driftproof.presets import parse_changes
    from driftproof.reporting.cards import fit_content, write_card

    preset = load_device(name, parse_changes(changes or []))
    definition = preset.definition()
    console = lines()
    console.print(f"[bold]{escape(preset.name)}[/bold] ({definition['family']}): {escape(definition['summary'])}")
    table = Table(show_header=False, box=None, pad_edge=False)
    for section, content in definition.items():
        if isinstance(content, dict) and section != "fit":
            table.add_row(f"[bold]{section}[/bold]", "")
            for key, value in content.items():
                if value != "":
                    table.add_row(f"  {key}", escape(_text(value)))
    console.print(table)
    for section, sentence in in_words(definition).items():
        console.print(f"[bold]{section}[/bold]: {escape(sentence)}")
    if preset.laws is None:
        if out:
            raise DriftproofError(f"{preset.name} has no card: cards are made from the laws of a single preset")
        return
    for assumption in definition["assumptions"]:
        console.print(f"- {escape(assumption['text'])}")
    if fit := fit_content(definition.get("fit")):
        tables().print(fit_table(fit))
    (entry,) = preset_entries(preset)
    assert entry.card is not None
    for numbers in card_tables(entry.card):
        tables().print(numbers)
    for note in entry.card.notes:
        console.print(f"- {escape(note)}")
    if out:
        console.print(f"card: {escape(str(write_card(entry, out)))}")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} = {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return f"[{', '.join(_text(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
