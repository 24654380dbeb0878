# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# The Dapr sidecar and scheduler, built from the pinned Go module, or those
# that are on the PATH.

have_daprd() { command -v daprd >/dev/null && command -v scheduler >/dev/null; }

dapr_programs() { # the directory they are in; built if it is not there
    local src="$ROOT/t/stack/runtime" dir
    if have_daprd; then
        dirname "$(command -v daprd)"
        return
    fi
    dir="$CACHE/dapr-$(cd "$src" && find . -type f | sort | xargs sha256sum |
        sha256sum | cut -c 1-16)"
    mkdir -p "$CACHE"
    # suites beside each other want it: built once, it takes the whole machine
    (
        flock 5
        [[ -x $dir/daprd && -x $dir/scheduler ]] || build_dapr "$src" "$dir" 5>&-
    ) 5>"$CACHE/.dapr-lock" || return
    printf '%s\n' "$dir"
}

# In a copy: `go build -mod=mod`, which the module needs, writes to go.sum.
build_dapr() { # SOURCE DIR
    local tmp="$2.new.$$" log="$RUN/log/dapr-build.log"
    say "building the Dapr sidecar and scheduler (once for this machine: some minutes)"
    mkdir -p "$tmp"
    cp -R "$1" "$tmp/src"
    # `auto`: an older Go fetches the toolchain that the module asks for.
    if ! (cd "$tmp/src" && GOTOOLCHAIN=auto GOFLAGS=-mod=mod GOCACHE="$CACHE/go-build" \
        nice go build -trimpath -ldflags '-s -w' -o "$tmp/" ./cmd/...) >"$log" 2>&1; then
        rm -rf "$tmp"
        tail -n 15 "$log" >&2
        die "could not build Dapr"
    fi
    rm -rf "$tmp/src"
    mv -T "$tmp" "$2" 2>/dev/null || rm -rf "$tmp" # another was first
}

go_is_enough() {
    local version
    version=$(go env GOVERSION 2>/dev/null) || return 1
    version=${version#go}
    printf '1.21\n%s\n' "$version" | sort -VC
}

# ---- scheduler: keeps the jobs that fire reminders --------------------------

scheduler_configure() {
    local AS dir hub
    dir=$(dapr_programs)
    hub=$(address hub)
    [[ -d $RUN/scheduler ]] || mkdir -m 700 "$RUN/scheduler"
    give "$RUN/scheduler"
    as_service "$dir"
    CMD=("${AS[@]}" "$dir/scheduler" --id=dapr-scheduler-server-0
        "--listen-address=$hub" "--port=$(port scheduler)"
        "--override-broadcast-host-port=$hub:$(port scheduler)"
        --healthz-listen-address=127.0.0.1 "--healthz-port=$(port scheduler-health)"
        --metrics-listen-address=127.0.0.1 "--metrics-port=$(port scheduler-metrics)"
        "--etcd-data-dir=$RUN/scheduler" "--etcd-client-port=$(port scheduler-etcd)"
        "--etcd-initial-cluster=dapr-scheduler-server-0=http://127.0.0.1:$(port scheduler-peer)")
    CONF=()
}

scheduler_ready() {
    curl -fsS -o /dev/null --max-time 2 \
        "http://127.0.0.1:$(port scheduler-health)/healthz" 2>/dev/null
}

# ---- daprd: the sidecar ------------------------------------------------------
# TASKEVENTS_SCHEDULER= ./dev ctl daprd restart: one without a scheduler.
# TASKEVENTS_DECLARATIVE=1 ./dev ctl daprd restart: one that has its
# subscriptions from k8s/declarative and does not ask httpd.
# TASKEVENTS_AS_POD=1: one that ends as k8s/base/deployment.yaml wants it.

daprd_configure() { daprd_configure_as ''; }

daprd_configure_as() { # '' or 2, of the node
    local AS IN dir more=()
    dir=$(dapr_programs)
    mkdir -p "$RUN/components"
    rm -f "$RUN/components/subscriptions.yaml"
    if [[ -n ${TASKEVENTS_DECLARATIVE:-} ]]; then
        cp "$ROOT/k8s/declarative/subscriptions.yaml" "$RUN/components/"
        more+=(--disable-init-endpoints=subscribe)
    fi
    [[ -z ${TASKEVENTS_AS_POD:-} ]] ||
        more+=(--dapr-block-shutdown-duration=30s --dapr-graceful-shutdown-seconds=10)
    cp "$ROOT"/k8s/components/{kafka-pubsub,resiliency}.yaml "$RUN/components/"
    cp "$ROOT"/k8s/components/configuration.yaml "$RUN/conf/"
    as_service "$dir"
    in_node "$1"
    # The app health check makes the sidecar leave the consumer group while
    # httpd is away; without it, what comes meanwhile is tried four times in
    # some seconds and then dead-lettered. /healthz touches no database, so a
    # database that is away does not stop the deliveries.
    PART_ENV+=("TASKEVENTS_BROKERS=$(brokers)"
        "APP_API_TOKEN=$(secret app-token)" "DAPR_API_TOKEN=$(secret dapr-token)")
    CMD=("${IN[@]}" "${AS[@]}" "$dir/daprd" --app-id=taskevents
        --app-channel-address=127.0.0.1 "--app-port=$(port "sidecar$1")"
        --enable-app-health-check --app-health-check-path=/healthz
        --app-health-probe-interval=1 --app-health-probe-timeout=500
        --app-health-threshold=3
        --dapr-listen-addresses=127.0.0.1 "--dapr-http-port=$(port "dapr$1-http")"
        "--dapr-grpc-port=$(port "dapr$1-grpc")"
        --dapr-internal-grpc-listen-address=127.0.0.1
        "--dapr-internal-grpc-port=$(port "dapr$1-internal")"
        --metrics-listen-address=127.0.0.1 "--metrics-port=$(port "dapr$1-metrics")"
        "--scheduler-host-address=${TASKEVENTS_SCHEDULER-$(address hub):$(port scheduler)}"
        "--config=$RUN/conf/configuration.yaml" "--resources-path=$RUN/components"
        "${more[@]}")
    CONF=("$RUN"/components/*.yaml "$RUN/conf/configuration.yaml")
}

# Its own health waits for httpd's; without one, to take events is enough.
daprd_ready() { daprd_ready_as ''; }

daprd_ready_as() { # '' or 2, of the node
    local IN what=healthz
    in_node "$1"
    part_running "httpd$1" || what=healthz/outbound
    "${IN[@]}" curl -fsS -o /dev/null --max-time 2 \
        "http://127.0.0.1:$(port "dapr$1-http")/v1.0/$what" 2>/dev/null
}
