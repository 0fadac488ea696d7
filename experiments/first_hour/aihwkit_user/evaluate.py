"""From aihwkit's file to a report."""

import sys

from trained import inputs, labels, net  # type: ignore[import-not-found]  # beside this file

import driftproof as dp

found = dp.from_aihwkit(sys.argv[1], net())
print(found)
assert found.network is not None
assert found.device is not None
record = dp.evaluate(
    found.network,
    (inputs[100:], labels[100:]),
    presets=[found.device, "pcm-nandakumar-2019"],
    times="1s, 1h, 1d, 1y",
    chips=25,
    out=sys.argv[2],
    **found.settings,
)
dp.report(record, sys.argv[2])
