"""Train a small net on your own pictures, one folder a class.   python examples/train_on_your_folder.py [FOLDER]"""

import pathlib
import sys

from rawconv.machine.arrays import choose_device
from rawconv.training import runs

run = runs.start(
    model="zf64", data=(sys.argv[1:] or ["my-pictures"])[0], changes={"epochs": 2, "batch": 8}
)
folder = pathlib.Path("runs/example")
folder.mkdir(parents=True, exist_ok=True)
result = runs.train_run(run, folder, choose_device("auto", print))
print(f"{result['checkpoint']}: {result['val_top1']:.0%} of the validation pictures are right")
