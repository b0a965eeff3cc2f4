#!/usr/bin/env bash
# Train the two shipped nets again, with the project's own commands.
# Usage: tools/make_weights.sh PHOTOS.zip      (64 classes of Tiny-ImageNet; see weights/README.md)
set -euo pipefail
cd "$(dirname "$0")/.."
photos=${1:?the zip of photographs}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

train() {  # name, folder, then the options of rawconv-train
    local name=$1 to=$2; shift 2
    .venv/bin/rawconv-train --model zf64 --out "$scratch/$name" "$@"
    .venv/bin/python - "$scratch/$name/last.h5" "$to/$name.h5" <<'PYTHON'
import pathlib
import sys

from rawconv import checkpoint

net, info, _ = checkpoint.load(sys.argv[1])
checkpoint.save(sys.argv[2], net, info | {"data": pathlib.Path(info["data"]).name})
PYTHON
}

train scenes rawconv --data scenes --epochs 15
train photos weights --data "$photos" --epochs 40
sha256sum rawconv/scenes.h5 weights/photos.h5
