"""What a checkpoint says of the stored picture, and files of version 1, which does not say it."""

import base64
import json
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from checkpoints import PROGRESS, edit, refused, same, tiny_net

from rawconv import checkpoint, models
from rawconv.layers.conv import Conv
from rawconv.layers.dropout import Dropout
from rawconv.net import Net

VERSION_1 = (  # the bytes of a file that the last writer of version 1 made
    'c-rk)|7#pY6ra5$*UjaM$z9Tjk#>6_O7tSTd)doX(WY&h2CGJ+;+LZ5-0oa%^=@~&yO%UcgAt?<e@a^@f*4Sn9|Q$|@drT^1rhv$V5JsmP5n'
    'tq|A2}pab|b+$Zc}XS)$2>47uB#H}B27y!pJ(n;R33%epqk$vGsyV(6-7$GI_NTB@#bLYx~K7?ilIsTa7+gpD{!5aZmFLkD_9Daq+s&dx!bG'
    'oWd6yx0ekgcO*7k}PIq0g0J}sAL5pl~qtmLK(OZCSgkG&B&sV68mH%iE=_w1f>tFOWbzbh!&c~JG?V=M<~Fu00e;3mS}r$x7+942Uz&^r-Q>'
    'o10w<OXLB<E?RBnLpu?d6U;rQ^-_jA0j)Xe_r~^9y3+e&L>Sh7jAld@3#9h;LK^X2PYAgs7H3~w|jQwJrS^6Da#+$Q?C<om+3%Y{x&XgfK<z'
    'zM?_E-g&&xen=ieb<SfR%#=DxZ^K80s$Yo~-Zb$w^b@(`TI^Fo0p|-Nouyz>vi+;`as|g}M+M!BXY`4d_MB_&czr+R4CMSEphMv|;RiE@sI{'
    'Lsl%##Y`lt2Ewwb7&3G@XW>^t!UGv-%Q?~!Q@EEm@hg8Hk9h_g=a5p&6Qh`{TdIc0MB~sb6b(m<m}gbfveVRzSQYdF((Gcv5$wYP1<7#2ot5'
    'V$#}y6Ztz;mZI+-qJK&6)~VA;Bf6f8;hPLnQjI{ftTp`oLJ$ns?HTJSc4!FpB8>Jr6b`jeRl+`Krkx{aF|)Utq}_P2+q!|SvYOOM`liul|XA'
    '?e^>pX6j`usmCjcD%N?gkzi;tK~smD_~l<J!DGUIMB|5_E&uvZ)~9X=(+My?cw;~@WZdWZ!`M|Dfr_;)7az3Qob|3SnLg!>w!;eJHH2hzvpe'
    '3A-Ez4`q_t|pc8>$9%fM9YNIfSh$ok-$%QDfWqCeLh+klL&?%`{NSi2M6rO1+TZtFbSy{YJg`lm1*T=rNal!MsE8@y}{XS3N^70h@hi;@y+4'
    'cDvvANpliW6mZZS~9w?<U#O;8r1f0@oITi+YNIL!_vkCK`>dhJ|cf)kZBx%c5FSnAh?)_6IYMNJvPXBs6#|5$6&wI2>iFiX*`cCJ+f`FVf}X'
    '9Q`B0QByA(4$~6a(~FvdS90hSsd<;{6w0^L01Ph99WKFq06S8@O8Wa@zt(sabivZ#Uh;NpX5(T0(%0e3IO{*hulO_b8FlO-{DtYDe}65HRW4'
    ')%>UTGlpYVYB{TpZ2WWOr5c~4XM391&W!a~<XuNP7hM#>%INFB}De|e1M7WIq@t!T&<b;!_i>16h16nHCyGJ+m?IxJKolxT@iR4r}fp-f043'
    '-cD5zWnhI%PH>O=FLHI$vBt%&nWK8{^Go!;(}fs@L@XOlUEwA2K(1{y1M;=%|mgIUz#7^suZ_9_Wz9Cyp)(NzEbl3na93bk5ck-OYN7E<kE#'
    'i#Zs~uUQtS3r2PDWG#jn{G;NsrsEI7=xk&kGnjW$jqpO^zpKo8|G`)EK{Ckee&BUrf)r_J&L{EOfRw8TE4O=Z>MmOK3TlI@IcDm9X$)s<45%'
    'p?vi{6p^cIEgSy#~RhDM3n`ZmG7aYo&V-t5~p{13xd2YYq|DuQ=C-ze&x@Aj>XYfGoQunJOO{hpO$|T{yQKMcZ<&F{Y~l&vGngT329ka2N1p'
    'cJ;0A*>itv#IFpkZS(!g(7OkJbg6ageb$5LN7`$j=Rf@BozAkD{EO7P(!L_~x;t(?^-jzkIld96-)pyTzSHl*n@^nGs;RgAsU3=w?yP-^YwO'
    'u{%8SWA!8L<g'
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
        assert same(
            value, ((np.arange(value.size) % 7 - 3) / 4).reshape(value.shape).astype(np.float32)
        )
    assert same(net.pixel_mean, np.arange(3, dtype=np.float32)) and (net.shape, net.classes) == (
        (8, 8, 3),
        ["a", "b"],
    )
    assert (
        info.keys() == {"data", "recipe", "seed"}
        and len(info["recipe"]) == 11
        and state["progress"] == PROGRESS
    )
    assert all(
        same(value, np.full_like(net.params[key], 0.5)) for key, value in state["momentum"].items()
    )


def test_one_table_reads_the_settings_of_version_1(path):
    """And its dropout keeps the random stream that it names, in files of version 2 as well."""
    old(path)

    def change(file):
        conv, other = file["layers/00_conv1"], file["layers/01_relu1"]
        assert json.loads(conv.attrs["settings"])["rounding"] == "ceil"
        conv.attrs["settings"] = np.bytes_(conv.attrs["settings"].replace(b'"ceil"', b'"floor"'))
        other.attrs.update(
            type=np.bytes_("Dropout"), settings=np.bytes_('{"rate": 0.5, "stream": 6}')
        )

    edit(path, change)
    x = np.ones((2, 6, 6, 2), np.float32)
    mask = Dropout(0.5, stream=6).forward(x, (1, 2, [3, 4], 99))[0]
    for _ in range(2):
        net = checkpoint.load(path).net
        assert (
            net["conv1"].settings.keys() == Conv(2, 3).settings.keys()
            and net["conv1"].window.ceil_mode is False
        )
        assert net["conv1"].init_std == 0.01 and net["relu1"].settings == {"rate": 0.5, "stream": 6}
        assert same(net["relu1"].forward(x, (1, 2, [3, 4], 1))[0], mask)
        checkpoint.save(path, net, {})
        assert path.read_bytes().startswith(b"rawconv checkpoint, version 2, ")


def test_settings_of_version_1_are_checked_by_those_of_today(path):
    def change(file):
        conv = file["layers/00_conv1"]
        conv.attrs["settings"] = np.bytes_(conv.attrs["settings"].replace(b'"ceil"', b'"up"'))

    old(path)
    edit(path, change)
    refused(path, "layer conv1.ceil_mode is 'up', not true or false")
    checkpoint.save(path, tiny_net(), {})
    edit(
        path,
        lambda file: file["layers/01_relu1"].attrs.__setitem__(
            "settings", np.bytes_('{"in_place": true}')
        ),
    )
    refused(path, "'in_place', which this rawconv does not know")


@pytest.mark.parametrize(
    "model, size", [("zf32-x", 32), ("zf64", 64), ("alex64-x", 64), ("lenet", 28), ("any", 256)]
)
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
    assert Net((8, 9, 3), layers).stored == (9, 9), "a square"
    assert Net((8, 9, 3), layers, pixel_mean=np.zeros((10, 12, 3), np.float32)).stored == (10, 12)
    assert Net((8, 9, 3), layers, stored=(16, 9)).stored == (16, 9)
    expected = {"zf64": 64, "zf32": 32, "lenet": 28, "alexnet-fc2048": 256}
    assert {name: models.recipe(name).stored for name in expected} == expected
    assert models.build("lenet", 2).stored == (28, 28) and models.build(
        "lenet", 2, size=40
    ).stored == (40, 40)


@pytest.mark.parametrize("stored", [[7, 8], [8], [8.0, 8.0], [1 << 40, 8], [9, 8]])
def test_a_stored_size_that_cannot_be(path, stored):
    checkpoint.save(path, tiny_net(pixel_mean=np.zeros((8, 8, 3), np.float32)), {})
    edit(path, lambda file: file.attrs.__setitem__("stored", stored))
    refused(path, "stored")
