"""docs/from_aihwkit.md: its code runs, and its table has every group of settings."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.configs.configs import QuantizedTorchInferenceRPUConfig
from aihwkit.simulator.parameters.inference import WeightClipParameter
from aihwkit.simulator.parameters.mapping import MappingParameter

PAGE = (Path(__file__).parents[2] / "docs" / "from_aihwkit.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::driftproof.DriftproofWarning")
def test_the_code_runs_and_gives_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(code, "from_aihwkit.md", "exec", dont_inherit=True), names)
    found = names["found"]
    assert found.device.name == "pcm-nandakumar-2019 [prog_noise_scale=1.2]"  # type: ignore[attr-defined]
    assert f"`{found.device.name}`" in PAGE  # type: ignore[attr-defined]
    written = tmp_path / "from-aihwkit"
    assert sorted(path.name for path in written.iterdir()) == ["device.toml", "periphery.toml", "weights.safetensors"]
    (command,) = re.findall(r"```text\n(driftproof evaluate MODEL .*?)```", PAGE, flags=re.DOTALL)
    again = names["found"].write(tmp_path / "again")  # type: ignore[attr-defined]
    assert command.replace("\\\n", "").split() == again.replace(str(tmp_path / "again"), "from-aihwkit").split()


def test_the_table_has_every_group_and_every_field_of_mapping() -> None:
    table = PAGE.partition("## Every setting")[2]
    for config in (InferenceRPUConfig(), QuantizedTorchInferenceRPUConfig()):
        for one in fields(config):
            assert one.name in table or "tile" in one.name, one.name
    for one in fields(MappingParameter):
        assert one.name in table, one.name
    assert {one.name for one in fields(WeightClipParameter)} == {"fixed_value", "sigma", "type"}
