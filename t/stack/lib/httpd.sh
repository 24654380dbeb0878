# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# Apache httpd with the module, on two listeners: one for users, and one for the
# sidecar, which is always on loopback.

HTTPD_ISSUER=taskevents-dev
HTTPD_AUDIENCE=taskevents

httpd_url() { printf 'http://%s:%s\n' "$(address node)" "$(port httpd)"; }
sidecar_url() { printf 'http://127.0.0.1:%s\n' "$(port sidecar)"; }

transport() { cat "$RUN/transport" 2>/dev/null || echo local; }

httpd_program() { printf '%s/%s\n' "$(apxs -q SBINDIR)" "$(apxs -q PROGNAME)"; }

httpd_configure() { httpd_configure_as httpd ''; }

# httpd_configure_as NAME N: N is '' or 2, of the node.
httpd_configure_as() {
    local AS IN LIBEXECDIR HTTPD_ADDRESS HTTPD_PORT SIDECAR_PORT DSN TRANSPORT DAPR_URL words=()
    local NAME=$1 RUNTIME="$RUN/httpd/run$2" conf="$RUN/httpd/$1.conf"
    LIBEXECDIR=$(apxs -q LIBEXECDIR)
    HTTPD_ADDRESS=$(address "node$2")
    HTTPD_PORT=$(port "httpd$2")
    SIDECAR_PORT=$(port "sidecar$2")
    DSN=$(db_dsn)
    TRANSPORT=$(transport)
    DAPR_URL="http://127.0.0.1:$(port "dapr$2-http")"

    remove_stale "$RUNTIME/httpd.pid"
    mkdir -p "$RUNTIME"
    give "$RUNTIME"
    secret app-token >/dev/null
    secret dapr-token >/dev/null
    (
        umask 077
        printf 'OIDCOAuthVerifySharedKeys "plain##%s"\n' "$(secret jwt)" \
            >"$RUN/secrets/oidc.conf"
    )
    give "$RUN/secrets/oidc.conf"
    render "$ROOT/t/stack/httpd.conf.in" >"$conf"

    # more of the environment (a clock of its own), a word a line
    if [[ -s $RUN/httpd/environment ]]; then
        mapfile -t words <"$RUN/httpd/environment"
    fi
    as_service
    in_node "$2"
    CMD=("${IN[@]}" "${AS[@]}" env "${words[@]}" "$(httpd_program)" -d "$RUN/httpd" -f "$conf" -D FOREGROUND)
    CONF=("$conf" "$RUN/secrets/oidc.conf" "$RUN/httpd/modules/mod_taskevents.so")
}

httpd_answers() { # PORT [ADDRESS]
    curl -fsS -o /dev/null --max-time 2 "http://${2:-127.0.0.1}:$1/healthz" 2>/dev/null
}

httpd_ready() { httpd_ready_as ''; }

httpd_ready_as() { # '' or 2, of the node
    local IN
    in_node "$1"
    httpd_answers "$(port "httpd$1")" "$(address "node$1")" &&
        "${IN[@]}" curl -fsS -o /dev/null --max-time 2 "http://127.0.0.1:$(port "sidecar$1")/healthz" 2>/dev/null
}

# Graceful: requests in progress are finished by the old children.
httpd_reload() {
    local pid CMD=() CONF=() PART_ENV=(TASKEVENTS_PART=httpd) before
    httpd_configure
    "${CMD[@]}" -t >"$RUN/log/httpd-t.log" 2>&1 || {
        cat "$RUN/log/httpd-t.log" >&2
        die "httpd keeps its old configuration: the new one is wrong"
    }
    pid=$(part_pid httpd)
    before=" $(pgrep -P "$pid" | tr '\n' ' ')"
    kill -USR1 "$pid"
    wait_for 60 httpd_reloaded "$pid" "$before" || die "httpd did not restart"
    record_process httpd "$pid" "$(fingerprint)"
}

# A child that was not there before is one of the new configuration.
httpd_reloaded() { # PID CHILDREN-BEFORE
    local child
    for child in $(pgrep -P "$1"); do
        [[ $2 == *" $child "* ]] || { httpd_ready && return 0; }
    done
    return 1
}

# ---- tokens ----------------------------------------------------------------

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

# make_token USER SECONDS: a JWT as an identity provider would sign it.
make_token() {
    local now text
    now=$(date +%s)
    text=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url).$(
        printf '{"iss":"%s","aud":"%s","sub":"%s","iat":%d,"exp":%d}' \
            "$HTTPD_ISSUER" "$HTTPD_AUDIENCE" "$1" "$now" $((now + $2)) | base64url
    )
    printf '%s.%s\n' "$text" "$(printf '%s' "$text" |
        openssl dgst -sha256 -hmac "$(secret jwt)" -binary | base64url)"
}
