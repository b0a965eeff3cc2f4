"""The confusion matrix: rows are true classes, columns are answers, in the figure as in the counts."""

import numpy as np
import pytest

from rawconv.report import charts
from rawconv.report.confusion import draw_confusion
from rawconv.training import evaluation

# true class first: a cat was taken for a dog three times
COUNTS = np.array([[6, 3, 1], [0, 4, 0], [2, 0, 0]])
NAMES = ["cat", "dog", "a hat with a very long name"]


@pytest.fixture
def figure(monkeypatch):
    """A list with the Matplotlib figures that were drawn."""
    made, png = [], charts.png
    monkeypatch.setattr(charts, "png", lambda one: made.append(one) or png(one))
    return made


def test_rows_of_the_confusion_matrix_are_true_classes(figure):
    draw_confusion(COUNTS, NAMES, {"views": 10, "top1": 0.625, "top5": 1.0})
    axes = figure[0].axes[0]
    shown, (bottom, top) = axes.images[0].get_array(), axes.get_ylim()
    np.testing.assert_allclose(shown, [[60, 30, 10], [0, 100, 0], [100, 0, 0]])
    assert bottom > top and axes.get_xlim()[0] < axes.get_xlim()[1], (
        "the first class is above, and on the left"
    )
    assert axes.images[0].get_clim() == (0, 100)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "true class")
    short = ["cat", "dog", "a hat with a very…"]
    assert [label.get_text() for label in axes.get_yticklabels()] == short
    assert [label.get_text() for label in axes.get_xticklabels()] == short
    assert list(axes.get_yticks()) == list(axes.get_xticks()) == [0, 1, 2]
    numbers = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert numbers == {  # (answer, true class): the share in black on light, in white on dark
        (0, 0): ("60", "white"), (1, 0): ("30", "white"), (2, 0): ("10", "white"), (1, 1): ("100", "black"),
        (0, 2): ("100", "black"),
    }  # fmt: skip
    words = [text.get_text() for text in figure[0].texts]
    assert words == [
        "Which class is taken for which",
        "16 pictures, 10 views each, top-1 62.5%",
    ]
    draw_confusion(COUNTS, NAMES, {"views": 1, "top1": 0.625, "top5": 1.0})
    assert "16 pictures, 1 view each," in figure[1].texts[1].get_text()


@pytest.mark.parametrize(
    ("classes", "named", "numbered"), [(20, 20, 20), (21, 21, 0), (60, 60, 0), (61, 0, 0)]
)
def test_many_classes_are_neither_numbered_nor_named(figure, classes, named, numbered):
    names = [f"class {k}" for k in range(classes)]
    draw_confusion(np.eye(classes, dtype=int), names, {"views": 1, "top1": 1.0, "top5": 1.0})
    axes = figure[0].axes[0]
    assert sum(label.get_text().startswith("class") for label in axes.get_yticklabels()) == named
    assert len(axes.texts) == numbered


def test_the_table_of_the_confusion_has_the_same_order(tmp_path):
    labels = np.array([0, 0, 0, 1, 2, 2])
    answers = evaluation.Answers(np.log([0.6, 0.2, 0.1, 0.9, 0.3, 0.2]), np.array([0, 1, 1, 1, 0, 2]),
                                 np.log([0.6, 0.7, 0.8, 0.9, 0.5, 0.4]), np.zeros(6, int))  # fmt: skip
    counts = evaluation.confusion(labels, answers, 3)
    assert counts.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 1]]
    assert evaluation.confused(counts) == [(0, 1, 2), (2, 0, 1)], "true class, answer, how often"
    assert evaluation.mistakes(labels, answers).tolist() == [2, 1, 4], (
        "the least probability of its own first"
    )
