"""Currents at a voltage and resistances → conductances."""

from __future__ import annotations

import numpy as np
import pandas as pd

from driftproof._errors import DriftproofError
from driftproof._lab_tables.columns import Found
from driftproof._lab_tables.options import TableOptions
from driftproof._lab_tables.units import rounded


def to_conductance(
    place: str, one: Found, values: pd.Series[float], voltage_v: pd.Series[float] | float | None, options: TableOptions
) -> pd.Series[float]:
    """Return conductances in µS.

    Args:
        place: The file, for messages.
        one: The column, whose unit says what its values are.
        values: Conductances in µS, currents in µA, or resistances in MΩ.
        voltage_v: Voltage of each reading in V, or of all; None if it is not known.
        options: Options, for messages.

    Raises:
        DriftproofError: The values are currents, and no voltage is known.
    """
    assert one.unit is not None
    if one.unit.dimension == "conductance":
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        if one.unit.dimension == "resistance":
            found = 1 / values.to_numpy()
        elif voltage_v is None:
            raise DriftproofError(
                f"{place}: {one.name} is a current: wanted a column with the voltage, named V (V), or "
                f"{options.flag('voltage')} with the read voltage in V"
            )
        else:
            found = values.to_numpy() / np.asarray(voltage_v)
    return pd.Series(rounded(found), values.index)
