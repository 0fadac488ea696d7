"""What does not fit is refused by name, what is damaged is noticed, and nothing is replaced silently."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

import driftproof as dp
from conversion.saved_networks import IMAGES, PCM, TOKENS, Language, images, trained
from driftproof._conversion import saving
from driftproof._errors import DriftproofError
from driftproof._mapping import map_model


class Renamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = images()


def untied() -> Language:
    made = Language()
    made.head.weight = nn.Parameter(made.head.weight.detach().clone())
    return made


def tied_more() -> Language:
    made = Language()
    made.norm.bias = made.norm.weight
    return made


def two_layers() -> Language:
    made = Language()
    made.again = nn.Linear(8, 8)
    return made


MISFITS = [
    (images, Renamed, ["9 missing in the network: 0.bias; 0.weight; 1.bias", "9 not in the file: body.0.weight"]),
    (images, lambda: images(classes=9), ["4.weight: [10, 144] float32 in the file, [9, 144] float32 in the network"]),
    (images, lambda: images().double(), ["0.bias: [4] float32 in the file, [4] float64 in the network"]),
    (images, lambda: nn.Sequential(*images(), nn.LayerNorm(10)), ["2 not in the file: 5.weight; 5.bias"]),
    (images, lambda: images(act=nn.GELU), ["2: class ReLU in the file, GELU in the network"]),
    (images, lambda: images(eps=1e-3), ["1: eps 1e-05 in the file, 0.001 in the network"]),
    (images, lambda: images(stride=2), ["stride [1, 1] in the file, [2, 2] in the network", "4.weight: [10, 144]"]),
    (Language, untied, ["head.weight and table.weight are one weight in the file, but not in the network"]),
    (Language, tied_more, ["norm.weight and norm.bias", "one tensor in the network, but not in the file"]),
    (Language, two_layers, ["again.weight", "are one weight in the file, but not in the network"]),
]


@pytest.mark.parametrize(("build", "other", "expected"), MISFITS, ids=[e[0][:30] for _, _, e in MISFITS])
def test_another_network_is_refused_by_name(
    build: Callable[[], nn.Module], other: Callable[[], nn.Module], expected: list[str], tmp_path: Path
) -> None:
    x = IMAGES if build is images else TOKENS
    folder = dp.save(dp.convert(trained(build()), PCM, example=x), tmp_path / "a")
    with pytest.raises(DriftproofError, match=r"the saved \w+ .* this \w+.*Build the network") as caught:
        dp.load(folder, other())
    for text in expected:
        assert text in str(caught.value)
    dp.load(folder, build())


def test_a_network_without_numbers_is_refused_by_name(tmp_path: Path) -> None:
    folder = dp.save(dp.convert(trained(images()), PCM, example=IMAGES), tmp_path / "a")
    with pytest.raises(DriftproofError, match=r"0\.weight has no numbers yet.*meta device"):
        dp.load(folder, images().to("meta"))


def test_what_makes_no_difference_is_taken(tmp_path: Path) -> None:
    folder = dp.save(dp.convert(trained(images()), PCM), tmp_path / "a")
    dp.load(folder, nn.DataParallel(images(momentum=0.5)))
    inplace = images()
    activation = inplace[2]
    assert isinstance(activation, nn.ReLU)
    activation.inplace = True
    dp.load(folder, inplace)


def edited(folder: Path, **changes: object) -> None:
    path = folder / "converted.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_other_versions_and_damage(tmp_path: Path) -> None:
    analog = dp.convert(trained(images()), PCM)
    folder = dp.save(analog, tmp_path / "a")
    form = (folder / "converted.json").read_text()

    def refused(*texts: str) -> None:
        with pytest.raises(DriftproofError) as caught:
            dp.load(folder, images())
        assert all(text in str(caught.value) for text in texts), caught.value

    edited(folder, format=2, driftproof="9.9")
    refused("format 2", "driftproof 9.9", "format 1", "update driftproof")
    edited(folder, format=0, driftproof="0.0.1")
    refused("format 0", "with driftproof 0.0.1")
    edited(folder, **json.loads(form) | {"compensation": 3})
    refused("damaged: compensation")
    (folder / "converted.json").write_text("{")
    refused("converted.json", "damaged", "driftproof.save")
    changed = json.loads(form)
    changed["device"]["preset"]["drift"]["t0_s"] = 30.0
    (folder / "converted.json").write_text(json.dumps(changed))
    refused("converted.json", "pcm-nandakumar-2019", "changed")
    (folder / "converted.json").write_text(form)
    dp.load(folder, images())
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused("weights.safetensors", "damaged", "hash")
    weights.unlink()
    refused("no ", "weights.safetensors", "driftproof.save")


@pytest.mark.parametrize("change", ["missing", "shape", "dtype", "unknown"])
def test_devices_of_another_shape(change: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = dp.save(dp.Chip(map_model(images()), dp.load_preset(PCM), seed=0, chip=0), tmp_path / "a")
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    if change == "missing":
        del tensors["chip/4/life"]
    elif change == "unknown":
        tensors["chip/4/more"] = torch.zeros(3)
    else:
        old = tensors["chip/4/life"]
        tensors["chip/4/life"] = old[:, :-1].clone() if change == "shape" else old.double()
    save_file(tensors, weights)
    edited(folder, weights_sha256=saving.sha256_of(weights))
    with pytest.raises(DriftproofError, match=r"layer 4: .*pcm-nandakumar-2019") as caught:
        dp.load(folder)
    assert "first [2, 1440], life [2, 1440]" in str(caught.value)


def test_targets_of_another_shape(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = dp.save(dp.convert(images(), PCM), tmp_path / "a")
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    tensors["target/4"] = tensors["target/4"][:, :7].clone()
    save_file(tensors, weights)
    edited(folder, weights_sha256=saving.sha256_of(weights))
    with pytest.raises(DriftproofError, match=r"'target/4' is torch.float32 \[10, 7\]; wanted .* \[10, 144\]"):
        dp.load(folder, images())


def test_nothing_is_replaced_silently(tmp_path: Path) -> None:
    chip = dp.Chip(map_model(images()), dp.load_preset(PCM), seed=0, chip=0)
    other = dp.Chip(map_model(images()), dp.load_preset(PCM), seed=0, chip=1)
    (tmp_path / "empty").mkdir()
    folder = dp.save(chip, tmp_path / "empty")
    with pytest.raises(DriftproofError, match=r"empty .*overwrite=True, --overwrite"):
        dp.save(other, folder)
    assert dp.load(folder).number == 0
    assert dp.load(dp.save(other, folder, overwrite=True)).number == 1
    (folder / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DriftproofError, match=r"empty .*notes\.txt.*choose another"):
            dp.save(chip, folder, overwrite=overwrite)
    assert (folder / "notes.txt").read_text() == "mine"
    with pytest.raises(DriftproofError, match="is a file"):
        dp.save(chip, folder / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_crash_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chip = dp.Chip(map_model(images()), dp.load_preset(PCM), seed=0, chip=0)
    folder = dp.save(chip, tmp_path / "a")

    def crash(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(saving, "write_atomically", crash)
        for place in (folder, tmp_path / "new"):
            with pytest.raises(OSError, match="disk full"):
                dp.save(chip, place, overwrite=True)
    rename = Path.rename

    def crash_at_last(path: Path, to: Path) -> Path:
        if to == folder and path.name != "was":
            crash()
        return rename(path, to)

    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", crash_at_last)
        with pytest.raises(OSError, match="disk full"):
            dp.save(chip, folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert dp.load(folder).number == 0


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(DriftproofError, match=r"Sequential.*convert it"):
        dp.save(images(), tmp_path / "a")  # type: ignore[arg-type]
    analog = dp.convert(images(), "ideal")
    analog.tiled["4"].tiles[0][0].tile.weight.data[0, 0] += 0.1
    with pytest.raises(DriftproofError, match=r"layer 4: .*tiles.*convert"):
        dp.save(analog, tmp_path / "a")

    class Stateful(nn.Linear):
        def get_extra_state(self) -> object:
            return {"any": "thing"}

        def set_extra_state(self, state: object) -> None: ...

    with pytest.raises(DriftproofError, match=r"1 \(Stateful\).*get_extra_state.*buffers"):
        dp.save(dp.convert(nn.Sequential(nn.Linear(8, 8), Stateful(8, 8)), PCM, where="0"), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_what_load_wants(tmp_path: Path) -> None:
    analog = dp.save(dp.convert(images(), "ideal"), tmp_path / "a")
    chip = dp.save(dp.Chip(map_model(images()), dp.load_preset(PCM), seed=0, chip=0), tmp_path / "b")
    with pytest.raises(DriftproofError, match=r"load\(folder, model\)"):
        dp.load(analog)
    with pytest.raises(DriftproofError, match="without a model"):
        dp.load(chip, images())
    with pytest.raises(DriftproofError, match=r"nowhere.*driftproof\.save"):
        dp.load(tmp_path / "nowhere")


def test_a_chip_from_another_kind_of_device_says_so(tmp_path: Path) -> None:
    folder = dp.save(dp.Chip(map_model(images()), dp.load_preset(PCM), seed=0, chip=0), tmp_path / "a")
    content = json.loads((folder / "converted.json").read_text())
    edited(folder, chip=content["chip"] | {"drawn_on": "cuda"})
    with pytest.warns(dp.DriftproofWarning, match=r"cuda.*cpu.*read noise"):
        dp.load(folder)


def test_a_mix_from_another_kind_of_device_says_so_if_a_part_has_read_noise(tmp_path: Path) -> None:
    mapping = map_model(images())
    last = list(mapping.weights)[-1]
    for number, text in enumerate((f"gaussian:0.1,{last}={PCM}", f"gaussian:0.1,{last}=ideal")):
        chip = dp.Chip(mapping, dp.load_device(text), seed=0, chip=0)
        folder = dp.save(chip, tmp_path / str(number))
        edited(folder, chip=json.loads((folder / "converted.json").read_text())["chip"] | {"drawn_on": "cuda"})
        with pytest.warns(dp.DriftproofWarning, match=r"cuda.*cpu") if number == 0 else nullcontext():
            dp.load(folder)
