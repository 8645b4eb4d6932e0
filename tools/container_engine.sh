#!/bin/bash
# A container engine for make image and image-test, also on a machine that reaches Debian's mirror but no image
# registry (Debian, root). Prints the variables to use it by; everything else goes to stderr.
#
#   eval "$(tools/container_engine.sh)"        tools/container_engine.sh stop
#
# An engine that answers is used as it is. Otherwise Debian's docker.io is installed and started, and where the base
# image cannot be pulled it is made: a minimal Debian, as the official one is, with this machine's additional CAs.
# Images built on such a base trust those CAs: they are for tests on this machine and never to be published.
set -euo pipefail
state=${ENGINE_DIR:-/var/tmp/container-engine}
base=$(sed -n 's/^ARG BASE=//p' "$(dirname "${BASH_SOURCE[0]}")/../Dockerfile") # debian:SUITE-slim
suite=${base#debian:} suite=${suite%-slim}
say() { printf 'container_engine: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
# Debian's client builds by itself; a newer one first in PATH may lack the plug-in for that.
client() { if [ -x /usr/bin/docker ]; then echo /usr/bin/docker; else command -v docker || true; fi; }

answers() { # [SOCKET]
  local docker; docker=$(client)
  [ -n "$docker" ] && env ${1:+DOCKER_HOST="unix://$1"} "$docker" info >/dev/null 2>&1
}

install_engine() {
  local need=() package
  for package in docker.io iptables debootstrap ca-certificates; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || need+=("$package")
  done
  [ ${#need[@]} -gt 0 ] || return 0
  say "installing ${need[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update >&2
  apt-get -q install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${need[@]}" >&2
}

start_engine() {
  local device mtu pid
  # A bridge with larger packets than the way out loses them silently where ICMP is filtered.
  device=$(ip -o route get 192.0.2.1 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' || true)
  mtu=$(cat "/sys/class/net/${device:-lo}/mtu" 2>/dev/null || echo 1500)
  [ "$mtu" -le 1500 ] || mtu=1500
  mkdir -p "$state"
  rm -f "$state/docker.pid" "$state/forward"
  if ! ip link show docker0 >/dev/null 2>&1; then
    iptables-save -t filter | sed -n 's/^:FORWARD \([A-Z]*\) .*/\1/p' >"$state/forward" || true
  fi
  setsid nohup dockerd --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/docker.pid" \
    -H "unix://$state/docker.sock" --mtu "$mtu" >>"$state/dockerd.log" 2>&1 </dev/null &
  pid=$!
  for _ in $(seq 120); do
    answers "$state/docker.sock" && return 0
    kill -0 $pid 2>/dev/null || break
    sleep 0.25
  done
  tail -5 "$state/dockerd.log" >&2
  die "dockerd does not start; its log is $state/dockerd.log"
}

make_base() {
  local mirror root=$state/rootfs bundle=/etc/ssl/certs/ca-certificates.crt
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -m1 '/debian/*$' || true)
  [ -n "$mirror" ] || die "$base can neither be pulled nor made: apt names no mirror of Debian here"
  say "making $base from $mirror"
  rm -rf "$root"
  debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$state/debootstrap.log" 2>&1 || {
    tail -5 "$state/debootstrap.log" >&2
    die "debootstrap failed"
  }
  printf 'path-exclude=/usr/share/%s/*\n' doc man info locale groff lintian linda >"$root/etc/dpkg/dpkg.cfg.d/docker"
  echo 'path-include=/usr/share/doc/*/copyright' >>"$root/etc/dpkg/dpkg.cfg.d/docker"
  printf '%s\n' 'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' 'Acquire::Languages "none";' \
    'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };' >"$root/etc/apt/apt.conf.d/docker-clean"
  printf 'deb %s %s main\n' "$mirror" "$suite" "$mirror" "$suite-updates" "$mirror-security" "$suite-security" \
    >"$root/etc/apt/sources.list"
  # As current as the official one: what a build upgrades lies in the image twice.
  { chroot "$root" apt-get -q update && DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -q -y upgrade; } \
    >>"$state/debootstrap.log" 2>&1 || say "the base could not be upgraded; see $state/debootstrap.log"
  # ca-certificates stays out, as in the official image: who installs it gets these CAs with it.
  if ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
    install -D -m 0644 -t "$root/usr/local/share/ca-certificates" /usr/local/share/ca-certificates/*.crt
    printf '[global]\ncert = %s\n' $bundle >"$root/etc/pip.conf"
    echo "cafile=$bundle" >"$root/etc/npmrc"
  fi
  tar -C "$root" --numeric-owner --exclude='./var/cache/apt/*.bin' --exclude='./var/cache/apt/archives/*.deb' \
    --exclude='./var/lib/apt/lists/*' --exclude='./var/log/*.log' --exclude='./usr/share/man/*' \
    --exclude='./usr/share/info/*' --exclude='./usr/share/locale/*' --exclude='./usr/share/doc/*' \
    --exclude='./etc/resolv.conf' --exclude='./dev/*' -c . | "$(client)" import --change 'CMD ["bash"]' - "$base" >/dev/null
  rm -rf "$root"
}

leave_network() { # take away what dockerd leaves of its own making: a bridge, its chains, and a FORWARD that drops
  local table
  [ -e "$state/forward" ] || return 0
  ip link delete docker0 2>/dev/null || true
  for table in filter nat; do
    iptables-save -t $table | grep -Ev '(^:| )DOCKER|docker0' | iptables-restore
  done
  iptables -P FORWARD "$(grep . "$state/forward" || echo ACCEPT)"
  rm -f "$state/forward"
}

stop() {
  local pid
  pid=$(cat "$state/docker.pid" 2>/dev/null) || return 0
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -- "--data-root $state/data" || return 0
  kill "$pid"
  for _ in $(seq 80); do kill -0 "$pid" 2>/dev/null || break; sleep 0.25; done
  leave_network
  awk -v state="$state/" 'index($2, state) == 1 {print $2}' /proc/mounts | sort -r | xargs -r -n 1 umount || true
}

case ${1:-start} in
  start)
    if answers "$state/docker.sock"; then export DOCKER_HOST=unix://$state/docker.sock
    elif ! answers; then
      [ -z "${DOCKER_HOST:-}" ] || die "no engine answers at DOCKER_HOST=$DOCKER_HOST"
      [ "$(id -u)" = 0 ] || die "no engine answers, and only root can start one"
      install_engine
      start_engine
      export DOCKER_HOST=unix://$state/docker.sock
    fi
    docker=$(client)
    "$docker" image inspect "$base" >/dev/null 2>&1 || "$docker" pull -q "$base" >/dev/null 2>&1 || { mkdir -p "$state"; make_base; }
    echo "export DOCKER=$docker DOCKER_BUILDKIT=1 ${DOCKER_HOST:+DOCKER_HOST=$DOCKER_HOST}"
    ;;
  stop) stop ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
