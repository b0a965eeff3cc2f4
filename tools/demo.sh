#!/usr/bin/env bash
# The main job on a fresh machine: make .venv, install, train a small net on built-in pictures, look at its layer 4.
# Usage: tools/demo.sh [--quick]     (--quick: a token training, to see that everything works)
set -euo pipefail
cd "$(dirname "$0")/.."

scenes=scenes epochs=6
if [ "${1:-}" = --quick ]; then scenes=scenes:1280 epochs=1; fi

[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet --editable .

echo "Training (the first run compiles its loops for half a minute) ..."
run=$(.venv/bin/rawconv-train --data "$scenes" --epochs "$epochs" | tail -n 1)
pictures=$(.venv/bin/rawconv-visualize --layer 4 --weights "$run/last.h5" | tail -n 1)

echo
echo "The net, its log and its learning curves: $run"
echo "What its layer 4 looks for:               $pictures"
ls "$pictures"
