"""The effects of a device that can be switched off, to see how much each of them costs."""

from __future__ import annotations

from typing import Literal

Effect = Literal["levels", "programming", "drift", "read", "stuck", "variation"]
"""An effect that can be switched off; :func:`driftproof._presets.without` describes each of them."""
