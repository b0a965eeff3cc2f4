"""How far every family of nets of torchvision, and pytorchcv's zfnet, is from PyTorch once rawconv has read it.

python tools/check_families.py                            where torchvision can be imported
python tools/check_families.py --torchvision FOLDER       its folder in an unpacked wheel, beside a torch for CPUs
python tools/check_families.py --only resnet18,vgg11 --json families.json

Weights are random by a seed, batch norms have the statistics of one batch.  Errors are relative to
the largest value of a map, or of the scores:

    float64      of any node against PyTorch's value, by state dict and by both exporters; at most 1e-10
    float32      of the scores, ours and onnxruntime's, against PyTorch's in float64; ours at most 3 times as large
    projections  of 20 units by the three rules, against autograd in float64; in float32 with the switches and masks
                 of float64; at most 1e-10 and 1e-5
"""

import copy
import importlib.machinery
import json
import logging
import pathlib
import sys
import tempfile
import time
import types
import warnings

import click
import numpy as np
import onnxruntime
import torch
from bench_timing import conditions, machine

import rawconv
from rawconv.convert import PIXELS, Wanted
from rawconv.convert.read import import_net
from rawconv.training.runs import choose_conv

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
from torch_blocks import calibrated
from torch_rules import Recorded, channels_last, distance, node_distances, way_down_distances

SIDES = {"alexnet": 224, "vgg": 224, "zfnet": 224, "inception": 96}  # else 64
FAMILIES = [
    "alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn",
    "squeezenet1_0", "squeezenet1_1", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2",
    "googlenet", "inception_v3", "densenet121", "densenet161", "densenet169", "densenet201", "mobilenet_v2", "zfnet",
]  # fmt: skip
# (newer exporter, opset) of what is written in double and in single precision: the ends of both ranges
EXPORTS = {"float64": [(False, 9), (True, 23)], "float32": [(False, 20), (True, 18)]}
EXPORTERS = {False: "older exporter", True: "newer exporter"}
RAW = PIXELS["raw"]._asdict()  # so that a net's input is PyTorch's, with the channels last
LIMITS = {"nodes": 1e-10, "ratio": 3.0, "projections": 1e-10, "projections32": 1e-5}


@click.command()
@click.option("--torchvision", "folder", type=click.Path(exists=True, file_okay=False))
@click.option("--only", default=",".join(FAMILIES), help="Families, with commas between them.")
@click.option("--batch", type=click.IntRange(1), default=2, show_default=True)
@click.option("--json", "path", type=click.Path(dir_okay=False))
def main(folder, only, batch, path):
    """Compare the families with PyTorch, onnxruntime and autograd; print a table."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    rows = []
    for family in only.split(","):
        began = time.monotonic()
        rows.append(compared(family, torch_net(family, folder), batch))
        click.echo(f"{json.dumps(rows[-1])}  {time.monotonic() - began:.0f} s", err=True)
        if path:
            pathlib.Path(path).write_text(json.dumps({"rows": rows, **machine()}, indent=1))
    click.echo("\n".join(table(rows)))
    click.echo(conditions(machine()))
    if failed := [row["family"] for row in rows if not within(row)]:
        raise SystemExit(f"Too far off: {', '.join(failed)}.")


def torch_net(family, folder):
    """The family's net in eval mode, of seeded weights and calibrated batch norms."""
    if family == "zfnet":
        net = importlib.import_module("pytorchcv.models.zfnet").zfnet()
    else:
        if folder and "torchvision" not in sys.modules:
            # its operators do not load beside a torch for CPUs, its models do
            bare = types.ModuleType("torchvision")
            bare.__path__ = [folder]
            bare.__spec__ = importlib.machinery.ModuleSpec("torchvision", None, is_package=True)
            sys.modules["torchvision"] = bare
        build = getattr(importlib.import_module("torchvision.models"), family)
        inceptions = {"init_weights": False} if family in ("googlenet", "inception_v3") else {}
        net = build(weights=None, **inceptions)
    for module in net.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # or what went in could not be compared
    return calibrated(net, side_of(family))


