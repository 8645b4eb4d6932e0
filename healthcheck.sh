#!/bin/sh
# Says how the agent is: one line with its state, the age of the health file, the phase and the memory.
#
#   healthcheck.sh           0 for healthy and unreachable      docker's HEALTHCHECK
#   healthcheck.sh --live    also for starting and finished     liveness: 1 means that only a kill helps
#   healthcheck.sh --ready   for healthy alone                  readiness: the run goes on and the server follows it
#
# starting     no health file yet, and the agent is younger than 30 s
# healthy      the file is fresh: the loop that drives the run writes or touches it every second
# unreachable  the same, but the server is not connected; the run goes on, its messages wait in the journal
# serving      not a run but another command, `agent serve` for example
# stalled      the file is older than 3 s, or never came: the loop hangs
# finished     no file and no agent: it has ended in order
# dead         an old file and no agent: it was killed
#
# HEALTH_FILE as for the agent; HEALTH_PROC is /proc, for a look from another container.
file=${HEALTH_FILE:-${TMPDIR:-/tmp}/agent-health}
proc=${HEALTH_PROC:-/proc}
max_age=3
max_start=30

report() { # STATE DETAILS
  printf '%s: %s\n' "$1" "$2"
  case $mode:$1 in
    *:healthy | *:serving | live:starting | live:finished | live:unreachable | check:unreachable) exit 0 ;;
  esac
  exit 1
}

find_agent() { # sets agent (a pid), command and uptime (seconds)
  agent='' command='' uptime=0
  for comm in "$proc"/[0-9]*/comm; do
    { read -r name <"$comm"; } 2>/dev/null || continue
    [ "$name" = agent ] || continue
    agent=${comm%/comm}
    agent=${agent##*/}
    break
  done
  [ -n "$agent" ] || return 1
  command=$(tr '\0' '\n' <"$proc/$agent/cmdline" 2>/dev/null | sed -n '/\/agent$/{n;p;q;}')
  { read -r stat <"$proc/$agent/stat" && read -r now rest <"$proc/uptime"; } 2>/dev/null || return 0
  # shellcheck disable=SC2086  # split into its fields on purpose
  set -- ${stat##*) }
  uptime=$((${now%.*} - ${20} / 100))
}

case ${1:-} in
  '') mode=check ;;
  --live) mode=live ;;
  --ready) mode=ready ;;
  *) echo "usage: healthcheck.sh [--live | --ready]" >&2; exit 64 ;;
esac

phase='' server='' memory=0 limit=0 pids='' age='' queued=0 until=0
if written=$(stat -c %Y "$file" 2>/dev/null) && { read -r line <"$file"; } 2>/dev/null; then
  age=$(($(date +%s) - written))
  for field in $line; do
    case $field in
      phase=*) phase=${field#*=} ;;
      server=*) server=${field#*=} ;;
      memory=*) memory=${field#*=} ;;
      limit=*) limit=${field#*=} ;;
      pids=*) pids=${field#*=} ;;
      queued=*) queued=${field#*=} ;;
      until=*) until=${field#*=} ;;
    esac
  done
fi

if [ -z "$age" ]; then
  find_agent || report finished 'there is no agent'
  case $command in
    '' | run) ;;
    *) report serving "agent $command, for $uptime s" ;;
  esac
  [ "$uptime" -le $max_start ] || report stalled "for $uptime s, and $file was never written"
  report starting "for $uptime s"
fi

used="memory $((memory / 1048576)) MiB"
[ "$limit" -gt 0 ] && used="$used of $((limit / 1048576)) MiB ($((memory * 100 / limit)) %)"
details="written $age s ago, phase $phase, server $server, $used, $pids processes"
left=$((until - $(date +%s)))
[ "$queued" -gt 0 ] && [ $left -gt 0 ] &&
  details="the run is over, waiting up to $left s for the server, $queued messages left; $details"
if [ "$age" -gt $max_age ]; then
  find_agent && report stalled "$details"
  report dead "$details"
fi
case $server in
  up | none) report healthy "$details" ;;
  *) report unreachable "$details" ;;
esac
