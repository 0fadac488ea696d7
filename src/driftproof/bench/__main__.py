"""``python -m driftproof.bench``: what the evaluation of a chip costs on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m driftproof.bench",
        description="Time the evaluation of chips against plain PyTorch passes and other simulators on this machine. "
        "Networks and inputs are random; nothing is downloaded. The whole benchmark takes about an hour on two cores, "
        "--quick some minutes. Progress goes to stderr, the table to stdout.",
    )
    parser.add_argument("--quick", action="store_true", help="use few inputs and 3 paired runs instead of 7")
    parser.add_argument(
        "--json", action="store_true", help="print the results as JSON (default: as tables in Markdown)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder for results.json and results.md (default: the results are only printed)",
    )
    parser.add_argument(
        "--networks",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="networks to time, with commas: resnet20, resnet18, bert-layer (default: all)",
    )
    parser.add_argument(
        "--peripheries",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="peripheries to time, with commas: ideal; static, 8-bit converters with static input ranges; noise, the "
        "same with output noise; dynamic, 8-bit converters with a range for every input vector (default: all)",
    )
    parser.add_argument(
        "--compiled",
        action=argparse.BooleanOptionalAction,
        help="time plain passes of torch.compile as well (default: unless --quick)",
    )
    parser.add_argument(
        "--others",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time other simulators, several workers and memory as well (default: yes)",
    )
    parser.add_argument(
        "--needed",
        type=Path,
        metavar="FILE",
        help="add the samples that an interval of ±0.5 points needs, from the CSV file of experiments/few_passes "
        "(default: they are left out)",
    )
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Run the benchmark, print its results, and write them where that is asked for."""
    arguments = _parser().parse_args(words)
    # torch takes seconds to import, and --help does not need it
    import json

    from driftproof._errors import DriftproofError
    from driftproof._files import make_folder, write_atomically
    from driftproof.bench import benchmark
    from driftproof.bench._table import markdown

    names = {key: value for key in ("networks", "peripheries") if (value := getattr(arguments, key)) is not None}
    options = {"compiled": arguments.compiled, "others": arguments.others, "needed": arguments.needed}
    try:
        if arguments.out is not None:
            make_folder(arguments.out)  # a folder that cannot be made is to be said before anything is timed
        results = benchmark(quick=arguments.quick, **names, **options)
    except DriftproofError as error:
        sys.exit(f"error: {error}")
    as_json, as_table = json.dumps(results, indent=1, ensure_ascii=False) + "\n", markdown(results)
    if arguments.out is not None:
        write_atomically(arguments.out / "results.json", as_json.encode())
        write_atomically(arguments.out / "results.md", as_table.encode())
    sys.stdout.write(as_json if arguments.json else as_table)


if __name__ == "__main__":
    main()
