#!/bin/bash
# The tests on other Pythons than this machine's: the oldest that is supported, with its faults, and the newest ones.
# Each is of Debian, in a minimal Debian of its own (tools/debian_root.sh: Debian, root).
#
#   tools/pythons.sh                   all of them: bookworm (3.11.2), trixie (3.13), sid (the newest)
#   tools/pythons.sh bookworm -- -x tests/redaction        one, with arguments of pytest in place of the usual ones
#
# The usual tests are those of all rooms but whole runs (tests/system), the repository (tests/house) and what is slow.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
suites=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do suites+=("$1"); shift; done
[ $# -eq 0 ] || shift
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie sid)
usual=(-n auto --lane fast tests/house/test_regular_expressions.py)
for room in "$here"/../tests/*/__init__.py; do
  room=$(basename "$(dirname "$room")")
  case $room in system | house | support | simulation) ;; *) usual+=("tests/$room") ;; esac
done
[ $# -gt 0 ] || set -- "${usual[@]}"

newest() { # of the Pythons of a suite, as the name of a package
  case $1 in bookworm) echo python3.11 ;; trixie) echo python3.13 ;; *) echo "${NEWEST_PYTHON:-python3.14}" ;; esac
}

failed=()
for suite in "${suites[@]}"; do
  python=$(newest "$suite")
  root=$("$here/debian_root.sh" make "$suite" python3 "$python" "$python-venv" git git-lfs make openssh-client procps)
  "$here/debian_root.sh" copy "$root"
  printf '\n--- %s: ' "$suite"
  "$here/debian_root.sh" run "$root" bash -euc '
    unset CI # a new user on a minimal Debian may skip what is not there
    "$1" --version
    shift_python=$1; shift
    cd src
    test -x ~/venv/bin/python || "$shift_python" -m venv ~/venv
    ~/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
    echo "$PWD" > "$(~/venv/bin/python -c "import sysconfig; print(sysconfig.get_path(\"purelib\"))")/source.pth"
    ~/venv/bin/python -m pytest -q "$@" ||
      ~/venv/bin/python -m pytest -q --last-failed --last-failed-no-failures none # alone, as .ci/run does: see lane there
  ' - "$python" "$@" || failed+=("$suite")
done
[ ${#failed[@]} = 0 ] || { echo "pythons: failed on ${failed[*]}" >&2; exit 1; }
