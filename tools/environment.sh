# Sourced by demo.sh and test.sh: makes .venv of $PYTHON, or of python3, where there is none; sets bin, where its
# programs are.
if [ ! -x .venv/bin/python ] && [ ! -x .venv/Scripts/python.exe ]; then
    python=${PYTHON:-$(command -v python3 || command -v python || echo python3)}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || {
        echo "rawconv needs Python 3.10 or newer, and $python is not; name one that is: PYTHON=python3.12 $0" >&2
        exit 1
    }
    # half an environment would be taken for a whole one the next time
    "$python" -m venv .venv || { rm -rf .venv; exit 1; }
fi
bin=.venv/bin
[ -d "$bin" ] || bin=.venv/Scripts # Windows
