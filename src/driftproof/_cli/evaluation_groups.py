"""Option groups that commands share: the evaluation, its precision, and what computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from driftproof._cli.panels import COMPUTATION, NETWORK, STATISTICS
from driftproof._defaults import BATCH_SIZE, CI_OF, CI_ON, METRIC, TORCH_DEVICE

if TYPE_CHECKING:
    from driftproof._mapping import LayerEntry
    from driftproof.data import Data
    from driftproof.evaluation import Evaluator
    from driftproof.evaluation._executor import Executor
    from driftproof.plans._precision import Precision
    from driftproof.zoo._load import LoadedModel


@dataclass(kw_only=True)
class WorkerOptions:
    """Where trials are computed.

    Attributes:
        workers (N): Number of processes on this machine that compute side by side. The chips are the same as without
            them. Default: one process, with all processor cores.
        cluster (ADDRESS): Address of a Ray cluster that computes, such as 10.0.0.1:6379, or auto for the cluster that
            this machine is in; --workers is then the number of its workers. Needs Ray, the extra `ray` of driftproof.
            Default: no cluster.
        threads (N): Number of threads, of each worker if there are workers. The same number of threads gives the same
            cells. Default: 1 for a small network, which more threads slow down on a busy machine, else the processor
            cores; with --workers, the cores divided by them, or 1 on a cluster.
        worker_timeout (TIME): Time after which a worker that has not finished a trial is replaced, such as 30min; the
            units are s, min, h and d. Default: 20 times the longest trial so far, but at least 10 minutes, and one hour
            while no trial is finished.
    """

    panel: ClassVar[str] = COMPUTATION
    workers: int | None = None
    cluster: str | None = None
    threads: int | None = None
    worker_timeout: str | None = None

    @contextmanager
    def executor(
        self, layers: Sequence[LayerEntry], batch_size: int, used: dict[str, Any], *, quiet: bool
    ) -> Iterator[Executor]:
        """Yield the executor, whose workers end with the ``with`` block.

        Without workers, this process has the number of threads that the options ask for, or that suits the network.

        Args:
            layers: Layers of the network.
            batch_size: Number of samples in a forward pass.
            used: Values that ``run.toml`` keeps; it gets the number of threads of this process.
            quiet: Whether to say nothing of the number of threads.
        """
        import torch

        from driftproof._cli.threads import threads_for
        from driftproof.evaluation._executor_choice import executor_for
        from driftproof.times import parse_time

        timeout_s = None if self.worker_timeout is None else parse_time(self.worker_timeout)
        if self.workers is not None or self.cluster is not None:
            with executor_for(self.workers, self.cluster, self.threads, timeout_s) as executor:
                yield executor
        else:
            with (
                threads_for(layers, batch_size, self.threads, quiet=quiet),
                executor_for(timeout_s=timeout_s) as executor,
            ):
                used["threads"] = torch.get_num_threads()
                yield executor


@dataclass(kw_only=True)
class EvaluatorOptions:
    """The evaluation: the metric, the number of samples, and the processor.

    Attributes:
        metric (METRIC): Metric: accuracy, top5, token-accuracy, f1, perplexity, mse, or FILE.py:FUNCTION, a function of
            (outputs, targets) that returns a number.
        limit (N): Number of samples to evaluate on, from the start of the data. Default: all samples.
        batch_size: Number of samples in one forward pass. It affects speed and memory.
        device: Processor that runs the simulation (not the memory device; see --preset): cpu or cuda.
    """

    panel: ClassVar[str] = NETWORK
    metric: str = METRIC
    limit: int | None = None
    batch_size: Annotated[int, typer.Option(rich_help_panel=COMPUTATION)] = BATCH_SIZE
    device: Annotated[str, typer.Option(rich_help_panel=COMPUTATION)] = TORCH_DEVICE

    def limited(self, data: Data) -> Data:
        """Return the first samples of the data, or all."""
        return data if self.limit is None else data.head(self.limit)

    def evaluator(self, loaded: LoadedModel, data: Data, backend: str) -> Evaluator:
        """Return an evaluator of a network on data."""
        from driftproof.evaluation import Evaluator

        return Evaluator(
            loaded.model,
            data,
            self.metric,
            backend=backend,
            batch_size=self.batch_size,
            torch_device=self.device,
            name=loaded.name,
        )


@dataclass(kw_only=True)
class PrecisionOptions:
    """How narrow intervals are to become, in place of a number of chips on all samples.

    Attributes:
        ci (HALF_WIDTH): Stop each device at each time when the half-width of its 95 % interval is at most this, in the
            unit of the metric: 0.5 for points of accuracy. Each chip sees random samples, more of those that the
            digital network is in doubt about, and as many chips are programmed as are needed. The report then has no
            worst chip and no yield, which need all samples. Default: all samples on --chips chips.
        budget (TIME): Stop after this time, such as 5m or 1h, and spend it where intervals are widest. Chips see parts
            of the samples, as with --ci; with both, whichever comes first. Default: no limit.
        ci_of (QUANTITY): The quantity whose interval becomes narrow: drop (compared with the digital network) or mean.
        ci_on (SAMPLES): Samples for which the interval of --ci holds: these (the samples of --data) or new (all inputs
            of their kind), which needs many samples.
    """

    panel: ClassVar[str] = STATISTICS
    ci: float | None = None
    budget: str | None = None
    ci_of: str = CI_OF
    ci_on: str = CI_ON

    def precision(self, chips: int | str) -> Precision | None:
        """Return the precision that was asked for, None if none was."""
        from driftproof.plans._precision import precision_of

        return precision_of(self.ci, self.budget, self.ci_of, self.ci_on, chips)
