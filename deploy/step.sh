#!/bin/sh
# One step of a CI job with deploymark, the same for every CI system. POSIX sh.
#
#   step.sh run -- COMMAND...   mark planned and applying, run COMMAND, mark applied or failed
#   step.sh mark PHASE          mark one phase
#   step.sh id                  print the deployment id
#
# Read from the environment, all optional:
#   DEPLOYMARK_SERVICE, DEPLOYMARK_ENVIRONMENT, DEPLOYMARK_ARTIFACT, DEPLOYMARK_VERSION
#   DEPLOYMARK_ARGS      more arguments for deploymark, one on each line
#   DEPLOYMARK_REQUIRE   1: a marker that cannot be made fails the step
#   DEPLOYMARK_KEY       path of a PEM key, or the PEM text itself
#   DEPLOYMARK_INSTALL   what pip installs where there is no deploymark, such as deploymark==1.2
# and DEPLOYMARK_URL, DEPLOYMARK_TOKEN and DEPLOYMARK_OIDC, which deploymark reads by itself.
#
# Promises: the exit code is the deploy command's own. Without DEPLOYMARK_REQUIRE nothing that goes
# wrong with deploymark, its absence included, stops or fails the deploy. The command runs at most
# once. No secret is printed or stands in an argument.

# In a subshell, so that a job that has this function keeps its own shell options and variables.
deploymark_step() (
    { set +eux; } 2>/dev/null # tracing would print keys

    say() { printf 'deploymark: %s\n' "$*" >&2; }

    case ${DEPLOYMARK_REQUIRE:-} in
    1 | true | yes | on) required=yes ;;
    *) required= ;;
    esac

    # Ends a step that has no marker: with this code where one is required, else with success.
    give_up() {
        [ -n "$required" ] && exit "$1"
        exit 0
    }

    obtain() {
        command -v deploymark >/dev/null 2>&1 && return 0
        [ -n "${DEPLOYMARK_INSTALL:-}" ] || return 1
        home=${XDG_CACHE_HOME:-${HOME:-$private}/.cache}/deploymark-step
        if [ ! -x "$home/bin/deploymark" ]; then
            python3 -m venv "$home" >/dev/null 2>&1 || return 1
            "$home/bin/python" -m pip --disable-pip-version-check --timeout 10 --retries 1 \
                install --quiet -- "$DEPLOYMARK_INSTALL" >/dev/null 2>&1 || return 1
        fi
        PATH=$home/bin:$PATH
        export PATH
        command -v deploymark >/dev/null 2>&1
    }

    # call VERB PHASE [TAIL...]: deploymark VERB PHASE FLAGS TAIL
    call() {
        verb=$1 phase=$2
        shift 2
        tail=$#
        set -- "$@" \
            ${DEPLOYMARK_SERVICE:+"--service=$DEPLOYMARK_SERVICE"} \
            ${DEPLOYMARK_ENVIRONMENT:+"--environment=$DEPLOYMARK_ENVIRONMENT"} \
            ${DEPLOYMARK_ARTIFACT:+"--artifact=$DEPLOYMARK_ARTIFACT"} \
            ${DEPLOYMARK_VERSION:+"--version=$DEPLOYMARK_VERSION"}
        [ -n "$required" ] && [ "$verb" != id ] && set -- "$@" --require
        while IFS= read -r line; do
            [ -n "$line" ] && set -- "$@" "$line"
        done <<END_OF_ARGUMENTS
${DEPLOYMARK_ARGS:-}
END_OF_ARGUMENTS
        # The tail was there first: move it behind the flags, word by word.
        while [ "$tail" -gt 0 ]; do
            set -- "$@" "$1"
            shift
            tail=$((tail - 1))
        done
        deploymark "$verb" ${phase:+"$phase"} "$@"
    }

    # Notes that the command began and how it ended, so that a failure of deploymark can be told
    # from one of the command. A TERM that reaches only this shell must not orphan the command.
    # shellcheck disable=SC2016 # the inner shell expands it
    noting='note=$1; shift; echo began >"$note"; trap : TERM; "$@"; code=$?
echo "$code" >"$note"; exit "$code"'

    run() {
        call run '' -- sh -c "$noting" deploymark-step "$private/note" "$@"
        status=$?
        noted=
        [ -r "$private/note" ] && read -r noted <"$private/note"
        case $noted in
        '')
            # Stopped by a signal: whoever stopped it does not want the command now.
            [ "$status" -gt 128 ] && exit "$status"
            [ -n "$required" ] && [ "$status" -ne 0 ] && exit "$status"
            [ -n "$required" ] && exit 70
            say "it ended with $status before the command; the command runs without markers"
            "$@"
            exit $?
            ;;
        began) exit "$status" ;;
        0) give_up "$status" ;;
        *) exit "$noted" ;;
        esac
    }

    step=${1:-}
    [ $# -gt 0 ] && shift
    [ "$step" = run ] && [ "${1:-}" = -- ] && shift
    case $step:$# in
    run:0 | mark:0)
        say "usage: step.sh run -- COMMAND..., step.sh mark PHASE or step.sh id"
        [ "$step" = run ] && exit 64
        give_up 64
        ;;
    run:* | mark:1 | id:0) ;;
    *)
        say "usage: step.sh run -- COMMAND..., step.sh mark PHASE or step.sh id"
        give_up 64
        ;;
    esac

    if ! private=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/deploymark.XXXXXX"); then
        say "there is no place for a temporary file; no marker is made"
        [ -n "$required" ] && exit 69
        [ "$step" = run ] || exit 0
        "$@"
        exit $?
    fi
    trap 'rm -rf "$private"' EXIT

    case ${DEPLOYMARK_KEY:-} in
    *-----BEGIN*)
        (umask 077 && printf '%s\n' "$DEPLOYMARK_KEY" >"$private/key.pem")
        DEPLOYMARK_KEY=$private/key.pem
        export DEPLOYMARK_KEY
        ;;
    esac

    if ! obtain; then
        say "the command deploymark is not installed; no marker is made"
        [ -n "$required" ] && exit 69
        [ "$step" = run ] || exit 0
        "$@"
        exit $?
    fi

    [ "$step" = run ] && run "$@"
    call "$step" "${1:-}"
    status=$?
    [ "$status" -eq 0 ] && exit 0
    say "$step ended with $status; the deploy goes on"
    give_up "$status"
)

deploymark_step "$@"
