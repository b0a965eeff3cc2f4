"""What a checkpoint says of the stored picture, and files of version 1, which does not say it."""

import base64
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from checkpoints import edit, refused, same, tiny_net

from rawconv import checkpoint, models
from rawconv.layers.conv import Conv
from rawconv.net import Net

VERSION_1 = (  # the bytes of a file that the last writer of version 1 made
    'c-rk)e`p(39DkQzy=Li_rdjKpokv9GB$d0QNfs5?(M$^yJ6DRzEa7r_mmFU1j=O7TTf%~fqX?o?|M8zGgDD#h|4`gOotxkvLm9Gv>JNm0f6V'
    '@){|yE*-^;xV%{5uGQEe0Y$mQOB-}k-u&HH}7pYJ!P^G5|$nPG$?6kgF(Nin0$4Ac!tRTwVHjAfoqFru!OnB1%hnFJS$G81F_hhm8&ql%1K<'
    'V{B7b(0Z!c9=`W;og+UCDS5IC1OG%5sxQ^W9g(Q45w3qD2h;wCHZ73pBH!z@-Qv35W=L8%R^?ftw-}OAP@KW@AtcC8UPolw%ep_8MK~R>jo|'
    '<H_ncaWe&T*tzZy<38K!CVZRGd0N{}>w<U>@k-$R$xIq`7fd>Fl)l0ky`g)Nbu=dm~5C-;OH5vr48UY~)BD?77DkD{0%3kwftn9PaEU9@YSC'
    '{mYCFjI=Y{)3_vK)BEQVf7F07jA5VEvjDMG<p>eWx9FTaMfLiIZCO5GX)V9&0l<4Jf>M2=%?_6x@Cqb=}l{azY_{@(-Y++VvCH==n&VH~Glp'
    'OvDhN0*y#{e01!fE3_O)cJpn+{_{wRs3wRXvll8)SeSaX@f-_PWM&ESO4|0ufi?OSfBgLS61I7J2t&!aKgM&`TaWZZmmWP+!vI26BMiC2fa+'
    'x)#7m;afB_l|9CP5~fQMk&Hs!PS!@#bqLw{Ml%03)W&T}ClU~@|?Rw&0=OnK||z*p@Z8=t%;(tHl%3L~h`SC1fH^#pt}pM$dTJb}TR!8cxRB'
    '^LVdT$*LGm^8TzS=ttJSslvL+`Im|o!D4b6k@x#ko~tevHI(uehJw&^SzdA*lF`DqUN`WyZ*WI+>B-OpLos#-Ih3BmlGOCR$v#77O%zN<}Bi'
    '6j0+FJz$i`#?_iB?OT&PsDJcb`s$~$Z`G_dVCb9<+5GqX~hBOCJ_eea-#HaAHsZ05)1QjzJmS}t)KeADVe6X;ftJ4}@18GH2U&*7LFsBJnk|'
    'Wi1@GSN*mMfzl2^YVs!90Tu@iYj3C+t@nZ-Fi{Bp)r>-m0uW%(ctEzKEj!BI=^6@(nTUDfETtU}RrAk2OzZ80vz*zB&S*A57d_mHk?9^AUf2'
    '_0f)5;rNC7Cha4|$4I#2D3l6Cb8i<R6f3FcB;FV&yrH~w+^Vj?!ksAaUI^tde0DOxH6xV18lgx^R+D)FlZMF41}y*f#Z_S$#TB+~42nxendE'
    ';)ac8bAE;%XAXXgP2rd<wsv+-82zq`lM9dT_OiYv?Cp6*nN+Z_9U#_pU-&IKK*1WccwT8mV2I@tcH<jTckC!3~{oq-jp<O9OblZU+5Td$@yT'
    '`lO)Fy8O2uck?n{b{H{HT_8cD%Er;G$>Y04&qr}Nztaw*NOjpVJz!bHB%}fM%RBQt~&AI<*m)$F9aO!{V3%4|JY&g7q(VDzBM0#nkp1=;wrb'
    '|&gJM}`&OVMZ2OA6dvjj+{)Vw0b^nv$jaT;@r*4m0WY>AuS}-ru-~P<IX9w)5JCnNzy|eu*Lht5|dk?+B;M|YvQICE(u<`2A1y5$FQ$ug_Y9'
    'ESo?`(gHJNMRmHH!Ne(Bdvq'
)  # fmt: skip
ROOT = Path(__file__).parents[1]


