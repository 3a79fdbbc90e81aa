#!/bin/sh
# Asks a proxy until a response carries the id of a deployment; fails when none does in time.
#
#   answered.sh URL DEPLOYMENT_ID [SECONDS]
#
# So a marker about a proxy says what the proxy does, not what its file says. It asks some ten times a
# second: 10 seconds, the default, find a cohort of 10 %; one of 1 % needs two minutes.
set -eu

url=${1:?a URL behind the proxy}
deployment=${2:?the deployment that should answer}
seconds=${3:-10}

until=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt "$until" ]; do
  if curl -sS -o /dev/null -D - --max-time 2 "$url" 2>/dev/null | tr -d '\r' |
    awk -v id="$deployment" 'tolower($1) == "x-deployment-id:" && $2 == id { found = 1 }
                             END { exit !found }'; then
    exit 0
  fi
  sleep 0.05 2>/dev/null || sleep 1
done
echo "answered.sh: $deployment did not answer at $url within $seconds seconds" >&2
exit 1
