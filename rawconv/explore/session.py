"""A net, its data set and pictures, and the answers to questions about them.  It knows no HTTP.

    session = Session(net, info, open_data=lambda: open_data("scenes"))
    picture = session.pictures.bring("cat.jpg", content)
    session.describe(picture)                       its classes
    session.project(question({"picture": picture.id, "unit": "conv4:17"}))

What takes time is called in one thread (worker.py); a picture goes up once and its ForwardPass is held.
"""

from __future__ import annotations

import hashlib
import pathlib
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.preprocessing import center_crop, preprocess
from ..errors import RawconvError, UsageError
from ..files.messages import shown
from ..layers.softmax import softmax
from ..machine.arrays import to_cpu
from ..soundness import check_finite, check_scores
from ..visualize import controls
from ..visualize.default_layer import default_layer
from ..visualize.forward_pass import ForwardPass
from ..visualize.images import display
from ..visualize.projection import Projection, project
from ..visualize.trace import exact
from ..visualize.units import layer_names, layer_object, parse_unit, unit_text, user_name
from .facts import check_shown
from .held import Held, bytes_of
from .images import columns, png, png_text, sheet
from .likes import Likes
from .pictures import Picture, Pictures

if TYPE_CHECKING:
    from ..data.dataset import DataSet
    from ..net import Net
    from .asked import Question

PASS_BYTES = 512 << 20  # of the maps and caches of all pictures that are held
CONTROL_BYTES = 600 << 20  # of nets with other weights, for controls
CLASSES = 10  # of a picture that are told
OPENING = 2  # seconds until a page that was opened at once shows its first picture


