"""The same nets in PyTorch on the same card: layouts, torch.compile, TF32, and without LRN."""

import tempfile
from pathlib import Path

import numpy as np
from gpu_timing import timed

from rawconv.convert import Wanted
from rawconv.convert.read import import_net

# {way: (layout, compiled, LRN, TF32)}; the first is what ours is compared with
EAGER = {
    "channels_last": ("channels_last", False, True, False),
    "channels_first": ("channels_first", False, True, False),
    "channels_last, TF32": ("channels_last", False, True, True),
}
MORE = {
    "compiled": ("channels_last", True, True, False),
    "compiled, TF32": ("channels_last", True, True, True),
    "no LRN": ("channels_last", False, False, False),
    "no LRN, TF32": ("channels_last", False, False, True),
}
WAYS = {"none": {}, "eager": EAGER, "all": EAGER | MORE}
VISION = {"squeezenet": "squeezenet1_1", "resnet18": "resnet18"}  # as torchvision calls them


def torch_there():
    """Whether there is a PyTorch that sees a card."""
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def torch_times(net, batch, kinds, ways):
    """{kind: {way: {"ms", "host_ms"} or {"why": ...}}} of a net of ours that is a chain."""
    import bench_step
    import torch

    x, labels = bench_step.some_images(net, batch)

    def one(kind, layout, compiled, lrn):
        wrap = torch.compile if compiled else lambda modules: modules
        return bench_step.torchs(net, x, labels, kind, layout, lrn, wrap, "cuda")

    return {kind: _times(ways, lambda *way, kind=kind: one(kind, *way)) for kind in kinds}


def vision_times(model, x, ways):
    """The same of the way up of a module of torchvision, x (N, H, W, C)."""
    import bench_rival
    import torch

    def one(layout, compiled, lrn):
        modules = model.eval().to("cuda", memory_format=bench_rival.LAYOUTS[layout])
        images = bench_rival.tensor(x, layout).to("cuda")
        run = torch.compile(modules) if compiled else modules

        def forward():
            with torch.inference_mode():
                run(images)

        return forward

    return {"forward": _times(ways, one)}


def _times(ways, make):
    """{way: its times}, or why there are none; make(layout, compiled, lrn): the work."""
    import torch

    torch.backends.cudnn.benchmark = True
    found = {}
    for way, (*how, tf32) in ways.items():
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            found[way] = timed(make(*how))
            if how[1]:  # what was compiled for one precision is not that of another
                torch._dynamo.reset()
        except Exception as error:  # torch.compile needs a C++ compiler, for one
            found[way] = {"why": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    return found


def vision(name, seed=0):
    """(our Net, the module of torchvision): the same random weights, read from a state dict."""
    import torch
    import torchvision

    torch.manual_seed(seed)
    model = getattr(torchvision.models, VISION[name])(weights=None).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.pth")
        torch.save(model.state_dict(), path)
        return import_net(path, Wanted(arch=VISION[name])).net, model


def random_input(net, batch):
    """Images as a net sees them, of pixels in [0, 255] minus a mean: numbers of about 60."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, *net.shape), np.float32) * np.float32(60)
