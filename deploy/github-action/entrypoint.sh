#!/bin/sh
# Turns the inputs of the GitHub action into one step; everything that matters is in ../step.sh.
# Inputs arrive as environment variables and never as program text. An empty input leaves alone
# what the job itself has set.
set -u

give() { # give NAME VALUE
    [ -n "$2" ] && export "$1=$2"
    return 0
}
give DEPLOYMARK_SERVICE "${INPUT_SERVICE:-}"
give DEPLOYMARK_ENVIRONMENT "${INPUT_ENVIRONMENT:-}"
give DEPLOYMARK_ARTIFACT "${INPUT_ARTIFACT:-}"
give DEPLOYMARK_VERSION "${INPUT_VERSION:-}"
give DEPLOYMARK_URL "${INPUT_URL:-}"
give DEPLOYMARK_TOKEN "${INPUT_TOKEN:-}"
give DEPLOYMARK_OIDC_AUDIENCE "${INPUT_AUDIENCE:-}"
give DEPLOYMARK_KEY "${INPUT_KEY:-}"
give DEPLOYMARK_REQUIRE "${INPUT_REQUIRE:-}"
give DEPLOYMARK_ARGS "${INPUT_ARGS:-}"
give DEPLOYMARK_INSTALL "${INPUT_INSTALL:-}"

# Without a stored token the job shows who it is, where its permissions let GitHub say so.
if [ -z "${DEPLOYMARK_TOKEN:-}" ] && [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
    export "DEPLOYMARK_OIDC=${DEPLOYMARK_OIDC:-1}"
fi

run=${INPUT_RUN:-} phase=${INPUT_PHASE:-}
# The deploy command gets its own variables only.
unset INPUT_SERVICE INPUT_ENVIRONMENT INPUT_ARTIFACT INPUT_VERSION INPUT_URL INPUT_TOKEN INPUT_KEY
unset INPUT_AUDIENCE INPUT_REQUIRE INPUT_ARGS INPUT_INSTALL INPUT_RUN INPUT_PHASE

if { [ -n "$run" ] && [ -n "$phase" ]; } || [ -z "$run$phase" ]; then
    echo "::error::deploymark: give either the input 'run' or the input 'phase'."
    exit 64
fi

step=$(dirname -- "$0")/../step.sh
id=$(DEPLOYMARK_REQUIRE='' sh "$step" id 2>/dev/null)
case $id in
'' | *[!a-z0-9._~-]*) ;;
*) [ -n "${GITHUB_OUTPUT:-}" ] && printf 'deployment-id=%s\n' "$id" >>"$GITHUB_OUTPUT" ;;
esac

[ -n "$phase" ] && exec sh "$step" mark "$phase"
# As the runner starts a step with `shell: bash`.
exec sh "$step" run -- bash --noprofile --norc -eo pipefail -c "$run"
