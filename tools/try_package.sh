#!/bin/bash
# Builds the source distribution and the wheel into dist/, installs them as users do, and runs the tests of the unpacked
# sources (needs the network, as pip does).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD place=$(mktemp -d)
trap 'rm -rf "$place" "$root"/*.egg-info' EXIT
say() { printf '\n--- %s\n' "$*"; }
die() { echo "try_package: $*" >&2; exit 1; }
unset PYTHONPATH

say "build"
python3 tools/make_environment.py "$place/tools" requirements/package.lock
PATH=$place/tools/bin:$PATH
rm -rf dist
uv build --quiet --out-dir dist .
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' agent/__init__.py)
sdist=$PWD/dist/claude_code_wrapper-$version.tar.gz wheel=$PWD/dist/claude_code_wrapper-$version-py3-none-any.whl
ls -l "$sdist" "$wheel"

say "the source distribution has every file of the repository"
tar -xzf "$sdist" -C "$place"
sources=$place/claude_code_wrapper-$version
git ls-files | while read -r each; do [ -e "$sources/$each" ] || [ ! -e "$each" ] || echo "$each"; done >"$place/missing"
[ ! -s "$place/missing" ] || die "MANIFEST.in leaves out: $(tr '\n' ' ' <"$place/missing")"

say "pip: the wheel without the extra, which is what a container needs"
python3 tools/make_environment.py "$place/bare" requirements/agent.lock >/dev/null
"$place/bare/bin/python" -m pip install --quiet --no-deps "$wheel"
cd "$place" # where no file of the repository can stand in for one of the package
[ "$("$place/bare/bin/agent" version)" = "$version" ] || die "agent version is not $version"
"$place/bare/bin/agent" variables REPO_URL

say "pipx, with the extra"
PIPX_HOME=$place/pipx PIPX_BIN_DIR=$place/bin pipx install --quiet "${wheel}[hub]"
"$place/bin/agent" demo | tail -3

say "uvx"
UV_TOOL_DIR=$place/uv UV_CACHE_DIR=$place/uv-cache uvx --quiet --from "${wheel}[hub]" agent version

say "the tests of the unpacked sources"
cd "$sources"
make --no-print-directory setup
env -u CI .venv/bin/python -m pytest -q -n auto --lane fast -p no:cacheprovider tests/house tests/config tests/protocol \
  tests/process tests/redaction tests/repository tests/journal tests/outcome tests/commands
