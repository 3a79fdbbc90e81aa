#!/bin/sh
# Sends one deployment marker from places without Python.
# POSIX sh with awk, and curl or wget, and sha256sum, openssl or shasum.
#
#   deploymark.sh mark PHASE --service=S --environment=E OPTIONS   send it, print the deployment id
#   deploymark.sh show PHASE ...                                   print the marker, send nothing
#   deploymark.sh id PHASE ...                                     print both ids
#   deploymark.sh --help                                           print this
#
# PHASE is planned, applying, applied, running, cutover, promoted, failed, rolling_back,
# rolled_back or removed.
#
# Options (all as --name=value; an empty value counts as not given):
#   always: --service  --environment
#   and one of: --artifact (a digest sha256:…, or NAME@sha256:…)  --version  --commit
#   --kind  --action  --deployment-id  --cluster  --region  --zone  --node  --namespace
#   --workload  --instance  --instance-uid  --colour  --weight  --strategy  --track  --key
#   --revision  --value  --direction  --owner  --ticket  --author  --deployer  --reason
#   --repository  --ref  --build-id  --build-url  --correlation-id  --attempt  --emitter-kind
#   --emitter-id  --timestamp  --label (NAME=VALUE, may repeat)
#
# Environment: DEPLOYMARK_URL, DEPLOYMARK_TOKEN, DEPLOYMARK_TRIES (3), DEPLOYMARK_REQUIRE.
#
# It exits 0 whatever happens, so that it never fails a deploy; with DEPLOYMARK_REQUIRE=1 it exits
# 64 (wrong use), 1 (refused) or 69 (not delivered). It keeps no spool: a marker that cannot be
# delivered after the last try is lost, and the message says so. It signs nothing and numbers
# nothing. The ids are those of every other emitter (docs/formats/identity.md). With wget instead
# of curl the token is visible in the list of processes while it sends.
set -u
{ set +ex; } 2>/dev/null # tracing would print the token
LC_ALL=C
export LC_ALL

fail() { # fail CODE MESSAGE
    printf 'deploymark: %s\n' "$2" >&2
    case ${DEPLOYMARK_REQUIRE:-} in 1 | true | yes | on) exit "$1" ;; esac
    exit 0
}

help() { # what stands at the top of this file
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
}

json() { # a string as canonical JSON (RFC 8785); "" is null, because here it means: not given
    [ -n "$1" ] || { printf null && return; }
    text=$1 awk 'BEGIN {
        for (i = 1; i < 32; i++) escape[sprintf("%c", i)] = sprintf("\\u%04x", i)
        escape["\b"] = "\\b"; escape["\t"] = "\\t"; escape["\n"] = "\\n"
        escape["\f"] = "\\f"; escape["\r"] = "\\r"
        escape["\""] = "\\\""; escape["\\"] = "\\\\"
        text = ENVIRON["text"]
        for (i = 1; i <= length(text); i++) {
            character = substr(text, i, 1)
            out = out ((character in escape) ? escape[character] : character)
        }
        printf "\"%s\"", out
    }'
}

sha256() { # hexadecimal digest of what is read
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum
    elif command -v openssl >/dev/null 2>&1; then
        openssl dgst -sha256 -r
    else
        shasum -a 256
    fi
}

encode() { # encode PREFIX: the id over the canonical JSON that is read
    sha256 | awk -v prefix="$1" '{
        # 128 bits with two zeros before them are 26 digits of five bits.
        bits = "00"
        for (i = 1; i <= 32; i++) {
            nibble = index("0123456789abcdef", substr($1, i, 1)) - 1
            for (place = 8; place >= 1; place /= 2) {
                bits = bits (nibble >= place ? "1" : "0")
                if (nibble >= place) nibble -= place
            }
        }
        for (i = 0; i < 26; i++) {
            value = 0
            for (j = 1; j <= 5; j++) value = value * 2 + substr(bits, i * 5 + j, 1)
            out = out substr("0123456789abcdefghjkmnpqrstvwxyz", value + 1, 1)
        }
        print prefix out
    }'
}

number() { # a percentage as canonical JSON
    printf '%s' "$1" | awk '
        !/^[0-9]+(\.[0-9]+)?$/ || length($0) > 7 { exit 1 }
        { sub(/^0+/, ""); if (index($0, ".")) { sub(/0+$/, ""); sub(/\.$/, "") }
          if ($0 == "" || /^\./) $0 = "0" $0; printf "%s", $0 }'
}

