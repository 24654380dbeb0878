# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the stack's parts
# ./dev bench deliver: how many events a second are handled when they are
# delivered one by one and in batches, over one connection as a sidecar has it
# for one partition and over 16; and, on the real stack, how long a completed
# task takes to have its next occurrence, through Kafka.
#
# The first part is the httpd and the PostgreSQL of ./dev bench api: no sidecar,
# wrk sends what it would.

# shellcheck source=SCRIPTDIR/api.sh
source "$ROOT/t/bench/api.sh"

DELIVER_USERS=2000              # whose events are delivered
DELIVER_BATCH=100               # of a bulk delivery
DELIVER_SERIES=60000            # completed tasks, for one turn
CHAIN_RATE=50 CHAIN_USERS=100

bench_deliver_usage() {
    die "bench deliver takes: [--quick] [--write] [--rounds N] [--seconds N] [--no-chain]"
}

bench_deliver() {
    local rounds=3 seconds=5 clients=(1 16) write='' chain=20 against=''
    while (($#)); do
        case $1 in
        --quick) rounds=1 seconds=2 chain=4 ;;
        --write) write=1 ;;
        --no-chain) chain=0 ;;
        --rounds | --seconds)
            [[ ${2:-} =~ ^[1-9][0-9]?$ ]] || bench_deliver_usage
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        *) bench_deliver_usage ;;
        esac
        shift
    done
    [[ -z $write || $chain != 0 ]] || die "--write writes the whole table"
    ((chain == 0)) || need_for_dapr
    deliver_start
    deliver_run
    bench_stop
    trap - EXIT
    ((chain == 0)) || deliver_chain
    "$BENCH/report-deliver" "$RUN/results" "$([[ -z $write ]] || printf %s "$ROOT/docs/performance.md")"
}

deliver_start() {
    install_packages "${PACKAGES_UP[@]}" wrk
    RUN="$WORK/bench"
    lock_instance
    trap bench_stop EXIT
    bench_stop
    find "$RUN" -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} +
    prepare_instance
    build_module
    install_module
    ports postgres dead dapr-open dapr-bearer
    bench_dapr_configure() { bench_httpd_configure dapr; }
    bench_dapr_ready() { httpd_answers "$(port dapr-open)"; }
    secret app-token >/dev/null
    POSTGRES_EXTRA='max_connections = 400' part_up postgres
    db_create bench_dapr
    db_migrate bench_dapr
    part_up bench_dapr
}

# One measurement, a line of the results: round, clients, what, events, rate,
# bad, p50 ms and p99 ms of a request, and the processor's µs for an event, of
# httpd and of PostgreSQL.
deliver_measure() { # ROUND WHAT CLIENTS
    local log="$RUN/log/wrk.log" n=1 httpd_before httpd_after pg_before pg_after sent wrong handled line
    [[ $2 != bulk ]] || n=$DELIVER_BATCH
    bench_empty dapr
    [[ $2 != complete ]] || bench_sql dapr -v "users=$DELIVER_USERS" -v "tasks=$DELIVER_SERIES" \
        -f "$BENCH/series.sql" >/dev/null
    db_admin -d postgres -c CHECKPOINT
    httpd_before=$(bench_ticks bench_dapr) pg_before=$(bench_ticks postgres)
    BENCH_MODE=$2 BENCH_USERS=$DELIVER_USERS BENCH_BATCH=$DELIVER_BATCH \
        BENCH_TOKEN=$(secret app-token) BENCH_SEED=$(printf %06x $((RANDOM * 256 + RANDOM % 256))) \
        wrk -t 1 -c "$3" -d "${seconds}s" --timeout 5s -s "$BENCH/deliver.lua" \
        "http://127.0.0.1:$(port dapr-open)" >"$log" 2>&1 || {
        tail "$log" >&2
        die "wrk failed"
    }
    httpd_after=$(bench_ticks bench_dapr) pg_after=$(bench_ticks postgres)
    line=$(awk -v n="$n" '/^RESULT/ { print $2 * n, $2 * n / $3, $4 + $5, $6, $7 }' "$log")
    read -r sent _ wrong _ <<<"$line"
    handled=$(bench_sql dapr -c 'SELECT count(*) FROM taskevents.processed_events')
    ((handled >= sent - wrong * n)) || die "$2: $sent events were answered, but $handled are handled"
    [[ $(bench_sql dapr -c 'SELECT coalesce(sum(n), 0) FROM taskevents.event_counts') == "$handled" ]] ||
        die "$2: the counts are not those of what was handled"
    [[ $2 != complete ]] || (($(bench_sql dapr -c 'SELECT count(*) FROM taskevents.tasks WHERE occurrence = 2') == handled)) ||
        die "$2: not each completion has its next occurrence"
    printf '%s %s %s %s %s %s\n' "$1" "$3" "$2" "$line" \
        $(((httpd_after - httpd_before) * 10000 / handled)) \
        $(((pg_after - pg_before) * 10000 / handled)) | tee -a "$RUN/results" >&2
}

deliver_run() {
    local round c what
    printf '%s\n' "seconds $seconds" "rounds $rounds" "batch $DELIVER_BATCH" >"$RUN/results"
    for what in events bulk complete; do # statements are prepared before the first turn
        seconds=1 deliver_measure 0 "$what" 16 2>/dev/null
    done
    sed -i '/^0 /d' "$RUN/results"
    for ((round = 1; round <= rounds; ++round)); do
        for c in "${clients[@]}"; do
            for what in events bulk complete; do
                deliver_measure "$round" "$what" "$c"
            done
        done
    done
}

# ---- through Kafka ---------------------------------------------------------------

deliver_chain() {
    local user tokens="$RUN/tokens" results="$RUN/results"
    (
        RUN="$WORK/bench-chain"
        export TASKEVENTS_RUN=$RUN
        trap '"$ROOT/dev" down >/dev/null' EXIT
        "$ROOT/dev" up --dapr >/dev/null
        eval "$("$ROOT/dev" env)"
        for ((user = 1; user <= CHAIN_USERS; ++user)); do
            printf '%s %s\n' "$user" "$(make_token "$user" 3600)"
        done >"$tokens"
        python3 "$BENCH/chain.py" "$TASKEVENTS_URL" "$tokens" "$CHAIN_RATE" "$chain" >>"$results"
    ) || die "the measurement through Kafka failed"
}
