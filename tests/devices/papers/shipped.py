"""The reference of every shipped preset. A new preset brings its own: another line here, and its law beside."""

from __future__ import annotations

from devices.papers import cmo, crosssim, hermes, nandakumar, net_weight, sonos, wan
from devices.papers.device import Devices, NetWeight

PAPERS: dict[str, Devices | NetWeight] = {
    "gaussian": NetWeight(net_weight.gaussian),
    "gaussian-layer": NetWeight(net_weight.gaussian, scale="layer"),
    "gaussian-multiplicative": NetWeight(net_weight.gaussian_multiplicative),
    "ideal": NetWeight(net_weight.ideal),
    "levels": NetWeight(net_weight.levels),
    "pcm-foundation-2025": NetWeight(net_weight.foundation),
    "pcm-hermes-1": Devices(hermes.one_device, 0.0, 10.35, read_noise="read-out", spectrum=hermes.ONE_DEVICE),
    "pcm-hermes-2": Devices(hermes.two_devices, 0.0, 20.7, read_noise="read-out", spectrum=hermes.TWO_DEVICES),
    "pcm-joshi-2020": Devices(crosssim.joshi, 0.0, 25.0),
    "pcm-nandakumar-2019": Devices(nandakumar.law, 0.0, 25.0, read_noise="read-out", spectrum=nandakumar.SPECTRUM),
    "reram-cmo-02pct": Devices(cmo.within_02_percent, 9.0, 88.2, "offset", "read-out", "column", spectrum=cmo.SPECTRUM),
    "reram-cmo-02pct-digital-reference": Devices(
        cmo.within_02_percent, 9.0, 88.2, "offset", "read-out", "constant", spectrum=cmo.SPECTRUM
    ),
    "reram-cmo-2pct-digital-reference": Devices(
        cmo.within_2_percent, 9.0, 88.2, "offset", "read-out", "constant", spectrum=cmo.SPECTRUM
    ),
    "reram-cmo-2pct": Devices(cmo.within_2_percent, 9.0, 88.2, "offset", "read-out", "column", spectrum=cmo.SPECTRUM),
    "reram-milo-2021": Devices(crosssim.milo, 50.0, 225.0),
    "reram-wan-2022": Devices(wan.law, 0.0, 40.0),
    "reram-wan-2022-crosssim": Devices(crosssim.wan, 0.0, 39.26),
    "sonos-agrawal-2022": Devices(sonos.law, 0.0, 16.0, read_noise="mvm"),
    "uniform": NetWeight(net_weight.uniform),
}
