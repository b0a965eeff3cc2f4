"""Files and folders of Keras and TensorFlow: what they are, and the route to ONNX that works, in one sentence each."""

import json
import zipfile

import h5py
import numpy as np
import pytest

from rawconv.convert.read import import_net
from rawconv.errors import RawconvError, UsageError

EXPORT = r'model.export\("net.onnx", format="onnx"\)'


def keras_hdf5(path):
    """As Keras 2 and 3 save a whole model with the ending .h5."""
    with h5py.File(path, "w") as file:
        file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "3.8.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {}})
        file["model_weights/conv2d/conv2d/kernel"] = np.zeros((3, 3, 3, 4), "f4")


def keras_weights(path):
    """As save_weights("x.weights.h5") of Keras 3 writes them."""
    with h5py.File(path, "w") as file:
        file["_layer_checkpoint_dependencies/conv2d/vars/0"] = np.zeros((3, 3, 3, 4), "f4")


def old_weights(path):
    """As save_weights("x.h5") of Keras 2 writes them."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"], file.attrs["backend"] = [b"conv2d"], b"tensorflow"
        file["conv2d/conv2d/kernel:0"] = np.zeros((3, 3, 3, 4), "f4")


def keras_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.8.0"}')
        archive.writestr(
            "config.json", '{"module": "keras.src.models.sequential", "class_name": "Sequential"}'
        )
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")


def saved_model(path):
    """A folder; its file is a protobuf: the version 1, then a message that begins with one."""
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x06\x0a\x04\x2a\x02ab")
    (path / "fingerprint.pb").write_bytes(b"")


def layers_model(path):
    about = {
        "format": "layers-model",
        "generatedBy": "keras v2.15.0",
        "convertedBy": "TensorFlow.js Converter v4",
    }
    model = {
        "modelTopology": {"keras_version": "2.15.0", "model_config": {}},
        "weightsManifest": [],
    }
    path.write_text(json.dumps(about | model))


def layers_model_folder(path):
    path.mkdir()
    layers_model(path / "model.json")


FILES = {
    "whole.h5": (keras_hdf5, f"a Keras model in HDF5.*{EXPORT}.*from_keras fails"),
    "x.weights.h5": (keras_weights, f"a Keras model in HDF5.*{EXPORT}"),
    "weights.h5": (old_weights, f"a Keras model in HDF5.*{EXPORT}"),
    "net.keras": (keras_archive, f"a Keras archive.*{EXPORT}.*from_keras fails"),
    "saved": (saved_model, f"a SavedModel.*{EXPORT}.*tf2onnx.convert --saved-model"),
    "saved/saved_model.pb": (lambda path: saved_model(path.parent), f"a SavedModel.*{EXPORT}"),
    "model.json": (layers_model, f"a layers model of TensorFlow.js.*{EXPORT}.*tensorflowjs_converter"),
    "tfjs": (layers_model_folder, f"a layers model of TensorFlow.js.*{EXPORT}"),
    "graph.json": (
        lambda path: path.write_text('{"format": "graph-model", "modelTopology": {}}'), f"a graph model.*{EXPORT}"),
    "layers.json": (
        lambda path: path.write_text('{"class_name": "Functional", "config": {}}'), f"as JSON, without.*{EXPORT}"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_keras_and_tensorflow_wrote_is_answered_with_the_route(name, tmp_path):
    make, message = FILES[name]
    make(tmp_path / name)
    with pytest.raises(RawconvError, match=message) as refusal:
        import_net(tmp_path / name)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


def test_other_hdf5_files_and_folders(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.zeros((2, 3), "f4")
    with pytest.raises(RawconvError, match="an HDF5 file of another program"):
        import_net(tmp_path / "data.h5")
    with pytest.raises(RawconvError, match="is a folder"):
        import_net(tmp_path)
    with pytest.raises(UsageError, match="no file"):
        import_net(tmp_path / "nowhere")
