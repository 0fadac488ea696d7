"""The device atlas: one page for each preset, from its file, its laws and tracked results."""

from __future__ import annotations

import re
from typing import Any

from driftproof._presets import load_preset, preset_names
from driftproof._reporting.card_figures import card_figure
from driftproof._reporting.cards import card_content
from driftproof.evaluation._identity import preset_entries
from driftproof.times import format_time
from site_pages.drawing import render_small
from site_pages.results import accuracy_figure, accuracy_text, rows_of

# The sentences of laws are plain text for terminals; a page has the letters.
_LETTERS = {"sigma": "σ", "xi": "ξ", "nu": "ν", "sqrt": "√"}
_POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

_TABLES = {
    "conductance": "Conductances",
    "programming": "Programming",
    "drift": "Drift",
    "read": "Read noise",
    "levels": "Levels",
    "stuck": "Stuck devices",
    "variation": "Variation",
}


def pages() -> dict[str, bytes]:
    """Return the pages and pictures of all presets, and their list: path on the site → content."""
    names = sorted(preset_names(), key=lambda name: load_preset(name).of_no_device)
    made = {"devices/index.md": (_INTRODUCTION + "\n".join(map(_row, names)) + "\n").encode()}
    for name in names:
        made[f"devices/{name}.md"] = page(name).encode()
        made |= pictures(name)
    return made


def page(name: str) -> str:
    """Return the page of one preset as Markdown."""
    (entry,) = preset_entries(load_preset(name))
    return _page(name, card_content(entry))


def pictures(name: str) -> dict[str, bytes]:
    """Return the pictures of the page of one preset: path on the site → SVG."""
    (entry,) = preset_entries(load_preset(name))
    assert entry.card is not None
    made = {f"devices/{name}-laws.svg": render_small(card_figure, entry.card)}
    if rows_of(name)["t_s"].nunique() > 1:
        made[f"devices/{name}-accuracy.svg"] = render_small(accuracy_figure, name)
    return made


def with_letters(sentence: str) -> str:
    """Return a sentence about a law with Greek letters, roots and powers.

    >>> with_letters("sigma = 0.2 + 1.5 r^2 sqrt(t), xi standard normal, ((t + t0)/t0)^-nu")
    'σ = 0.2 + 1.5 r² √(t), ξ standard normal, ((t + t0)/t0)^−ν'
    """
    for word, letter in _LETTERS.items():
        sentence = re.sub(rf"\b{word}\b", letter, sentence)
    sentence = re.sub(r"\^(\d+)", lambda power: power[1].translate(_POWERS), sentence)
    return _plain(sentence.replace("^-", "^−"))


def _plain(text: str) -> str:
    """Return a text in which Markdown sees no marks."""
    return re.sub(r"([*_`|<>\[\]])", r"\\\1", str(text))


def _page(name: str, card: dict[str, Any]) -> str:
    condition = f" ({card['condition']})" if card["condition"] else ""
    parts = [
        f"# {name}{condition}",
        f"{_plain(card['summary'])}",
        *(f'!!! warning "Caveat"\n    {_plain(text)}' for text in card["caveats"]),
        _facts(card),
        _use(name),
        "## Laws",
        *(f"**{_TABLES.get(table, table)}.** {with_letters(text)}" for table, text in card["laws"]),
        "[Device laws](../device_laws.md) has the formulas of all laws, and what each key means.",
        "## Programming noise, drift and conductances over time",
        _plots(name, card),
        "## Accuracy of ResNet-20",
        _accuracy(name),
        "## Constants",
        "| key | value |\n|---|---|",
    ]
    page = "\n\n".join(part for part in parts if part)
    page += "".join(f"\n| `{key}` | {_plain(value)} {unit} |" for key, value, unit in card["constants"])
    if card["assumptions"]:
        page += "\n\n## Assumptions\n"
        page += "".join(f"\n- {_plain(text)}" for text in card["assumptions"])
    return page + f"\n\nThe numbers have the hash `{card['sha256']}`, which records and saved chips keep.\n"


def _use(name: str) -> str:
    return (
        f"```sh\ndriftproof presets show {name} --out card.html\n"
        f"driftproof evaluate digits-cnn --data digits --preset {name} --times 1s,1h,1d --chips 5 --out out/{name}\n```"
    )


