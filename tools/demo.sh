#!/usr/bin/env bash
# The main job on a fresh machine: make .venv, install, look at layer 4 of the net that comes with rawconv, then train
# a small net on built-in pictures and look at its layer 4.
# Usage: tools/demo.sh [--quick]     (--quick: a token training, to see that everything works)
set -euo pipefail
cd "$(dirname "$0")/.."

scenes=scenes epochs=6
if [ "${1:-}" = --quick ]; then scenes=scenes:1280 epochs=1; fi

. tools/environment.sh
echo "Installing rawconv into .venv, which takes a minute or so the first time ..."
"$bin/python" -m pip install --quiet --editable .

echo "What layer 4 of the net that comes with rawconv looks for (the first run compiles its loops):"
shipped=$("$bin/rawconv-visualize" --layer 4 --weights rawconv/scenes.h5 | tail -n 1)
ls "$shipped"/*.png

echo
echo "Now a net of your own: training takes about three minutes on two cores ..."
run=$("$bin/rawconv-train" --data "$scenes" --epochs "$epochs" | tail -n 1)
trained=$("$bin/rawconv-visualize" --layer 4 --weights "$run/last.h5" | tail -n 1)

echo
echo "The net, its log and its learning curves: $run"
echo "What its layer 4 looks for:               $trained"
ls "$trained"
