"""What can be switched off in a device, to see what it costs."""

from __future__ import annotations

from typing import Literal

Effect = Literal["levels", "programming", "drift", "read", "stuck"]
"""What can be switched off; :func:`driftproof.presets.without` says what each of them is."""