class Session:
    """What the explorer knows.

    net: a sound Net.  info: as its checkpoint has it.  weights: the checkpoint's path, for its name.
    open_data: the function that opens the data set, or None.
    root: the folder whose folders hold records of earlier scans, and get this one's; None: no records.
    RawconvError: the net cannot be shown.
    """

    def __init__(
        self,
        net: Net,
        info: dict[str, Any] | None = None,
        weights: Any = "",
        open_data: Callable[[], DataSet] | None = None,
        root: pathlib.Path | None = None,
    ) -> None:
        check_shown(net)
        self.net, self.info, self.weights = net, info or {}, pathlib.Path(weights)
        self.version = 1  # of the net: a run that is watched replaces it
        self.mark = secrets.token_hex(4)  # of this session, among all that a page may meet
        self._opened = time.monotonic() + OPENING
        self._warm = False
        self.pictures = Pictures(net, open_data)
        self.likes = Likes(net, self.pictures, root)
        self._passes, self._controls = Held(PASS_BYTES), Held(CONTROL_BYTES)

    def replace(self, net: Net, info: dict[str, Any]) -> None:
        """Go on with other weights of the same architecture: pictures and their ids stay."""
        self.net, self.info, self.version = net, info, self.version + 1
        self.pictures.net = net
        self.likes = Likes(net, self.pictures, None)
        self._passes.clear()
        self._controls.clear()

    # ---------------------------------------------------------------------------------- pictures

    def describe(self, picture: Picture) -> dict[str, Any]:
        """Say what a picture is and what the net takes it for: {"id", "name", "size", "classes", "truth"}.

        classes: [[number, name, probability, logit], ...], the most probable first; [] of a trunk.
        """
        return {
            "id": picture.id, "name": picture.name, "size": self.net.shape[:2],
            "classes": self._classes(self.passed(picture)), "truth": picture.truth,
        }  # fmt: skip

    def _classes(self, passed: ForwardPass) -> list[list[Any]]:
        if not self.net.has_scores:
            return []
        check_scores(self.net)
        y = passed["scores"]
        check_finite(self.net, y, passed.x)
        logits, p = (to_cpu(values).reshape(-1) for values in (y, softmax(y)))
        best = np.argsort(-p, kind="stable")[:CLASSES].tolist()
        return [[k, self.class_name(k), float(p[k]), float(logits[k])] for k in best]

    def class_name(self, number: int) -> str:
        """The name of a class, or its number where it has none."""
        return self.net.classes[number] if self.net.classes else str(number)

    def image(self, picture: Picture) -> bytes:
        """Draw what the net sees of a picture: a PNG file."""
        return png(center_crop(self.net, picture.stored[None])[0])

    def passed(
        self,
        picture: Picture,
        layer: str = "",
        other: Picture | None = None,
        as_traced: bool = False,
    ) -> ForwardPass:
        """Return the ForwardPass of a picture in row 0, made now if it is not held.

        layer: a layer object that it must go up to as a layer asked for; "" where users name it.
        other: a picture for row 1.  as_traced: with every convolution as one product, as traces are.
        """
        key = (picture.id, layer, other.id if other else None, as_traced)
        passed = self._passes.get(key)
        if passed is None:
            net = exact(self.net) if as_traced else self.net
            stored = np.stack([picture.stored, other.stored] if other else [picture.stored])
            passed = ForwardPass(net, preprocess(net, stored), [layer or self._top], stored)
            self._passes.put(key, passed, bytes_of(passed.maps, passed.caches, stored))
        return passed

    @property
    def _top(self) -> str:
        return self.net.output

    # ---------------------------------------------------------------------------------- feature maps

    def maps(self, picture: Picture, layer: str) -> dict[str, Any]:
        """Tell the largest value and its place of every map of a layer, and how their sheet is laid out."""
        name, y = self._maps(picture, layer)
        flat = y.reshape(-1, y.shape[2])
        places, best = flat.argmax(axis=0).tolist(), flat.max(axis=0).tolist()
        return {
            "layer": user_name(self.net, name), "shape": y.shape, "signed": bool(y.min() < 0),
            "maps": [
                {"channel": k, "max": value, "y": place // y.shape[1], "x": place % y.shape[1]}
                for k, (value, place) in enumerate(zip(best, places, strict=True))
            ],
            "sprite": {"columns": columns(y.shape[2]), "tile": y.shape[:2]},
        }  # fmt: skip

    def maps_sheet(self, picture: Picture, layer: str) -> bytes:
        """Draw all maps of a layer side by side: a PNG file."""
        return png(sheet(self._maps(picture, layer)[1]))

    def _maps(self, picture: Picture, layer: str) -> tuple[str, np.ndarray]:
        name = layer_object(self.net, layer)
        passed = self.passed(picture, self._beside_names(name))
        check_finite(self.net, passed.maps[name], passed.x)
        return name, to_cpu(passed.maps[name])[0]

    def _beside_names(self, name: str) -> str:
        """A layer object that users have no name for, or that no score depends on: it needs a pass of its own."""
        named = name in layer_names(self.net).values()
        below = any(node.name == name for node in self.net.path(self._top))
        return "" if named and below else name

    # ---------------------------------------------------------------------------------- projections

    def projection(self, question: Question, as_traced: bool = False) -> Projection:
        """Project a unit through whole maps, as rawconv.project does, to the last bit."""
        name = layer_object(self.net, parse_unit(self.net, question.unit).layer)
        picture = self.pictures.find(question.picture)
        other = self.pictures.find(question.other) if question.other else None
        passed = self.passed(picture, self._beside_names(name), other, as_traced)
        control = self._control(question.control, question.seed)
        rows = np.array([1, 0]) if other else None
        (projection,) = project(passed, [question.unit], question.rules, control, rows, full=True)
        return projection

    def _control(self, name: str | None, seed: int) -> controls.Control | None:
        if name is None:
            return None
        control = self._controls.get((name, seed))
        if control is None:
            control = controls.control(self.net, name, seed)
            assert control is not None
            size = bytes_of(control.twin.params) if control.twin is not self.net else 0
            self._controls.put((name, seed), control, size)
        return control

    def pixels(self, question: Question) -> np.ndarray:
        """Return the signed pixels of a projection, float32 (H, W, 3)."""
        return np.ascontiguousarray(self.projection(question).pixels)

    def project(self, question: Question) -> dict[str, Any]:
        """Project a unit, and tell all that the page shows of it."""
        projection = self.projection(question)
        unit, pixels = projection.unit, np.ascontiguousarray(projection.pixels)
        top, left, bottom, right = shown_box = unit.inner_box(self.net)
        return {
            "unit": str(unit), "text": unit_text(self.net, unit), "value": projection.value,
            "dead": projection.passed.dead(unit) if projection.dead else "", "empty": projection.lost(),
            "replaced": projection.replaced, "box": projection.box, "shown": shown_box,
            "scale": float(np.abs(pixels).max()),
            "png": png_text(display(pixels)[top:bottom, left:right]),
            "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "rank": None if question.control else self.rank(question.picture, projection),
            "net": self.version,
        }  # fmt: skip

    def rank(self, picture: str, projection: Projection) -> dict[str, Any] | None:
        """Tell how many pictures of the data set excite a unit's map more than the unit, when that is known."""
        name = layer_object(self.net, projection.unit.layer)
        return self.likes.rank(name, projection.unit.channel, projection.value, picture)

    def steps(self, question: Question) -> dict[str, Any]:
        """Tell a unit's way down step by step, as rawconv-visualize --trace does, and draw each map."""
        from ..report.thumbnails import thumbnails

        projection, steps = self.projection(question, as_traced=True), []
        for step in projection.steps():
            if step.r.shape == self.net.shape and step.r.shape[2] == 3:
                drawn, maps = display(step.r), None
            else:
                drawn, maps = thumbnails(step.r)
            steps.append({
                "node": step.layer, "words": step.step, "shape": step.r.shape, "maps": maps,
                "png": png_text(drawn), "values": step.numbers(),
            })  # fmt: skip
        return {"unit": str(projection.unit), "steps": steps}

    # ---------------------------------------------------------------------------------- the net

    def origin(self) -> dict[str, Any]:
        """Say where the net is from, and what is open: {"weights", "net", "data", "pictures"}.

        net: a number that grows when a run that is watched replaces the net.
        """
        return {
            "weights": shown(self.weights.name, 80), "net": self.version,
            "data": self.pictures.has_data, "pictures": self.pictures.kept,
        }  # fmt: skip

    def data_facts(self) -> dict[str, Any]:
        """Open the data set and say what it holds: {"name", "splits", "classes", "trouble"}.

        classes: [[name, its number in the net or None], ...], by their numbers in the data.
        trouble: why there is none; "" where there is one.
        """
        try:
            data = self.pictures.data
            sizes = {name: len(split) for name, split in self.pictures.splits().items()}
        except (RawconvError, UsageError) as error:
            return {"name": None, "splits": {}, "classes": [], "trouble": str(error)}
        classes = [[name, self.pictures.class_of(k)] for k, name in enumerate(data.classes)]
        return {"name": data.name, "splits": sizes, "classes": classes, "trouble": ""}

    def background(self) -> bool:
        """Do a little of what nobody waits for; return whether there is more.

        First a projection that nobody asked for: the loops that it needs are loaded then, or compiled.
        But a page that opens has the processors for itself, until it asks what a map likes.
        """
        if time.monotonic() < self._opened and not self.likes.wanted:
            return False
        if self._warm:
            return self.likes.step()
        self._warm = True
        grey = np.full((*self.net.stored, 3), 128, np.uint8)
        first = self.pictures.kept[:1]
        picture = self.pictures.find(first[0]) if first else Picture("", "", grey)
        passed = self.passed(picture)
        layer = default_layer(self.net)
        for _ in project(passed, [parse_unit(self.net, f"{layer}:0")], full=True):
            pass
        return True
