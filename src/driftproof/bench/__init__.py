"""What the evaluation of a chip costs on this machine: ``python -m driftproof.bench``.

The unit is the best plain pass: the fastest eager forward pass of the same network on the same inputs, which the
benchmark chooses among layouts of memory and batch sizes. A cell is the evaluation of one chip at one time: a new chip
is programmed, drifts for a day, is compensated, and computes all inputs. Cells and plain passes alternate in one
process. A ratio is the median of the ratios of runs that were neighbours, with an interval from order statistics, so
that a slow minute of the machine slows both.

The results are one JSON object:

==============  ========================================================================================================
``schema``      1. It grows by one if a key changes its meaning or goes.
``quick``       Whether inputs and repetitions were few.
``started``     Time of the start in UTC.
``machine``     ``cpu``, ``cores``, ``threads`` of torch, ``os``, ``cuda``: texts.
``versions``    Package → version, or ``not installed``.
``commit``      Commit of the checkout, ``dirty`` if it has changes; empty outside a checkout.
``networks``    List with ``network``, ``title``, ``samples``, ``batch_size`` (of cells), ``device`` and ``t_s``.
``plain``       Candidates for the best plain pass: ``network``, ``layout``, ``batch_size``, ``seconds`` (median), and
                ``chosen``, true for one candidate of each network.
``cells``       Timings: ``network``, ``periphery``, ``what`` (``plain``, ``compiled plain``, ``driftproof``,
                ``driftproof, one sample``, ``aihwkit torch tile``, ``aihwkit compiled tile``, ``CrossSim``),
                ``seconds`` for all samples (median), ``samples`` that were computed, ``runs``, ``to_plain``, for cells
                of driftproof ``to_plain_of_many`` (extrapolated to 2,000 samples), and for peers ``to_driftproof``
                (both else null). These are objects of ``median``, ``low``, ``high`` and ``confidence``, the share of
                such intervals that contain the median of all possible runs.
``missing``     What was not measured: ``what`` and ``why``.
``workers``     ``workers`` (processes of one thread each), ``chips_per_second`` of the first network (median),
                ``runs``, and ``to_one``, an object like ``to_plain``.
``memory``      ``chips`` and ``peak_bytes`` of a process that evaluates this number of chips of a small network.
``needed``      Samples that an interval of ±0.5 points needs: rows of the file that was given, else empty.
==============  ========================================================================================================
"""

from driftproof.bench._run import benchmark

__all__ = ["benchmark"]
