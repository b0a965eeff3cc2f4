#!/usr/bin/env bash
# All tests on a fresh machine: make .venv, install with the test extra, lint, test.
#   tools/test.sh            light packages only; tests whose witness is not installed are skipped, with the reason
#   tools/test.sh --all      installs the witnesses too (PyTorch, ...), lints the page's scripts where there is
#                            npm, and runs the GPU tests on a software GPU if there is one
#   tools/test.sh --long     also the full-length runs
set -euo pipefail
cd "$(dirname "$0")/.."

all=false options=()
for word in "$@"; do
    case "$word" in
        --all) all=true ;;
        --long) options+=(--long) ;;
        *) echo "usage: tools/test.sh [--all] [--long]" >&2; exit 2 ;;
    esac
done

. tools/environment.sh
echo "Installing rawconv and what its tests need into .venv ..."
# Bytecode of all that is installed takes as long as the rest of it; the tests keep that of what they import.
pip=("$bin/python" -m pip install --quiet --no-compile)
# What Numba compiled for an earlier `pip install .` outlives its removal, and would hide this checkout.
"$bin/python" -m pip uninstall --quiet --yes rawconv 2>/dev/null || true
rm -rf .venv/lib/python*/site-packages/rawconv .venv/Lib/site-packages/rawconv
"${pip[@]}" --editable '.[test]'
if $all; then
    "${pip[@]}" torch==2.13.0 # first and by itself, so that nothing below asks for another build
    "${pip[@]}" --editable '.[test,witness,mpi,docs,release]'
    "${pip[@]}" --no-deps pytorchcv # it asks for torchvision, and that for another PyTorch of several gigabytes
    if ! command -v chromium >/dev/null && command -v apt-get >/dev/null; then
        (apt-get update && apt-get install -y chromium) >/dev/null \
            || echo "No Chromium: the browser tests will be skipped."
    fi
fi

# The tests start hundreds of processes, and without kept bytecode each would compile the whole package.
unset PYTHONDONTWRITEBYTECODE
export PYTHONUTF8=1 # tests read files of the checkout, which are UTF-8; Windows would take them for its own encoding
"$bin/ruff" check .
"$bin/ruff" format --check .
if $all; then tools/lint_js.sh; tools/test_gpu.sh; fi
# Two files at a time: most tests are small and leave a core idle.  A file's tests stay together, with what they share.
# The files come in the order of tests/conftest.py, not by how many tests they have.
"$bin/python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder ${options[@]+"${options[@]}"}
