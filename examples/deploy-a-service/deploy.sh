#!/bin/sh
# Deploys a release directory on this machine: switches the link `current` to it, restarts the
# service, and waits until it answers with its new version. If it does not, the release that ran
# before runs again and the exit code is 1. It knows nothing of deploymark.
#
#   SHOP_PORT=8000 ./deploy.sh releases/2
#
# Run in the folder that holds `current`; needs Linux (/proc), flock and python3.
set -eu

if [ $# -ne 1 ] || [ ! -f "$1/VERSION" ]; then
  echo 'usage: deploy.sh RELEASE, a directory with a file VERSION in it' >&2
  exit 64
fi
release=$(cd "$1" && pwd -P)
releases=$(dirname "$release")
place=$(pwd -P)
port=${SHOP_PORT:?is the port that the service listens on}

say() { printf 'deploy: %s\n' "$*"; }

# Whether the service runs; sets $pid. By where it runs and not by its number alone, which may
# belong to another process by now, or to a dead one that nobody has waited for.
runs() {
  pid=$(cat service.pid 2>/dev/null) || return 1
  case $(readlink "/proc/$pid/cwd") in
    "$releases"/*) return 0 ;;
    *) return 1 ;;
  esac
}

# Waits about 20 seconds for a command to succeed.
await() {
  deadline=$(($(date +%s) + 20))
  until "$@"; do
    [ "$(date +%s)" -le "$deadline" ] || return 1
    sleep 0.05
  done
}

is_gone() { ! runs; }

stop() {
  runs || return 0
  kill "$pid" 2>/dev/null
  await is_gone || {
    kill -KILL "$pid" 2>/dev/null
    await is_gone
  }
}

version_answered() {
  python3 -c '
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=1)
connection.request("GET", "/version")
print(connection.getresponse().read().decode())' "$port" 2>/dev/null
}

# Ends the waiting early when the service has died: then it will not answer any more.
is_settled() { is_gone || [ "$(version_answered)" = "$1" ]; }

# Makes a release the one that runs. Readers of `current` see the old or the new one, never none.
# The lock is not handed on: the service would hold it for as long as it runs.
start() {
  ln -sfn "$1" current.new && mv -T current.new current && stop || return 1
  (
    cd "$1" || exit 1
    nohup python3 service.py "$port" </dev/null >>"$place/service.log" 2>&1 9>&- &
    echo $! >"$place/service.pid"
  )
  await is_settled "$(cat "$1/VERSION")" && runs
}

go_back() {
  code=$?
  trap - EXIT
  trap : HUP INT TERM # and not '', which the service would inherit
  if [ -n "$before" ]; then
    say "back to $(basename "$before")"
    start "$before" || say "$(basename "$before") does not start either"
  else
    stop || say 'what was started does not end'
    rm -f current
  fi
  exit "$code"
}

# One deploy at a time; the one before us takes no longer than its own waiting.
exec 9>deploy.lock
flock 9
before=$(readlink current || true)
trap go_back EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
start "$release" || {
  say "$(basename "$release") does not start, see service.log:"
  tail -n 1 service.log
  exit 1
}
trap - EXIT
say "$(basename "$release") answers on port $port"
