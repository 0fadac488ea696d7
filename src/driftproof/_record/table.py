"""The table of cells: its columns and its order, which every export shares."""

from __future__ import annotations

import json

import pandas as pd

DTYPES = {
    "config_id": "object",
    "label": "object",
    "model": "object",
    "preset": "object",
    "backend": "object",
    "periphery": "object",
    "compensation": "object",
    "device": "object",
    "digital": "object",
    "t_s": "float64",
    "in_validity": "bool",
    "chip": "int64",
    "seed": "int64",
    "metric": "object",
    "value": "float64",
    "n_samples": "int64",
}
CELL_COLUMNS = tuple(DTYPES)

# One statement sees one state of the file, whatever another process writes meanwhile. Chips of an ideal device may be
# in the table as well; the row "ideal-analog" is one cell. Cells without layers kept digital come first: "[]" would be
# sorted after '["a layer"]'.
ROWS = """
SELECT config_id, preset, digital, chip, t_s, in_validity, value, seen AS n_samples, seconds, diagnostics, run_id,
    json_extract(subject.body, '$.model') AS model, json_extract(subject.body, '$.metric') AS metric,
    json_extract(shows.body, '$.label') AS label, json_extract(shows.body, '$.backend') AS backend,
    json_extract(shows.body, '$.periphery') AS periphery, json_extract(shows.body, '$.compensation') AS compensation,
    json_extract(shows.body, '$.device') AS device, json_extract(shows.body, '$.seed') AS seed
FROM subject, shown JOIN configurations AS shows USING (config_id) JOIN cells USING (series_id)
WHERE preset <> 'ideal-analog' OR (chip = 0 AND t_s = 0 AND digital = '[]')
ORDER BY label, config_id, CASE preset WHEN 'digital' THEN 0 WHEN 'ideal-analog' THEN 1 ELSE 2 END, preset,
    trim(digital, '[]'), t_s, chip
"""


def digital_text(layers: str) -> str:
    """Return the names of the layers kept digital, a JSON list, as the column of a table shows them.

    >>> digital_text('["conv1", ""]')
    'conv1 (root)'
    """
    return " ".join(name or "(root)" for name in json.loads(layers))


def digital_names(text: str) -> frozenset[str]:
    """Return the names of the layers kept digital from the text of :func:`digital_text`."""
    return frozenset(text.split())


def shown_id(config_id: str) -> str:
    """Return the name of a configuration in files and on pages.

    It begins with a letter: a spreadsheet, like pandas, takes ``9924880e55`` for a number with an exponent.

    >>> shown_id("9924880e55")
    'c9924880e55'
    """
    return f"c{config_id}"


def with_shown_ids(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose column ``config_id`` is safe to write as text."""
    if "config_id" not in table:
        return table
    return table.assign(config_id=table["config_id"].map(shown_id))
