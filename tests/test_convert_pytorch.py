"""State dicts of PyTorch become our nets: same scores as the modules that wrote them, and no pickle
is ever run.
"""

import collections
import io
import os
import pickle
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from rawconv import checkpoint
from rawconv.convert import PIXELS, Wanted
from rawconv.convert.architectures import ARCHITECTURES, misfit
from rawconv.convert.read import import_net
from rawconv.convert.tensors import open_tensors
from rawconv.convert.verify import file_input, verify
from rawconv.data.preprocessing import center_crop, preprocess
from rawconv.errors import RawconvError, UsageError
from rawconv.files.storage import Wrong

torch = pytest.importorskip(
    "torch", reason="PyTorch is not installed: no witness for its files (pip install torch)"
)
import torch_nets  # noqa: E402

NETS = {
    "alexnet": torch_nets.alexnet,
    "vgg11": lambda: torch_nets.vgg("vgg11"),
    "vgg13_bn": lambda: torch_nets.vgg("vgg13", norm=True),
    "vgg16": lambda: torch_nets.vgg("vgg16"),
    "vgg19_bn": lambda: torch_nets.vgg("vgg19", norm=True),
    "zfnet": torch_nets.ZFNet,
}


def save(path, tree, how="zip"):
    """In one of the formats of tensors.py."""
    if how == "safetensors":
        pytest.importorskip(
            "safetensors", reason="safetensors is not installed (pip install safetensors)"
        )
        from safetensors.torch import save_file

        save_file(tree, path)
    else:
        torch.save(tree, path, _use_new_zipfile_serialization=how == "zip")
    return path


def compare(found, net, kept):
    """Scores of the Imported and of the PyTorch module for pictures as they are kept, uint8 (N,
    256, 256, 3).
    """
    ours = found.net.forward(preprocess(found.net, kept), keep=False)[0].reshape(len(kept), -1)
    x = file_input(center_crop(found.net, kept), PIXELS["torch"], kept.shape[1])
    with torch.no_grad():
        theirs = net(torch.from_numpy(np.ascontiguousarray(x))).numpy()
    assert np.abs(theirs).max() > 0.1
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def noise(count=2):
    return np.random.default_rng(5).integers(0, 256, (count, 256, 256, 3), np.uint8)


@pytest.mark.parametrize("how", ["zip", "pickle", "safetensors"])
@pytest.mark.parametrize("arch", NETS)
def test_scores_are_those_of_the_module(arch, how, tmp_path):
    net = torch_nets.random(NETS[arch]())
    path = save(tmp_path / "net.pth", net.state_dict(), how)
    compare(import_net(path, Wanted(arch=arch)), net, noise())


@pytest.mark.skipif(
    not os.environ.get("RAWCONV_PHOTOS"), reason="RAWCONV_PHOTOS, a folder of pictures, is not set"
)
def test_scores_of_natural_images(tmp_path):
    archive = zipfile.ZipFile(os.path.join(os.environ["RAWCONV_PHOTOS"], "tinyimagenet10.zip"))
    names = sorted(
        name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png"))
    )[::500][:4]
    kept = [
        Image.open(io.BytesIO(archive.read(name))).convert("RGB").resize((256, 256))
        for name in names
    ]
    for arch in ("zfnet", "vgg11"):
        net = torch_nets.random(NETS[arch](), seed=2)
        path = save(tmp_path / "net.pth", net.state_dict())
        compare(import_net(path, Wanted(arch=arch)), net, np.stack(kept))


FULL = {
    "alexnet": lambda: torch_nets.alexnet((64, 192, 384, 256, 256), 4096, 1000),
    "vgg16_bn": lambda: torch_nets.vgg("vgg16", True, (64, 128, 256, 512), 4096, 1000),
    "zfnet": lambda: torch_nets.ZFNet((96, 256, 384, 384, 256), 4096, 1000),
    "zfnetb": lambda: torch_nets.ZFNet((96, 256, 512, 1024, 512), 4096, 1000),
} | {
    f"{name}{norm}": lambda name=name, norm=norm: torch_nets.vgg(
        name, bool(norm), (64, 128, 256, 512), 4096, 1000
    )
    for name in torch_nets.CONFIGURATIONS
    for norm in ("", "_bn")
}


