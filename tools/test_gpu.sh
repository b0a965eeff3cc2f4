#!/usr/bin/env bash
# The device tests on a software GPU: make .venv-gpu with the real CuPy wheel (for ROCm), run pytest --device gpu
# twice: with memory that holds NaN until it is written; and with all that a sound kernel bears at once: that, a guard
# page behind every array, and threads and blocks in descending order.  Each of these alone tells which one it was.
# RAWCONV_SOFTGPU names the program `softgpu`.  On a real card: pytest --device gpu.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${RAWCONV_SOFTGPU:-}" ]; then
    echo "GPU tests skipped: RAWCONV_SOFTGPU is not set, so there is no software GPU to run them on."
    exit 0
fi

[ -x .venv-gpu/bin/python ] || "${PYTHON:-python3}" -m venv .venv-gpu
.venv-gpu/bin/python -m pip install --quiet --editable '.[rocm,test,mpi]'

# Two files at a time, one a core.  Both rounds run even where the first one fails.
failed=0
for settings in "SOFTGPU_POISON=1" "SOFTGPU_POISON=1 SOFTGPU_GUARD=1 SOFTGPU_ORDER=reverse"; do
    echo "Device tests with $settings"
    env $settings "$RAWCONV_SOFTGPU" run --venv .venv-gpu -- \
        python -m pytest -q -n 2 --dist loadfile --device gpu -k gpu -p no:cacheprovider || failed=1
done

echo "NCCL between two software cards"
SOFTGPU_DEVICES=2 "$RAWCONV_SOFTGPU" run --venv .venv-gpu -- \
    python -m pytest -q --device gpu -k nccl -p no:cacheprovider tests/test_parallel.py || failed=1
exit $failed
