#!/usr/bin/env bash
# The device tests on a software GPU: make .venv-gpu with the real CuPy wheel (for ROCm), run pytest --device gpu four
# times: as it is; with memory that holds NaN until it is written; with a guard page behind every array; with threads
# and blocks in descending order.  RAWCONV_SOFTGPU names the program `softgpu`.  On a real card: pytest --device gpu.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${RAWCONV_SOFTGPU:-}" ]; then
    echo "GPU tests skipped: RAWCONV_SOFTGPU is not set, so there is no software GPU to run them on."
    exit 0
fi

[ -x .venv-gpu/bin/python ] || "${PYTHON:-python3}" -m venv .venv-gpu
.venv-gpu/bin/python -m pip install --quiet --editable '.[rocm,test,mpi]'

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

round() { # setting
    env "$1" "$RAWCONV_SOFTGPU" run --venv .venv-gpu -- \
        python -m pytest -q --device gpu -k gpu -p no:cacheprovider >"$logs/$1" 2>&1
}

# Two rounds at a time, one a core; the first pair compiles the kernels for the second.
failed=0
for pair in "SOFTGPU_POISON=0 SOFTGPU_POISON=1" "SOFTGPU_GUARD=1 SOFTGPU_ORDER=reverse"; do
    read -r -a settings <<<"$pair"
    pids=()
    for setting in "${settings[@]}"; do
        round "$setting" &
        pids+=($!)
    done
    for i in 0 1; do
        wait "${pids[$i]}" || failed=1
        echo "Device tests with ${settings[$i]}"
        cat "$logs/${settings[$i]}"
    done
done

echo "NCCL between two software cards"
SOFTGPU_DEVICES=2 "$RAWCONV_SOFTGPU" run --venv .venv-gpu -- \
    python -m pytest -q --device gpu -k nccl -p no:cacheprovider tests/test_parallel.py || failed=1
exit $failed
