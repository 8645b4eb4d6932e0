#!/bin/bash
# A minimal Debian in a directory, with a user of its own, for tests on another machine than this one: another Python, or
# none of what this machine has installed (Debian, root; needs the mirror that apt uses, and no container engine).
#
#   tools/debian_root.sh make SUITE [PACKAGE...]      make it, if it is not there, and print its directory
#   tools/debian_root.sh copy DIRECTORY               put the files of this repository, as they are now, into ~/src
#   tools/debian_root.sh run DIRECTORY COMMAND...     run a command there, as the user, in ~
#
# With AS_ROOT=1 it is root who runs the command and has the files, in /root, where nobody else may look.
# SUITE is bookworm, trixie, sid ... without the security updates: bookworm then has the Python 3.11.2 that matches
# possessive quantifiers wrongly. A root is kept in DEBIAN_ROOTS (/var/tmp/debian-roots) and used again; remove the
# directory to make it anew. This machine's additional CAs are trusted there, so that pip and git work behind a proxy.
set -euo pipefail
roots=${DEBIAN_ROOTS:-/var/tmp/debian-roots}
user=tester
as=$user home=/home/$user
[ -z "${AS_ROOT:-}" ] || as=root home=/root
export DEBIAN_FRONTEND=noninteractive
say() { printf 'debian_root: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root, for chroot"

mirror() { # the one that apt takes Debian's main archive from
  local site
  site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -m1 '/debian/*$' || true)
  site=${DEBIAN_MIRROR:-$site}
  [ -n "$site" ] || die "apt names no mirror here; set DEBIAN_MIRROR to the address of one"
  echo "$site"
}

make_root() { # SUITE [PACKAGE...]
  local suite=$1 root log packages from
  shift
  packages=$(printf '%s\n' "$@" | sort -u)
  root=$roots/$suite-$(printf '%s' "$packages" | sha256sum | cut -c1-12)
  log=$root.log
  mkdir -p "$roots"
  exec 9>"$root.lock"
  flock 9 # another one may be making it
  if [ ! -e "$root/.ready" ]; then
    command -v debootstrap >/dev/null || {
      apt-get -q update && apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 debootstrap
    } >"$log" 2>&1 || die "debootstrap cannot be installed: $(tail -1 "$log")"
    say "making $root"
    from=$(mirror) # by itself: a substitution among arguments would not end the script
    rm -rf --one-file-system "$root"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$from" >"$log" 2>&1 ||
      die "no Debian $suite: $(tail -1 "$log"); all of it is in $log"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    # No service is to be started by its installation. Packages are apt's business: debootstrap knows no alternatives.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    # A mirror that was frozen some time ago will do; its signature is checked all the same.
    echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/frozen-mirror"
    { chroot "$root" apt-get -q update && chroot "$root" apt-get -q install -y --no-install-recommends "$@" &&
      chroot "$root" apt-get clean; } </dev/null >>"$log" 2>&1 || die "no $* in Debian $suite: $(tail -1 "$log"); see $log"
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$root/usr/local/share/ca-certificates/" \;
    chroot "$root" update-ca-certificates >>"$log" 2>&1
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >"$root/etc/pip.conf"
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
    touch "$root/.ready"
  fi
  echo "$root"
}

copy() { # ROOT
  local root=$1
  cd "$(dirname "${BASH_SOURCE[0]}")/.."
  rm -rf --one-file-system "${root:?}$home/src"
  mkdir "$root$home/src"
  # What git knows of, and what is new and not ignored; what is deleted but not committed is not there to be read.
  git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- --ignore-failed-read 2>/dev/null |
    tar -x -C "$root$home/src"
  chroot "$root" chown -R "$as:" "$home/src"
}

run() { # ROOT COMMAND...
  local root=$1
  shift
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  # Namespaces of its own: what it mounts and starts ends with it.
  unshare --mount --pid --fork --kill-child bash -euc '
    root=$1 user=$2 home=$3; shift 3
    mount --make-rprivate /
    mount -t proc proc "$root/proc"
    for each in null zero full random urandom tty; do
      [ -e "$root/dev/$each" ] || touch "$root/dev/$each"; mount --bind "/dev/$each" "$root/dev/$each"
    done
    mkdir -p "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
    ln -sf pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    exec chroot --userspec="$user:$user" "$root" env -i HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 \
      PATH=/usr/local/bin:/usr/bin:/bin ${CI:+CI="$CI"} ${HTTPS_PROXY:+HTTPS_PROXY="$HTTPS_PROXY"} \
      ${HTTP_PROXY:+HTTP_PROXY="$HTTP_PROXY"} ${NO_PROXY:+NO_PROXY="$NO_PROXY"} bash -c "cd && exec \"\$@\"" - "$@"
  ' - "$root" "$as" "$home" "$@"
}

case ${1:-} in
  make) shift; [ $# -ge 1 ] || die "make SUITE [PACKAGE...]"; make_root "$@" ;;
  copy) shift; [ $# = 1 ] || die "copy DIRECTORY"; copy "$@" ;;
  run) shift; [ $# -ge 2 ] || die "run DIRECTORY COMMAND..."; run "$@" ;;
  *) sed -n '2,/^set/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2; exit 64 ;;
esac
