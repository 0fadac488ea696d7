"""What a record holds in a few words: for a prompt and for a notebook."""

from __future__ import annotations

import html
import sqlite3
from collections.abc import Sequence

from driftproof._record.entries import DIGITAL, IDEAL_ANALOG, Subject
from driftproof.times import format_time

_MOST = 4
"""Number of names or times that are listed; of more, the first and the last stand for all."""

_MEASURED = """
SELECT DISTINCT preset, config_id, chip, t_s FROM cells JOIN shown USING (series_id)
WHERE preset NOT IN (?, ?) AND digital = '[]'
"""


def facts_of(connection: sqlite3.Connection, where: str) -> dict[str, str]:
    """Return what a record holds: name of a fact → its words.

    Args:
        connection: The open database.
        where: The file as text.
    """
    row = connection.execute("SELECT body FROM subject").fetchone()
    if row is None:
        return {"cells": "no cells yet", "file": where}
    subject = Subject.model_validate_json(row[0])
    measured = connection.execute(_MEASURED, (DIGITAL, IDEAL_ANALOG)).fetchall()
    names = {name for name, *_ in measured}
    asked = [name for (name,) in connection.execute("SELECT name FROM presets ORDER BY rowid") if name in names]
    presets = [*asked, *sorted(names - set(asked))]
    configurations = len({key for _, key, *_ in measured})
    times = sorted({t_s for *_, t_s in measured})
    (count,) = connection.execute("SELECT COUNT(*) FROM cells").fetchone()
    return {
        "network": subject.model,
        "data": f"{subject.data} ({subject.n_samples:,} samples)",
        "metric": subject.metric,
        "devices": _listed(presets) or "none yet",
        "configurations": f"{configurations}",
        "chips": f"{len({chip for _, _, chip, _ in measured})}",
        "times": _listed([format_time(t_s) for t_s in times]),
        "cells": f"{count:,}",
        "file": where,
    }


def as_text(facts: dict[str, str]) -> str:
    """Return facts in one line.

    >>> as_text({"network": "resnet20", "devices": "pcm", "chips": "1", "times": "", "cells": "3", "file": "in memory"})
    'Record(resnet20, devices pcm, 1 chip, 3 cells, in memory)'
    >>> as_text({"cells": "no cells yet", "file": "in memory"})
    'Record(no cells yet, in memory)'
    """
    if "network" not in facts:
        return f"Record({facts['cells']}, {facts['file']})"
    parts = [facts["network"], f"devices {facts['devices']}", f"{facts['chips']} chip{'s' * (facts['chips'] != '1')}"]
    parts += [facts["times"]] if facts["times"] else []
    return f"Record({', '.join([*parts, f'{facts["cells"]} cells', facts['file']])})"


def as_html(facts: dict[str, str]) -> str:
    """Return facts as a table for a notebook, every value escaped."""
    style = "text-align:left"
    rows = "".join(
        f'<tr><th scope="row" style="{style}">{html.escape(name)}</th>'
        f'<td style="{style}">{html.escape(words)}</td></tr>'
        for name, words in facts.items()
        if words
    )
    return (
        f'<table><caption style="{style}"><b>driftproof record</b></caption>{rows}</table>'
        "<small><code>dp.summarise(record)</code>: means and intervals; <code>record.to_pandas()</code>: all cells; "
        "<code>dp.figures.plot_over_time(record)</code>: a figure</small>"
    )


def _listed(names: Sequence[str]) -> str:
    """Return names in a row.

    >>> _listed(["1 s", "1 h"]), _listed(["1 s", "1 min", "1 h", "1 d", "1 y"])
    ('1 s, 1 h', '1 s … 1 y (5)')
    """
    if len(names) <= _MOST:
        return ", ".join(names)
    return f"{names[0]} … {names[-1]} ({len(names)})"