def side_of(family):
    return next((side for start, side in SIDES.items() if family.startswith(start)), 64)


def compared(family, net, batch):
    """The errors of one family, as a row of the table."""
    side = side_of(family)
    x = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(7))
    exact, x64 = copy.deepcopy(net).double(), x.double()
    with torch.no_grad(), Recorded() as recorded:
        scores = exact(x64).numpy()
    row = {"family": family, "side": side, "float64": {}, "float32": {}}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "net.pth")
        double, single = (by_state_dict(one, family, path) for one in (exact, net))
        row["nodes"] = len(double.nodes)
        row["float64"]["state dict"], places = node_distances(double, x, recorded.values)
        row["float32"]["state dict"] = ours(single, x, scores)
        far = way_down_distances(exact, double, single, x[:1], places)
        row |= dict(zip(("projections", "projections32"), far, strict=True))
        del double, single
        path = pathlib.Path(folder, "net.onnx")
        for newer, opset in EXPORTS["float64"]:
            double = exported(exact, x64[:1], newer, opset, path)
            row["float64"][EXPORTERS[newer]], _ = node_distances(double, x, recorded.values)
        for newer, opset in EXPORTS["float32"]:
            found = ours(exported(net, x[:1], newer, opset, path), x, scores)
            row["float32"][EXPORTERS[newer]] = found | {"onnxruntime": theirs(path, x, scores)}
    pixels = rawconv.from_torch(net, size=side, mean=(0, 0, 0), std=(1, 1, 1))
    row["float32"]["from_torch"] = ours(pixels, 255 * x, scores)
    return row


def ours(net, x, scores):
    """{algorithm: the error of the scores in single precision}."""
    found = {}
    for algorithm in ("auto", "gemm"):
        choose_conv(net, algorithm)
        found[algorithm] = distance(net.forward(channels_last(net, x), keep=False)[0], scores)
    choose_conv(net, "auto")
    return found


def theirs(path, x, scores):
    """The same of onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return distance(
        np.concatenate([session.run(None, {name: one[None].numpy()})[0] for one in x]), scores
    )


def by_state_dict(net, family, path):
    """The Net of a module's state dict, in the module's precision."""
    torch.save(net.state_dict(), path)
    return import_net(
        path, Wanted(arch=family, size=side_of(family), dtype=precision(net)), RAW
    ).net


def exported(net, x, newer, opset, path):
    """The Net of what an exporter of PyTorch writes, in the module's precision."""
    more = {"external_data": False} if newer else {}
    torch.onnx.export(net, (x,), path, dynamo=newer, opset_version=opset, verbose=False, **more)
    return import_net(path, Wanted(dtype=precision(net)), RAW).net


def precision(net):
    return str(next(net.parameters()).dtype).removeprefix("torch.")


def ratio(row):
    """Ours in single precision over onnxruntime's, the larger of the exporters', by the algorithm `auto`."""
    return max(
        found["auto"] / found["onnxruntime"]
        for found in row["float32"].values()
        if "onnxruntime" in found
    )


def within(row):
    far = {"nodes": max(row["float64"].values()), "ratio": ratio(row)}
    far |= {name: row[name] for name in ("projections", "projections32")}
    return all(far[name] <= limit for name, limit in LIMITS.items())


def table(rows):
    """Lines of Markdown."""
    head = [
        "net",
        "side",
        "nodes",
        "float64: worst node",
        "float32: `auto`",
        "`gemm`",
        "onnxruntime",
    ]
    head += ["projections: float64", "float32"]
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        exports = [found for found in row["float32"].values() if "onnxruntime" in found]
        errors = [max(found[who] for found in exports) for who in ("auto", "gemm", "onnxruntime")]
        numbers = [max(row["float64"].values()), *errors, row["projections"], row["projections32"]]
        cells = [
            f"`{row['family']}`",
            row["side"],
            row["nodes"],
            *(f"{number:.1e}" for number in numbers),
        ]
        yield f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