def old(path, model="zf32-small"):
    """The file of version 1, under another model's name."""
    path.write_bytes(zlib.decompress(base64.b85decode("".join(VERSION_1))))
    edit(path, lambda file: file.attrs.__setitem__("model", np.bytes_(model)))
    assert path.read_bytes().startswith(b"rawconv checkpoint, version 1, ")


def test_version_1_is_read_to_the_bit(path):
    old(path)
    net, info, state = checkpoint.load(path)
    assert [(name, type(layer).__name__) for name, layer in net.layers] == [
        ("conv1", "Conv"), ("relu1", "ReLU"), ("fc2", "Conv"),
    ]  # fmt: skip
    for value in net.params.values():
        assert same(value, ((np.arange(value.size) % 7 - 3) / 4).reshape(value.shape).astype(np.float32))
    assert same(net.mean, np.arange(3, dtype=np.float32)) and (net.shape, net.classes) == ((8, 8, 3), ["a", "b"])
    assert info == {"data": "scenes"} and state["progress"] == {"epoch": 1}
    assert all(same(value, np.full_like(net.params[key], 0.5)) for key, value in state["momentum"].items())


@pytest.mark.parametrize("model, size", [("zf32-x", 32), ("zf64", 64), ("alex64-x", 64), ("lenet", 28), ("any", 256)])
def test_version_1_knows_the_stored_size_by_the_name(path, model, size):
    old(path, model)
    net = checkpoint.load(path).net
    assert net.stored == (size, size)
    checkpoint.save(path, net, {})
    edit(path, lambda file: file.attrs.__setitem__("model", np.bytes_("other")))
    assert checkpoint.load(path).net.stored == (size, size)


@pytest.mark.parametrize("file, size", [("rawconv/scenes.h5", 64)])
def test_the_file_of_the_package(file, size):
    assert (ROOT / file).read_bytes().startswith(b"rawconv checkpoint, version 1, ")
    assert checkpoint.load(ROOT / file).net.stored == (size, size)


def test_the_stored_size_is_kept(path):
    for stored in ((8, 8), (11, 20)):
        net = tiny_net(stored=stored)
        assert net.stored == stored
        checkpoint.save(path, net, {})
        assert checkpoint.load(path).net.stored == stored
        with h5py.File(path) as file:
            assert file.attrs["stored"].tolist() == list(stored)


def test_a_net_s_own_size_is_its_stored_size():
    """Unless it has a mean picture, or is one of the models, whose recipe says it."""
    layers = [("fc1", Conv(2, None))]
    assert Net((8, 9, 3), layers).stored == (8, 9)
    assert Net((8, 9, 3), layers, mean=np.zeros((10, 12, 3), np.float32)).stored == (10, 12)
    assert Net((8, 9, 3), layers, stored=(16, 9)).stored == (16, 9)
    expected = {"zf64": 64, "zf32": 32, "lenet": 28, "alexnet-fc2048": 256}
    assert {name: models.recipe(name).stored for name in expected} == expected
    assert models.build("lenet", 2).stored == (28, 28) and models.build("lenet", 2, size=40).stored == (40, 40)


@pytest.mark.parametrize("stored", [[7, 8], [8], [8.0, 8.0], [1 << 40, 8], [9, 8]])
def test_a_stored_size_that_cannot_be(path, stored):
    checkpoint.save(path, tiny_net(mean=np.zeros((8, 8, 3), np.float32)), {})
    edit(path, lambda file: file.attrs.__setitem__("stored", stored))
    refused(path, "stored")