def _facts(card: dict[str, Any]) -> str:
    source = card["source"]
    title = ". ".join(_plain(source[key]) for key in ("title", "authors", "venue") if source[key])
    year = f" ({source['year']})" if source["year"] else ""
    doi = f" [doi:{source['doi']}](https://doi.org/{source['doi']})" if source["doi"] else ""
    rows = [("family", card["family"]), ("source", f"{title}{year}.{doi}")]
    rows += [("place in the source", _plain(source["where"])), ("fitted by", _plain(source["fitted_by"]))]
    rows += [("validity", _plain("; ".join(card["validity"]))), ("time", _plain(card["time_zero"]))]
    rows += [
        ("see also", f"[{other.name}]({other.name}.md): {_plain(other.what)}. {_plain(other.results)}".strip())
        for other in card["variants"]
    ]
    return "\n\n".join(f"{key}\n:   {value}" for key, value in rows if value)


def _plots(name: str, card: dict[str, Any]) -> str:
    plots = card["plots"]
    words = "These plots are drawn from samples of the laws, by the sampler that evaluations and trainings use."
    if plots["devices"]:
        reading = "with" if plots["read_noise"] else "without"
        words += (
            " Spread: the standard deviation over devices, without read noise. Over time: five targets, the mean and"
            f" the middle 90 % of devices, {reading} read noise, before any compensation."
        )
    else:
        words += " The laws act on the net weight, and no device is modelled. Over time: five weights."
    words += " Errors of a tile's weights: normally distributed weights on 512 rows, drift compensated per tile."
    notes = " ".join(_plain(note) for note in plots["notes"])
    return f"{_picture(plots['alt'], f'{name}-laws.svg')}\n\n{words} {notes}".rstrip()


def _picture(alt: str, file: str) -> str:
    """Return a picture that leads to itself in full size, for narrow screens."""
    return f"[![{_plain(alt)}]({file})]({file})"


def _accuracy(name: str) -> str:
    rows = rows_of(name)
    if not len(rows):
        return "No tracked result has this preset: [experiments/all_devices](../experiments/all_devices.md) lacks it."
    first, last = rows.iloc[0], rows.iloc[-1]
    picture = "This device does not change in time, which makes one time stand for all.\n\n"
    if rows["t_s"].nunique() > 1:
        alt = (
            f"Accuracy of ResNet-20 over time on {name}: {first['mean']:.1f} % at {format_time(first['t_s'])}, "
            f"{last['mean']:.1f} % at {format_time(last['t_s'])}."
        )
        picture = f"{_picture(alt, f'{name}-accuracy.svg')}\n\n"
    return f"{picture}{accuracy_text(name)}\n\n{_METHOD}"


_METHOD = """Mean accuracy in % on all 10,000 test images of CIFAR-10, with 95 % intervals for new images and other
chips, and the drop against the digital network in points. The network has 91.73 % on a digital computer and was trained
without noise; the drift is compensated per tile, and the periphery is ideal. Times outside the preset's validity have a
star, and dashed lines. The numbers are from [experiments/all_devices](../experiments/all_devices.md)."""


def _row(name: str) -> str:
    preset = load_preset(name)
    low, high = preset.validity.t_s
    valid = "any" if preset.of_no_device else f"{format_time(low) if low else '0'} to {format_time(high)}"
    rows = rows_of(name)
    rows = rows[rows["preset"] == name].set_index("t_s")
    cells = []
    for t_s in (1.0, 86_400.0, 31_536_000.0):
        row = rows.loc[t_s if preset.changes_in_time else 1.0] if len(rows) else None
        cells.append("" if row is None else f"{row['mean']:.1f}{'' if preset.in_validity(t_s) else '*'}")
    return f"| [{name}]({name}.md) | {preset.family} | {valid} | {' | '.join(cells)} |"


_INTRODUCTION = """# The device atlas

Each page has the constants of a preset with their source, the formulas of its laws, plots of samples, and the accuracy
of ResNet-20 on CIFAR-10 over time. The pages are made from the preset files and from the results in
[experiments/all_devices](../experiments/all_devices.md). To describe a device of your own, see
[device laws](../device_laws.md).

The last three columns have the mean accuracy of ResNet-20 in %, with drift compensation per tile and an ideal periphery
(91.73 % on a digital computer). A star marks a time outside the range of validity.

| preset | family | valid times | 1 s | 1 d | 1 y |
|---|---|---|---|---|---|
"""
