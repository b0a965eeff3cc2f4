#!/usr/bin/env bash
# Everything that needs a real card, in one run of at most five minutes: tools/gpu_check.py, see its --help.  Nothing is
# installed and nothing is kept but the results: compiled loops and kernels go to a folder that is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export NUMBA_CACHE_DIR=${NUMBA_CACHE_DIR:-$work/numba} CUPY_CACHE_DIR=${CUPY_CACHE_DIR:-$work/cupy}
"${PYTHON:-python3}" tools/gpu_check.py --work "$work" "$@"
