"""``driftproof presets``: the device models that can be evaluated."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from driftproof._cli.console import print_json, print_line, print_table
from driftproof._cli.deployment_groups import Changes
from driftproof._cli.fit import fit_command
from driftproof._cli.option_groups import add_command
from driftproof._cli.template import template_command
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof._devices import Device
    from driftproof._presets.preset import DevicePreset

ERROR_TIMES = ("1s", "1d", "1y")

presets_app = typer.Typer(
    help="List the presets, show one of them, or make a device of your own measurements: fit, template.",
    no_args_is_help=True,
)


AsJson = Annotated[bool, typer.Option("--json")]


def list_command(*, as_json: AsJson = False) -> None:
    """List the presets that come with driftproof: family, conductances, valid times, and errors of a weight.

    Args:
        as_json: Print the presets as JSON, in place of the table. Times are in s, errors in % of a column's maximum.
    """
    from driftproof._cli.tables import plain_table, titled
    from driftproof._presets import load_preset, preset_names

    presets = [load_preset(name) for name in preset_names()]
    if as_json:
        print_json(list(map(_content, presets)))
        return
    arguments = {_argument(preset): attrgetter(preset.argument)(preset) for preset in presets if preset.argument}
    headings = ("preset", "family", "conduct-\nance (µS)", "valid\ntimes", *ERROR_TIMES)
    print_table(
        titled(
            "Presets",
            plain_table(headings, map(_row, presets), words=2),
            f"{', '.join(ERROR_TIMES)}: root mean square error of weights at half the maximum at these times, "
            "in % of the column's maximum, drift compensated per tile",
            f"The numbers hold for {', '.join(f'{name} = {value:g}' for name, value in arguments.items())}.",
            "* outside the range of validity; a law that is given as a table over time keeps its last value there",
            *_time_notes(presets),
            *_condition_notes(presets),
            *_other_notes(presets),
        )
    )


def _time_notes(presets: list[DevicePreset]) -> list[str]:
    """Return what t = 0 is, and how long after the last programming pulse it is."""
    from driftproof.laws._words import first_read_s

    after: dict[float, list[str]] = {}
    for preset in presets:
        if (t0_s := first_read_s(preset.definition())) is not None:
            after.setdefault(t0_s, []).append(preset.name)
    lines = [f"{t0_s:g} s for {', '.join(names)}" for t0_s, names in sorted(after.items())]
    return [f"Times count from the first read, which is t0 after the last programming pulse: {'; '.join(lines)}."]


def _condition_notes(presets: list[DevicePreset]) -> list[str]:
    """Return the presets whose results hold for one condition, by condition."""
    by_condition: dict[str, list[str]] = {}
    for preset in presets:
        if text := preset.conductance.condition:
            by_condition.setdefault(text, []).append(preset.name)
    return [f"{', '.join(names)}: with a {text}" for text, names in by_condition.items()]


def _other_notes(presets: list[DevicePreset]) -> list[str]:
    """Return the links between presets of one device, each once."""
    from driftproof._presets.notes import other_presets

    lines: dict[frozenset[str], str] = {}
    for preset in presets:
        for other in other_presets(preset.definition()):
            pair = frozenset((preset.name, other.name))
            lines.setdefault(pair, f"{preset.name}: see also {other.name}, {other.what}")
    return list(lines.values())


def _argument(preset: DevicePreset) -> str:
    return preset.argument.rpartition(".")[2].upper()


def _errors(preset: DevicePreset) -> dict[float, float]:
    """Return time in s → root mean square error of weights at half the maximum, in % of the column's maximum."""
    from driftproof._weight_error import weight_error
    from driftproof.times import parse_time

    return {t_s: 100 * weight_error(preset, t_s) for t_s in map(parse_time, ERROR_TIMES)}


def _content(preset: DevicePreset) -> dict[str, Any]:
    """Return what the list says of a preset, as plain values."""
    encoding = preset.conductance
    return {
        "name": preset.name,
        "argument": _argument(preset).lower() if preset.argument else None,
        "family": preset.family,
        "summary": preset.definition()["summary"],
        "g_us": list(encoding.ends) if encoding.has_devices else None,
        "valid_s": None if preset.of_no_device else list(preset.validity.t_s),
        "condition": preset.conductance.condition or None,
        "weight_error_percent": [
            {"t_s": t_s, "error": error, "in_validity": preset.in_validity(t_s)}
            for t_s, error in _errors(preset).items()
        ],
    }


