#!/bin/bash
# README's first commands as a new person gives them: from an empty folder, as a new user on a minimal Debian that has
# Python, git and make and nothing else (no ps, no ssh, no column), and as root in /root (tools/debian_root.sh: Debian,
# root). Says how long each took.
#
#   tools/first_minute.sh             on Debian 12 and 13, then `make test` on 13
#   tools/first_minute.sh demo        without `make test`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf '\n--- %s\n' "$*"; }
die() { echo "first_minute: $*" >&2; exit 1; }

# What README shows under this heading, as it stands there.
commands=$(awk '/^## /{here = /See it in a minute/} here' README.md | awk '/^```/{inside = /^```sh/; next} inside')
[[ $commands == *"make demo"* ]] || die "README has no commands under 'See it in a minute'"

fresh() { # ROOT: the sources, and nothing that an earlier run left
  tools/debian_root.sh copy "$1"
  tools/debian_root.sh run "$1" bash -c 'rm -rf ~/.cache'
}

follow() { # ROOT COMMANDS: bound by the shell's own clock; CI's rule that nothing may skip is for a machine with everything
  tools/debian_root.sh run "$1" bash -c 'unset CI; cd src; TIMEFORMAT="took %0R s"; time timeout 1200 bash -euc "$1"' - "$2"
}

say "Debian 12 without ensurepip: one sentence, and nothing half made"
root=$(tools/debian_root.sh make bookworm python3 git make)
fresh "$root"
said=$(follow "$root" "$commands" 2>&1) && die "it worked: $said"
grep -x 'setup: .*apt-get install python3-venv' <<<"$said" || die "it does not say what to install: $said"
follow "$root" 'test ! -e .venv'

for suite in bookworm trixie; do
  root=$(tools/debian_root.sh make "$suite" python3 python3-venv git make)
  for AS_ROOT in '' 1; do
    export AS_ROOT
    say "$suite, $([ -n "$AS_ROOT" ] && echo "root, in /root" || echo "a new user")"
    fresh "$root"
    follow "$root" "python3 --version; $commands"
  done
  AS_ROOT=''
done
[ "${1:-}" = demo ] || { say "make test, $suite, a new user"; follow "$root" 'make test ||
  make test PARALLEL= TEST_FLAGS="--last-failed --last-failed-no-failures none"'; } # alone, as .ci/run does: see lane there
