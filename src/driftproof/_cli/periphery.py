"""``driftproof periphery``: the converters around an array, listed, shown, and written with other numbers."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table
from rich.text import Text

from driftproof._cli.console import print_json, print_line, print_table
from driftproof._cli.option_groups import add_command
from driftproof._cli.panels import OUTPUT, PERIPHERY
from driftproof._errors import DriftproofError

if TYPE_CHECKING:
    from driftproof.periphery import Periphery

periphery_app = typer.Typer(
    help="List the peripheries, show one of them, or write one with other converters for --periphery FILE.",
    no_args_is_help=True,
)
AsJson = Annotated[bool, typer.Option("--json", rich_help_panel=OUTPUT)]
Set = Annotated[list[str] | None, typer.Option("--set", rich_help_panel=PERIPHERY)]
NONE = "none"
"""The value of --set that takes a setting away."""


def list_command(*, as_json: AsJson = False) -> None:
    """List the peripheries that come with driftproof, with their converters and noise.

    Args:
        as_json: Print the peripheries as JSON, in place of the table.
    """
    from driftproof._cli.tables import plain_table, titled
    from driftproof.periphery import load_periphery, periphery_names

    found = [load_periphery(name) for name in periphery_names()]
    if as_json:
        print_json([{"name": each.name, "settings": str(each), "summary": each.summary} for each in found])
        return
    rows = [(each.name, str(each)) for each in found]
    notes = "driftproof periphery write NAME --set adc_bits=6 --out FILE.toml writes one with other numbers"
    print_table(titled("Peripheries", plain_table(("periphery", "converters and noise"), rows, words=2), notes))


def show_command(name: str, *, changes: Set = None, as_json: AsJson = False) -> None:
    """Show one periphery: every setting in the form of --set, its source, and what it leaves out.

    Args:
        name (PERIPHERY): The periphery: NAME of one that comes with driftproof, or FILE.toml.
        changes (KEY=VALUE): Change one setting, such as adc_bits=6, output_noise=0.02 or input_range.kind=dynamic; the
            value none takes a setting away. Repeat the option to change several.
        as_json: Print the periphery as JSON, in place of the lines: all that its TOML file holds.

    Example:
        driftproof periphery show standard --set adc_bits=6
    """
    from driftproof._reporting.cards import flatten

    shown = _changed(name, changes or [])
    if as_json:
        print_json(shown.definition() | {"sha256": shown.sha256})
        return
    print_line(f": {shown}", head=shown.name)
    if shown.summary:
        print_line(shown.summary)
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
    texts = ("name", "summary", "left_out")
    for key, value, _ in flatten({key: value for key, value in shown.definition().items() if key not in texts}):
        if value:
            table.add_row(Text(key), Text(value))
    print_table(table)
    for text in shown.leaves_out():
        print_line(f": {text}", head="left out")


def write_command(
    name: str,
    *,
    out: Annotated[Path, typer.Option(rich_help_panel=OUTPUT)],
    changes: Set = None,
) -> None:
    r"""Write a periphery with other numbers as a file, which `evaluate --periphery FILE.toml` takes.

    Args:
        name (PERIPHERY): The periphery to start from: NAME of one that comes with driftproof, or FILE.toml.
        out (FILE): File to write, which ends in .toml and must be new. The periphery gets its name, unless --set
            name=NAME gives another one.
        changes (KEY=VALUE): Change one setting, such as adc_bits=6, output_noise=0.02 or input_range.kind=dynamic; the
            value none takes a setting away. Repeat the option to change several. `driftproof periphery show NAME`
            prints the keys.

    Example:
        driftproof periphery write standard --set adc_bits=6 --set dac_bits=6 --out six.toml
        driftproof evaluate digits-cnn --data digits --preset pcm-nandakumar-2019 \
            --periphery standard --periphery six.toml --out converters
    """
    from driftproof.periphery import write_periphery

    if out.exists():
        raise DriftproofError(f"--out {out} exists already; choose another file, or delete it")
    named = [f"name={re.sub('[^a-z0-9._-]+', '-', out.stem.lower()).strip('-._') or 'mine'}"]
    written = _changed(name, named + (changes or []))
    print_line(f"{written.name}: {written}")
    print_line(f"periphery: {write_periphery(written, out)}")


def _changed(name: str, changes: Sequence[str]) -> Periphery:
    """Return a periphery with changed settings, which its name and its source tell."""
    from driftproof.periphery import Periphery, load_periphery

    start = load_periphery(name)
    tables: dict[str, Any] = start.definition()
    for text in changes:
        _change(tables, text)
    numbers = [text.strip() for text in changes if text.partition("=")[0].strip() not in ("name", "summary")]
    if numbers:
        changed = ", ".join(numbers)
        if tables["name"] == start.name:
            tables["name"] = f"{start.name} [{changed}]"
        if tables.get("summary") == start.summary:
            tables["summary"] = f"{start.name} with {changed}"
        source = tables["source"]
        source["where"] = f"{source['where']}; changed since: {changed}"
    return Periphery(**tables)


def _change(tables: dict[str, Any], text: str) -> None:
    """Change one value of nested tables from a text KEY=VALUE; another kind of a table begins as an empty one."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not key or not value:
        raise DriftproofError(f"--set {text!r}: wanted KEY=VALUE, such as adc_bits=6")
    *path, last = key.split(".")
    place = tables
    for part in path:
        inner = place.setdefault(part, {})
        if not isinstance(inner, Mapping):
            raise DriftproofError(
                f"--set {text!r}: {part} is no table; `driftproof periphery show NAME` prints the keys"
            )
        place[part] = place = dict(inner)
    if last == "kind" and place.get(last) != value:
        place.clear()
    if value == NONE:
        place.pop(last, None)
    else:
        place[last] = _value(value)


def _value(text: str) -> Any:
    """Return the value that a text has in a TOML file; a text that is none there is itself.

    >>> _value("6"), _value("dynamic"), _value("[1.0, 2.0]")
    (6, 'dynamic', [1.0, 2.0])
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


for _name, _command in (("list", list_command), ("show", show_command), ("write", write_command)):
    add_command(periphery_app, _name, _command)