# The deploy action, as `deploymark` itself derives it (docs/howto/mark-from-ci.md).
detect() {
    where='' run='' ci=''
    if [ "${GITHUB_ACTIONS:-}" = true ]; then
        ci=github where=${GITHUB_SERVER_URL:-}/${GITHUB_REPOSITORY:-} run=${GITHUB_RUN_ID:-}
    elif [ "${GITLAB_CI:-}" = true ]; then
        ci=gitlab where=${CI_PROJECT_URL:-} run=${CI_PIPELINE_ID:-}
    elif [ "${BUILDKITE:-}" = true ]; then
        ci=buildkite run=${BUILDKITE_BUILD_ID:-}
        where=https://buildkite.com/${BUILDKITE_ORGANIZATION_SLUG:-}/${BUILDKITE_PIPELINE_SLUG:-}
    elif [ "${CIRCLECI:-}" = true ]; then
        ci=circleci run=${CIRCLE_PIPELINE_ID:-}
        where=${CIRCLE_BUILD_URL#*://}
        where=${CIRCLE_BUILD_URL%%://*}://${where%%/*}
        where=$where/${CIRCLE_PROJECT_USERNAME:-${CIRCLE_PROJECT_ID:-}}
        where=$where${CIRCLE_PROJECT_REPONAME:+/$CIRCLE_PROJECT_REPONAME}
    elif [ "${TF_BUILD:-}" = True ]; then
        ci=azure run=${BUILD_BUILDID:-}
        where=${SYSTEM_COLLECTIONURI:-${SYSTEM_TEAMFOUNDATIONCOLLECTIONURI:-}}
        where=${where%/}/${SYSTEM_TEAMPROJECT:-}
    elif [ -n "${BITBUCKET_BUILD_NUMBER:-}" ]; then
        ci=bitbucket run=$BITBUCKET_BUILD_NUMBER
        where=https://bitbucket.org/${BITBUCKET_REPO_FULL_NAME:-}
    elif [ -n "${JENKINS_URL:-}" ]; then
        ci=jenkins where=${JENKINS_URL%/}/${JOB_NAME:-} run=${BUILD_NUMBER:-}
    fi
    where=$(printf '%s' "$where" | sed 's/ /%20/g')
    case $where in
    *[!0-9A-Za-z/%:~+,=._-]* | */ | *//*//* | '') return ;;
    http://?* | https://?*) ;;
    *) return ;;
    esac
    case $run in '' | *[!0-9A-Za-z._-]*) return ;; esac
    found=$ci:$where:$run
    [ ${#found} -le 256 ] && printf '%s' "$found"
}

emitter_in_ci() {
    [ "${GITHUB_ACTIONS:-}${GITLAB_CI:-}${BUILDKITE:-}${CIRCLECI:-}${TF_BUILD:-}" != '' ] ||
        [ -n "${BITBUCKET_BUILD_NUMBER:-}${JENKINS_URL:-}" ]
}

# What is said ---------------------------------------------------------------------------------

for option; do
    case $option in -h | --help) help ;; esac
done
verb=${1:-} phase=${2:-}
case $verb in
encode) encode "${2:-}" && exit ;; # for tests: canonical JSON in, id out
mark | show | id) ;;
*) fail 64 "usage: deploymark.sh mark PHASE --service=S --environment=E ...; see --help" ;;
esac
case $phase in
planned | applying | applied | running | cutover | promoted | failed) ;;
rolling_back | rolled_back | removed) ;;
*) fail 64 "the phase is '$phase'; it is planned, applying, applied, failed or another of the format" ;;
esac
shift 2

service='' environment='' artifact='' version='' commit='' kind='' action='' deployment='' cluster=''
region='' zone='' node='' namespace='' workload='' instance='' instance_uid='' colour='' weight=''
strategy='' track='' key='' revision='' value='' direction='' owner='' ticket='' author=''
deployer='' reason='' repository='' ref='' build_id='' build_url='' correlation_id='' attempt='' emitter_kind=''
emitter_id='' timestamp='' labels=''
for option; do
    given=${option#*=}
    case $option in
    --service=*) service=$given ;;
    --environment=*) environment=$given ;;
    --artifact=*) artifact=$given ;;
    --version=*) version=$given ;;
    --commit=*) commit=$given ;;
    --kind=*) kind=$given ;;
    --action=*) action=$given ;;
    --deployment-id=*) deployment=$given ;;
    --cluster=*) cluster=$given ;;
    --region=*) region=$given ;;
    --zone=*) zone=$given ;;
    --node=*) node=$given ;;
    --namespace=*) namespace=$given ;;
    --workload=*) workload=$given ;;
    --instance=*) instance=$given ;;
    --instance-uid=*) instance_uid=$given ;;
    --colour=*) colour=$given ;;
    --weight=*) weight=$given ;;
    --strategy=*) strategy=$given ;;
    --track=*) track=$given ;;
    --key=*) key=$given ;;
    --revision=*) revision=$given ;;
    --value=*) value=$given ;;
    --direction=*) direction=$given ;;
    --owner=*) owner=$given ;;
    --ticket=*) ticket=$given ;;
    --author=*) author=$given ;;
    --deployer=*) deployer=$given ;;
    --reason=*) reason=$given ;;
    --repository=*) repository=$given ;;
    --ref=*) ref=$given ;;
    --build-id=*) build_id=$given ;;
    --build-url=*) build_url=$given ;;
    --correlation-id=*) correlation_id=$given ;;
    --attempt=*) attempt=$given ;;
    --emitter-kind=*) emitter_kind=$given ;;
    --emitter-id=*) emitter_id=$given ;;
    --timestamp=*) timestamp=$given ;;
    --label=*=) ;;
    --label=?*=*) labels="$labels${labels:+,}$(json "${given%%=*}"):$(json "${given#*=}")" ;;
    --label=*) fail 64 "'$option' has no value; a label is written --label=NAME=VALUE" ;;
    --?*=*) fail 64 "'${option%%=*}' is not a known option; --help lists them" ;;
    *) fail 64 "'$option' is not an option; options are written --name=value, --help lists them" ;;
    esac
