"""Table 6: a new softmax on fixed layers for pictures that may be of several classes.  Zeiler & Fergus
2013, 5.2.

The paper's protocol: one softmax for all classes, which takes them as exclusive; here a picture of
several classes is learnt once for each of them.  Learnt from the list `train` and tried on `val`;
the paper learnt from both and was tried on VOC's server.
"""

from ..layers.softmax import softmax
from .average_precision import chance, row
from .held_out import known, overlap
from .study import Result
from .transfer_page import WAYS, draw_marked
from .transfer_ways import BATCH, scores_of

PUBLISHED = {  # average precision, per cent
    "source": "Zeiler & Fergus 2013, table 6: PASCAL VOC 2012, trained on train and val, tried on VOC's server",
    "columns": ["Sande 2012", "Yan 2012", "the paper's net"],
    "aeroplane": [92.0, 97.3, 96.0], "bicycle": [74.2, 84.2, 77.1], "bird": [73.0, 80.8, 88.4],
    "boat": [77.5, 85.3, 85.5], "bottle": [54.3, 60.8, 55.8], "bus": [85.2, 89.9, 85.8],
    "car": [81.9, 86.8, 78.6], "cat": [76.4, 89.3, 91.2], "chair": [65.2, 75.4, 65.0],
    "cow": [63.2, 77.8, 74.4], "diningtable": [63.2, 77.8, 67.7], "dog": [68.9, 83.0, 87.8],
    "horse": [78.2, 87.5, 86.0], "motorbike": [81.0, 90.1, 85.1], "person": [91.6, 95.0, 90.9],
    "pottedplant": [55.9, 57.8, 52.2], "sheep": [69.4, 79.2, 83.6], "sofa": [65.4, 73.4, 61.1],
    "train": [86.7, 94.5, 91.8], "tvmonitor": [77.4, 80.7, 76.1], "mean": [74.3, 82.2, 79.0],
}  # fmt: skip


def run_marked(subject, study, steps, seed):
    """A study.Result of a Subject whose data has MarkedSplits."""
    data, few = subject.data, subject.data.train.one_class_each()
    held = data.val

    def compute(way):
        scores = scores_of(way, subject, (few, held), study.place(way), steps, seed)
        return {"scores": scores if way == "scratch" else softmax(scores)}

    steps_done = study.each(list(WAYS), compute, "table 6", "nets")
    table = [
        row(way, step["scores"], held.marks, data.classes)
        for way, step in zip(WAYS, steps_done, strict=True)
    ]
    by_chance = chance(held.marks, data.classes)
    numbers = {
        "classes": data.classes, "known_classes": list(known(subject)), "chance": by_chance,
        "training_pictures": len(data.train), "test_pictures": len(held), "table": table,
        "pictures_from_scratch": steps * BATCH,
    }  # fmt: skip
    rows = [{k: v for k, v in each.items() if k != "by_class"} | each["by_class"] for each in table]
    values = ", ".join(
        f"{WAYS[each['way']]} {100 * each['mean']:.1f} ({100 * each['low']:.1f} to {100 * each['high']:.1f})"
        for each in table
    )
    sentences = [
        f"Mean average precision over {len(data.classes)} classes, interval over {len(held)} pictures: {values} %; "
        f"chance {100 * by_chance['mean']:.1f} %."
    ]
    sentences += [overlap(subject)] if known(subject) else []
    return Result(
        numbers, rows, draw_marked(subject, table, by_chance, PUBLISHED), sentences, PUBLISHED
    )
