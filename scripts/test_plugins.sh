#!/usr/bin/env bash
# Install ganbench and every package in plugins/ into one environment, as their users would, and
# run each package's tests. PYTHON and TORCH_INDEX as in the Makefile; VENV names the environment.
# Where BASE (.venv/bin/python) has torch, the new environment gets links to the same files instead
# of another download; pip installs all else.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p "${VENV:=.venv-plugins}"
venv="$(cd "$VENV" && pwd)"
packages=(plugins/*/)
python="$venv/bin/python"
base="${BASE:-.venv/bin/python}"

if ! [ -x "$python" ]; then
    if [ -x "$base" ] && "$base" -c "import torch, torchvision, packaging" 2>/dev/null; then
        "$base" -m venv "$venv" || "$base" -m virtualenv --quiet "$venv"
        "$base" scripts/link_installed.py "$venv" torch torchvision
    else
        "${PYTHON:-python3}" -m venv "$venv" || "${PYTHON:-python3}" -m virtualenv --quiet "$venv"
    fi
fi
pip=("$python" -m pip --disable-pip-version-check --quiet install)
if [ -n "${TORCH_INDEX:-}" ]; then
    "${pip[@]}" --index-url "$TORCH_INDEX" torch torchvision
fi
# All at once, so that pip finds versions that suit every one of them. Their own code is installed
# anew each time: its version number does not say that it changed.
"${pip[@]}" . pytest "${packages[@]/%\//[test]}"
"${pip[@]}" --force-reinstall --no-deps . "${packages[@]}"

"$python" -m ganbench plugins check

export GANBENCH_CACHE_DIR="$venv/cache"
failed=()
for package in "${packages[@]}"; do
    echo "== $package"
    (cd "$package" && "$python" -m pytest -q -p no:cacheprovider) || failed+=("$package")
done
if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