def shapes(net):
    """{name: shape} without what counts batches."""
    return {
        name: tuple(t.shape)
        for name, t in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def known(given):
    return [name for name, about in ARCHITECTURES.items() if misfit(about.steps, given) is None]


@pytest.mark.parametrize("arch", FULL)
def test_each_architecture_is_known_by_its_names_and_shapes(arch):
    with torch.device("meta"):
        net = (
            FULL[arch]()
            if arch != "alexnet"
            else torch_nets.alexnet((64, 192, 384, 256, 256), 4096, 7)
        )
        if arch == "alexnet":
            net.classifier[4], net.classifier[6] = (
                torch.nn.Linear(4096, 4096),
                torch.nn.Linear(4096, 7),
            )
        elif arch.startswith("zf"):
            pytorchcv = pytest.importorskip(
                "pytorchcv.models.zfnet", reason="pip install pytorchcv"
            )
            assert shapes(getattr(pytorchcv, arch)()) == shapes(net)
    assert known(shapes(net)) == [arch]


@pytest.mark.long
@pytest.mark.parametrize("arch", ["zfnet", "zfnetb"])
def test_scores_are_those_of_pytorchcv_s_own(arch, tmp_path):
    models = pytest.importorskip("pytorchcv.models.zfnet", reason="pip install pytorchcv")
    net = torch_nets.random(getattr(models, arch)())
    compare(import_net(save(tmp_path / "net.pth", net.state_dict())), net, noise(1))


# The three formats: types, views, and what else people save


def saved(path, tensors, how):
    save(path, tensors, how)
    return open_tensors(path, how)


@pytest.mark.parametrize("how", ["zip", "pickle", "safetensors"])
@pytest.mark.parametrize(
    "dtype",
    [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
    ],
)
def test_types_of_numbers(dtype, how, tmp_path):
    given = (torch.arange(-12, 12).reshape(2, 3, 4) / 3).to(getattr(torch, dtype))
    found = saved(tmp_path / "t", {"t": given, "one": given[0, 0, 0].clone()}, how)
    for name, tensor in (("t", given), ("one", given[0, 0, 0])):
        want = tensor.float().numpy() if dtype == "bfloat16" else tensor.numpy()
        got = found.read(name)
        assert got.dtype == want.dtype and found.shapes[name] == want.shape
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("how", ["zip", "pickle"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_views_of_one_storage(dtype, how, tmp_path):
    whole = torch.arange(60).reshape(3, 4, 5).to(dtype)
    views = {
        "whole": whole, "turned": whole.permute(2, 0, 1), "slice": whole[1:, ::2, 3:], "column": whole[:, 1, 4],
        "last": whole[2, 3, 4], "empty": whole[:0], "parameter": torch.nn.Parameter(whole[1]),
    }  # fmt: skip
    found = saved(tmp_path / "t", views, how)
    for name, view in views.items():
        np.testing.assert_array_equal(found.read(name), view.detach().float().numpy(), err_msg=name)
    found.check_total(["whole"])
    with pytest.raises(Wrong, match="overlap"):
        found.check_total(["whole"] * 40)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("how", [True, False])
def test_protocols_of_pickle(protocol, how, tmp_path):
    given = collections.OrderedDict(a=torch.ones(2, 3), b=torch.zeros(4))
    torch.save(given, tmp_path / "t", pickle_protocol=protocol, _use_new_zipfile_serialization=how)
    assert open_tensors(tmp_path / "t", "zip" if how else "pickle").shapes == {
        "a": (2, 3),
        "b": (4,),
    }


def test_big_endian(tmp_path):
    given = torch.arange(6, dtype=torch.float32)
    members = {"byteorder": b"big", "data/0": given.numpy().astype(">f4").tobytes()}
    path = save(tmp_path / "t", {"t": given})
    edited(path, tmp_path / "big", lambda name, data: members.get(name.partition("/")[2], data))
    np.testing.assert_array_equal(open_tensors(tmp_path / "big", "zip").read("t"), given)


@pytest.mark.parametrize(
    "wrap",
    [lambda s: s, lambda s: {"epoch": 3, "best": 0.5, "losses": [1.0, 2.0], "state_dict": s}],
)
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_what_training_scripts_save(wrap, prefix, tmp_path):
    net = torch_nets.random(torch_nets.alexnet())
    state = {prefix + name: tensor for name, tensor in net.state_dict().items()}
    found = import_net(save(tmp_path / "t.pth", wrap(state)), Wanted(arch="alexnet"))
    compare(found, net, noise(1))


def test_an_optimizer_beside_the_net(tmp_path):
    net = torch_nets.random(torch_nets.alexnet())
    adam = torch.optim.Adam(net.parameters())
    net(torch.zeros(1, 3, 224, 224)).sum().backward()
    adam.step()
    path = save(
        tmp_path / "t.pth",
        {"model": net.state_dict(), "optimizer": adam.state_dict(), "size": torch.Size([3])},
    )
    compare(import_net(path, Wanted(arch="alexnet")), net, noise(1))


# What is refused, and how


class Runs:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("how", ["zip", "pickle"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_runs_a_command_is_refused_by_its_name(how, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = {"a": torch.ones(2), "b": Runs()}
    torch.save(tree, "t.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(
        RawconvError,
        match=r"t\.pth names (posix|nt)\.system, which rawconv does not run.*state_dict",
    ):
        import_net("t.pth")
    assert not os.path.exists("executed")


@pytest.mark.parametrize(
    "program, name",
    [
        (b"cos\nsystem\n(S'touch executed'\ntR.", "os.system"),
        (b"(X\x02\0\0\0hiios\nsystem\n.", "os.system"),
        (b"\x82\x01.", "EXT1"),
        (b"c__builtin__\neval\n.", "__builtin__.eval"),
        (b"ctorch._utils\n_rebuild_sparse_tensor\n.", "_rebuild_sparse_tensor"),
        (b"}\x81.", "NEWOBJ"),
    ],
)
def test_other_ways_to_run_something(program, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.pth").write_bytes(b"\x80\x02" + program)
    with pytest.raises(RawconvError, match=re.escape(name)):
        import_net("t.pth")
    assert not os.path.exists("executed")


def test_a_whole_module_is_refused_with_the_remedy(tmp_path):
    for how in ("zip", "pickle"):
        with pytest.raises(
            RawconvError, match=r"names torch_nets\.Vision|whole pickled module"
        ) as refusal:
            import_net(save(tmp_path / "t.pth", torch_nets.alexnet(), how))
        assert "state_dict()" in str(refusal.value) and "torch.onnx.export(model" in str(
            refusal.value
        )


@pytest.mark.filterwarnings("ignore")  # that it is deprecated
def test_torchscript_is_refused_with_the_line_that_exports_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layers = (
        torch.nn.Conv2d(3, 2, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(2 * 222**2, 2),
    )
    net = torch.nn.Sequential(*layers)
    torch.jit.trace(net, torch.zeros(1, 3, 224, 224)).save("net.pt")
    with pytest.raises(RawconvError, match="net.pt is TorchScript, a program") as refusal:
        import_net("net.pt")
    line = re.search(r"torch\.onnx\.export\(.*dynamo=False\)", str(refusal.value)).group()
    exec(line, {"torch": torch})
    assert import_net("net.onnx").net.shapes["fc2"] == (1, 1, 2)


def old(*objects):
    return b"".join(pickle.dumps(item, 2) for item in objects)


MAGIC = 0x1950A86A20F9469CFC6C


@pytest.mark.parametrize(
    "data, message",
    [
        (
            b"0" * 257 + b"ustar" + b"0" * 300,
            r"tar archive, as PyTorch wrote before version 0\.2.*newer PyTorch",
        ),
        (old({"a": 1}), "none of torch.save"),
        (old(MAGIC, 1001, {"little_endian": False}, {}, []), "big-endian"),
        (old(MAGIC, 1001, {"little_endian": True}, {"a": 1}, []), "no state dict"),
        (old(MAGIC, 1001, {"little_endian": True}, [1, "b"] * 300_000, []), "more than 1 MB"),
        (old(MAGIC)[:-2], "makes no sense"),
        (b"\x80\x02" + b"r\xff\xff\xff\xff" * 9 + b".", "makes no sense"),
        ((99).to_bytes(8, "little") + b'{"a": 1}', "header would be of 99 bytes"),
        ((9).to_bytes(8, "little") + b'{"a": 1} ', "damaged|cannot be read"),
    ],
)
def test_what_is_no_state_dict_is_refused_in_one_sentence(data, message, tmp_path):
    (tmp_path / "t.pth").write_bytes(data)
    with pytest.raises(RawconvError, match=message):
        import_net(tmp_path / "t.pth")


def safe(shape, offsets, dtype="F32", data=16):
    header = f'{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}'.encode()
    return len(header).to_bytes(8, "little") + header + b"\0" * data


@pytest.mark.parametrize(
    "data, message",
    [
        (safe([4], [0, 16]), "of no net"),
        (safe([4], [0, 16], "F8_E4M3"), "F8_E4M3"),
        (safe([1 << 40], [0, 1 << 42]), "outside"),
        (safe([1 << 61, 8], [0, 16]), "makes? no sense|outside"),
        (safe([4], [-16, 0]), "outside"),
        (safe([5], [0, 16]), "size of its shape"),
        (safe([1] * 100_000, [0, 4]), "100000 dimensions"),
        (safe([4], [4, 20]), "outside"),
    ],
)
def test_safetensors_whose_sizes_do_not_fit(data, message, tmp_path):
    (tmp_path / "t.safetensors").write_bytes(data)
    with pytest.raises(RawconvError, match=message):
        import_net(tmp_path / "t.safetensors")


def edited(path, out, change):
    """A copy of a zip file of torch.save with change(name, data) for each member."""
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(out, "w") as made:
        for name in given.namelist():
            made.writestr(name, change(name, given.read(name)))
    return out


def test_tensors_beyond_their_storage(tmp_path):
    path = save(tmp_path / "t.pth", {"a": torch.ones(7, 5)})
    for before, after in (
        (b"K\x07K\x05", b"K\x08K\x05"),
        (b"K#t", b"K\xfft"),
        (b"K\x05K\x01", b"K\x00K\x01"),
    ):
        change = lambda name, data: data.replace(before, after) if name.endswith("pkl") else data  # noqa: B023, E731
        bad = edited(path, tmp_path / "bad.pth", change)
        if before == b"K\x05K\x01":  # a stride of 0 is within the storage
            assert (open_tensors(bad, "zip").read("a") == 1).all()
            continue
        with pytest.raises(RawconvError, match="beyond its storage|not of the size"):
            import_net(bad)


@pytest.mark.parametrize("how", ["zip", "safetensors"])
def test_a_name_that_is_there_twice_is_refused(how, tmp_path):
    """Of two members or tensors with one name, another reader might take the other."""
    path = save(tmp_path / "net", {"fc.weight": torch.ones(2, 3)}, how)
    if how == "zip":
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(
                next(n for n in archive.namelist() if n.endswith("/data/0")), bytes(24)
            )
        message = "it holds '[^']*/data/0' twice"
    else:
        length = int.from_bytes(path.read_bytes()[:8], "little")
        header = path.read_bytes()[8 : 8 + length].rstrip()
        header = header[:-1] + b"," + header[1:]
        data = len(header).to_bytes(8, "little") + header + path.read_bytes()[8 + length :]
        path.write_bytes(data)
        message = "it holds 'fc.weight' twice"
    with pytest.raises(RawconvError, match=message):
        import_net(path)


def test_an_expanded_tensor_is_refused(tmp_path):
    with pytest.raises(RawconvError, match="beyond its storage"):
        import_net(save(tmp_path / "t.pth", {"a": torch.ones(1).expand(1 << 20)}))


def test_what_an_architecture_does_not_fit(tmp_path):
    net = torch_nets.alexnet()
    state = net.state_dict()
    path = save(tmp_path / "t.pth", state)
    with pytest.raises(
        RawconvError, match="the tensors of alexnet in other widths.*--arch alexnet"
    ):
        import_net(path)
    with pytest.raises(
        RawconvError, match=r"no vgg11: features\.0\.weight is of 8x3x11x11, not 8x3x3x3.*onnx"
    ):
        import_net(path, Wanted(arch="vgg11"))
    with pytest.raises(UsageError, match="no architecture 'resnet'.*zfnetb"):
        import_net(path, Wanted(arch="resnet"))
    with pytest.raises(RawconvError, match=r"takes pictures of 224x224, not 512x512"):
        import_net(path, Wanted(arch="alexnet", size=512))
    with pytest.raises(RawconvError, match="no alexnet: it holds extra too"):
        import_net(save(path, {**state, "extra": torch.ones(1)}), Wanted(arch="alexnet"))
    del state["features.3.bias"]
    with pytest.raises(RawconvError, match=r"no alexnet: it holds no features\.3\.bias"):
        import_net(save(path, state), Wanted(arch="alexnet"))
    with pytest.raises(
        RawconvError, match=r"holds 15 tensors \(features\.0\.weight.*torch\.onnx\.export"
    ):
        import_net(path)


def test_numbers_that_are_none_are_refused_by_the_layer_s_name(tmp_path):
    state = torch_nets.vgg("vgg11", norm=True).state_dict()
    state["features.5.running_var"] -= 9
    with pytest.raises(RawconvError, match=r"layer features\.4 .*not finite"):
        import_net(save(tmp_path / "t.pth", state), Wanted(arch="vgg11_bn"))


def test_the_command_writes_a_checkpoint_with_its_origin(tmp_path):
    """And --verify asks torch, in the same words for each format."""
    net = torch_nets.random(torch_nets.vgg("vgg11", norm=True))
    Image.fromarray(noise(1)[0]).save(tmp_path / "p.png")
    for how in ("zip", "pickle", "safetensors"):
        path = save(tmp_path / "net.pth", net.state_dict(), how)
        checked = verify(import_net(path, Wanted(arch="vgg11_bn")), tmp_path / "p.png")
        assert checked["difference"] < 1e-5 and checked["ours"] == checked["theirs"]
    words = ["net.pth", "out.h5", "--arch", "vgg11_bn", "--verify", "p.png"]
    done = subprocess.run(
        [sys.executable, "-m", "rawconv.cli.import_", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = checkpoint.load(tmp_path / "out.h5")
    said = found.info["imported"]
    assert said["conventions"]["batch norm"] == "folded into the convolutions"
    assert said["layers"]["fc9"] == "classifier.0" and len(said["sha256"]) == 64
    np.testing.assert_allclose(
        found.net.pixel_mean.reshape(-1, 3)[0], PIXELS["torch"].mean, rtol=1e-6
    )