done

[ -n "$service" ] || fail 64 "--service is missing"
[ -n "$environment" ] || fail 64 "--environment is missing"
[ -n "$action" ] || action=$(detect)
[ -n "$emitter_kind" ] || { emitter_in_ci && emitter_kind=ci; }
digest=${artifact##*@} name=''
case $artifact in *@*) name=${artifact%@*} ;; esac
if [ -n "$weight" ]; then
    weight=$(number "$weight") || fail 64 "--weight is '$weight'; it is a number from 0 to 100"
fi
case $attempt in *[!0-9]* | 0*) fail 64 "--attempt is '$attempt'; it is a number from 1" ;; esac

# Identity, as in deploymark.model.ids -----------------------------------------------------------

if [ "${kind:-deployment}" = deployment ]; then
    subject=$digest
    [ -n "$subject" ] || subject=${commit:+commit:$commit}
    [ -n "$subject" ] || subject=${version:+version:$version}
else
    content=$revision
    [ -n "$content" ] || content=$value
    [ -n "$content" ] || content=$digest
    subject=${key:+${content:+$kind:$key=$content}}
fi
if [ -n "$deployment" ]; then
    id=$(printf '%s' "$deployment" | tr '[:upper:]' '[:lower:]')
    case $deployment in
    *[!0-9A-Za-z._-]* | [!0-9A-Za-z]* | *[!0-9A-Za-z]) id='' ;;
    esac
    [ -n "$id" ] && [ ${#id} -le 63 ] || fail 64 "--deployment-id is '$deployment'; it has at most \
63 letters, digits, '-', '_' and '.'"
else
    [ -n "$subject" ] || fail 64 "one of --artifact, --commit and --version is needed (for other \
kinds than deployment --key and --revision)"
    identity="[\"deployment/1\",$(json "$service"),$(json "$environment"),$(json "$subject")"
    id=$(printf '%s,%s]' "$identity" "$([ -n "$action" ] && json "$action" || printf '""')" |
        encode d-)
fi

place=$(json "$cluster"),$(json "$region"),$(json "$namespace"),$(json "$workload")
case $phase${instance_uid:+ of one} in
running* | 'removed of one') told_apart=$(json "$instance_uid") ;;
cutover*) told_apart=$place,$(json "$colour") ;;
*) told_apart=$place,$(json "$colour"),${weight:-null} ;;
esac
if [ "${kind:-deployment}" != deployment ]; then
    told_apart=$told_apart,$(json "$key"),$(json "$revision"),$(json "$direction")