def _row(preset: DevicePreset) -> list[str]:
    from driftproof.times import format_time

    encoding, (g_min, g_max) = preset.conductance, preset.conductance.ends
    valid = "-".join(format_time(t_s).replace(" ", "") if t_s else "0" for t_s in preset.validity.t_s)
    return [
        f"{preset.name}:{_argument(preset)}" if preset.argument else preset.name,
        preset.family,
        f"{g_min:g}-{g_max:g}" if encoding.has_devices else "",
        "any" if preset.of_no_device else valid,
        *(f"{error:.1f}{'' if preset.in_validity(t_s) else '*'}" for t_s, error in _errors(preset).items()),
    ]


def show_command(name: str, *, changes: Changes = None, out: Path | None = None, as_json: AsJson = False) -> None:
    r"""Show one device: source, constants with units, laws, caveats, assumptions, and simulated conductances over time.

    Args:
        name (DEVICE): The device: NAME of a preset, NAME:ARGUMENT (gaussian:0.05), FILE.toml, DEVICE,LAYERS=DEVICE for
            different devices in different layers, or measured:FOLDER for the conductances of real chips.
        changes (KEY=VALUE): Change one number of the preset, such as drift.t0_s=30. Repeat the option to change several
            numbers.
        out (FILE): File for the device card, in place of the lines: .html (a page with plots), or .svg or .png (only
            the plots). Default: the card is not written.
        as_json: Print the definition of the device as JSON, in place of the lines: all that its TOML file holds.

    Example:
        driftproof presets show pcm-nandakumar-2019 --out card.html
    """
    from driftproof._device_choice import load_device
    from driftproof._presets import parse_changes
    from driftproof._reporting.cards import write_card
    from driftproof.evaluation._identity import preset_entries

    preset = load_device(name, parse_changes(changes or []))
    definition = preset.definition()
    if out and preset.laws is None:
        raise DriftproofError(f"{preset.name} has no card: cards are made from the laws of a single preset")
    card = write_card(preset_entries(preset)[-1], out) if out else None
    if as_json:
        print_json(definition | {"sha256": preset.sha256} | ({} if card is None else {"card": str(card)}))
        return
    print_line(f" ({definition['family']}): {definition['summary']}", head=preset.name)
    if card is None:
        _describe(preset)
    else:
        print_line(f"card: {card}")


def _describe(preset: Device) -> None:
    """Print what is known of a device: constants, laws in words, assumptions, and the numbers of its card."""
    from driftproof._cli.card import card_tables, fit_table
    from driftproof._presets.notes import caveat_texts, other_presets
    from driftproof._reporting.cards import fit_content, flatten
    from driftproof.evaluation._identity import preset_entries
    from driftproof.laws._words import in_words, time_zero

    definition = preset.definition()
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    tables = {key: content for key, content in definition.items() if isinstance(content, dict) and key != "fit"}
    for key, value, unit in flatten(tables):
        if value:
            # as --set takes it
            table.add_row(Text(key.replace("[", ".").replace("]", "")), Text(f"{value} {unit}".rstrip()))
    print_table(table)
    for section, sentence in in_words(definition).items():
        print_line(f": {sentence}", head=section)
    if preset.laws is None:
        return
    if sentence := time_zero(definition):
        print_line(f": {sentence}", head="time")
    if preset.laws.conductance.condition:
        print_line(f": {preset.laws.conductance.condition}", head="condition")
    for text in caveat_texts(definition):
        print_line(f": {text}", head="caveat")
    for other in other_presets(definition):
        print_line(f" {other.name}: {other.what}. {other.results}".rstrip(), head="see also")
    lines = [f"- {assumption['text']}" for assumption in definition["assumptions"]]
    print_line("\n".join(lines), head="Assumptions\n" if lines else "")
    print_line("")
    if fit := fit_content(definition.get("fit")):
        print_table(fit_table(f"fitted from measurements: {fit['sentence']}", fit))
    (entry,) = preset_entries(preset)
    assert entry.card is not None
    for numbers in card_tables(entry.card):
        print_table(numbers)
    for note in entry.card.notes:
        print_line(f"- {note}")


for _name, _command in (
    ("list", list_command),
    ("show", show_command),
    ("fit", fit_command),
    ("template", template_command),
):
    add_command(presets_app, _name, _command)
