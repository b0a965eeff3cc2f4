#!/usr/bin/env bash
# eslint over our few scripts, installed into .venv/eslint.  Nobody who uses or tests rawconv needs Node: without npm
# this says so and does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

version=9.39.1 folder=.venv/eslint
if ! command -v npm >/dev/null; then
    echo "No npm here: the scripts are not linted (install Node.js 20 or newer for that)."
    exit 0
fi
if [ "$("$folder/node_modules/.bin/eslint" --version 2>/dev/null || true)" != "v$version" ]; then
    mkdir -p "$folder"
    npm install --silent --no-audit --no-fund --no-save --prefix "$folder" "eslint@$version"
fi
"$folder/node_modules/.bin/eslint" --config tools/eslint.config.mjs --max-warnings 0 \
    rawconv/report/page rawconv/explore/static docs/*.js