fi
identity="[\"marker/1\",$(json "$id"),$(json "${kind:-deployment}"),$(json "$phase")"
marker=$(printf '%s,%s,[%s]]' "$identity" "$(json "$emitter_kind")" "$told_apart" | encode m-)
# An id is never made up: without a tool for SHA-256 there is none.
[ ${#marker} -eq 28 ] || fail 69 "there is no sha256sum, openssl or shasum; no marker was sent"

# The marker -------------------------------------------------------------------------------------

object=''
add() { # add NAME VALUE
    [ -n "$2" ] && object="$object${object:+,}\"$1\":$(json "$2")"
    return 0
}
part() { # part NAME: what was added since becomes an object of that name
    [ -n "$object" ] && outer="$outer${outer:+,}\"$1\":{$object}"
    object=''
}
outer=''
add name "$name"; add digest "$digest"
part artifact
add cluster "$cluster"; add region "$region"; add zone "$zone"; add node "$node"
add namespace "$namespace"
add workload "$workload"; add instance "$instance"; add instance_uid "$instance_uid"
add colour "$colour"
part target
add strategy "$strategy"; add track "$track"
[ -n "$weight" ] && object="$object${object:+,}\"weight\":$weight"
part rollout
add kind "$emitter_kind"; add id "$emitter_id"
part emitter
[ -n "$labels" ] && outer="$outer${outer:+,}\"labels\":{$labels}"
[ -n "$ticket" ] && outer="$outer${outer:+,}\"change_tickets\":[$(json "$ticket")]"
[ -n "$attempt" ] && outer="$outer${outer:+,}\"attempt\":$attempt"
add kind "$kind"; add phase "$phase"; add service "$service"; add environment "$environment"
add deployment_id "$deployment"; add marker_id "$marker"; add action "$action"
add version "$version"; add commit_hash "$commit"; add repository "$repository"; add ref "$ref"
add build_id "$build_id"; add build_url "$build_url"
add correlation_id "$correlation_id"; add owner "$owner"; add author "$author"
add deployer "$deployer"; add reason "$reason"; add key "$key"; add revision "$revision"
add value "$value"; add direction "$direction"
# One time for all tries, so that the second one is recognised as the first.
add timestamp "${timestamp:-$(date -u +%Y-%m-%dT%H:%M:%SZ)}"
body="{$object${outer:+,$outer}}"

case $verb in
id) printf '%s %s\n' "$id" "$marker" && exit 0 ;;
show) printf '%s\n' "$body" && exit 0 ;;
esac

# Sending ----------------------------------------------------------------------------------------

post() { # prints the answer and, as the last line, its status, 000 without one
    if command -v curl >/dev/null 2>&1; then
        # The token goes through standard input, not through the list of processes.
        printf 'header = "Authorization: Bearer %s"\n' "$token" |
            curl --silent --write-out '\n%{http_code}' --max-time 5 --config - \
                --header 'Content-Type: application/json' --data-binary "$body" "$url"
    else
        # Only some can show the body of a refusal.
        more=''
        case $(wget --help 2>&1) in *--content-on-error*) more=--content-on-error ;; esac
        # shellcheck disable=SC2086 # no word at all where there is none
        wget -S -O - -T 5 -t 1 $more --header 'Content-Type: application/json' \
            --header "Authorization: Bearer $token" --post-data "$body" "$url" 2>&1 |
            awk '/^ *HTTP\// { status = $2 } { print } END { print status ? status : "000" }'
    fi
}

said() { # said NAME: a text of the answer, which is JSON
    printf '%s' "$answer" | tr -d '\001-\011\013-\037\177' | name=$1 awk '{
        if (done || !match($0, "\"" ENVIRON["name"] "\": *\"([^\"\\\\]|\\\\.)*\"")) next
        text = substr($0, RSTART, RLENGTH - 1)
        sub(/^"[a-z]*": *"/, "", text)
        gsub(/\\"/, "\"", text); gsub(/\\\\/, "\\", text)
        printf " %s", text
        done = 1
    }'
}

why() { # what became of the last try, in words
    case $status in
    000) ;;
    *)
        explained=$(said detail)$(said hint)
        printf 'HTTP %s%s' "$status" "${explained:+:$explained}"
        return
        ;;
    esac
    case $ended in
    6) printf 'the name of the server in %s is not known' "$url" ;;
    7) printf 'nothing answers at %s' "$url" ;;
    28) printf '%s did not answer in time' "$url" ;;
    35 | 51 | 58 | 60 | 77) printf 'no safe connection to %s: check its certificate' "$url" ;;
    *) printf 'no answer from %s' "$url" ;;
    esac
}

url=${DEPLOYMARK_URL:-http://127.0.0.1:8420}
url=${url%/}/v1/markers
token=$(printf '%s' "${DEPLOYMARK_TOKEN:-}" | tr -dc '0-9A-Za-z._~+/=-')
tries=${DEPLOYMARK_TRIES:-3}
case $tries in [1-9]) ;; *) tries=3 ;; esac
command -v curl >/dev/null 2>&1 || command -v wget >/dev/null 2>&1 ||
    fail 69 "there is neither curl nor wget; the marker was not sent"
try=1
while :; do
    answer=$(post)
    ended=$?
    status=$(printf '%s' "$answer" | awk 'END { print }')
    case $status in
    200 | 201) printf '%s\n' "$id" && exit 0 ;;
    408 | 429 | 5?? | 000) ;;
    *) fail 1 "the server refused the marker ($(why)); \`show\` prints what was sent" ;;
    esac
    [ "$try" -lt "$tries" ] || break
    sleep "$try"
    try=$((try + 1))
done
fail 69 "the marker was not delivered after $tries tries ($(why)) and is lost"
