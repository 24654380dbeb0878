# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the stack's parts
# ./dev bench api: what a request costs, as a ratio to the least it could cost,
# both measured in one run and in turns.
#
# An instance of its own below .run/: one PostgreSQL with its durable settings,
# and two httpds, one for each transport. The dapr one has no sidecar: what it
# writes stays in the outbox, while its publisher tries. The local one handles
# each event beside the requests.

BENCH="$ROOT/t/bench"
BENCH_BODY='{"title":"Water the plants","description":"The ones on the balcony first","tags":["home","garden"],"due_date":"2031-05-04T09:00:00Z"}'
BENCH_WRITERS=10000             # users that write
BENCH_READERS=100 BENCH_EACH=40 # users that read, tasks of each
BENCH_CHILDREN=2 BENCH_HTTPD=() # of httpd; what else it is told

# NAME            ours        baseline       at least
BENCH_PAIRS=(
    'post_dapr    pgbench       0.70'
    'post_local   pgbench       -'
    'get          static        0.40'
    'list         static        0.25'
    'get_bearer   static_bearer -'
)

bench_usage() {
    die "bench api takes: [--quick] [--write] [--rounds N] [--seconds N] [--clients 'N…']
     [--against mod_taskevents.so]  instead: this build against another
     [--only post_dapr|post_local|get|list|get_bearer]"
}

bench_api() {
    local rounds=5 seconds=3 clients=(16 64) write='' only='' against=''
    while (($#)); do
        case $1 in
        --quick) rounds=1 seconds=1 clients=(16) ;;
        --write) write=1 ;;
        --clients)
            read -ra clients <<<"${2:-}"
            shift
            ;;
        --rounds | --seconds | --against | --only)
            [[ -n ${2:-} ]] || bench_usage
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        *) bench_usage ;;
        esac
        shift
    done
    [[ -z $against || -f $against ]] || die "no such module: $against"
    [[ -z $write || -z $against$only ]] || die "--write writes the whole table"
    [[ -z $against ]] || bench_pairs_against
    bench_start
    bench_run
    "$BENCH/report" "$RUN/results" "$([[ -z $write ]] || printf %s "$ROOT/docs/performance.md")"
}

# The same requests to another build are the baseline.
bench_pairs_against() {
    local pair name
    for pair in "${!BENCH_PAIRS[@]}"; do
        read -r name _ <<<"${BENCH_PAIRS[pair]}"
        BENCH_PAIRS[pair]="$name other_$name -"
    done
}

# ---- the instance --------------------------------------------------------------

bench_start() {
    install_packages "${PACKAGES_UP[@]}" wrk
    RUN="$WORK/bench"
    lock_instance
    trap bench_stop EXIT
    bench_stop
    find "$RUN" -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} +
    prepare_instance
    build_module
    install_module
    [[ -z $against ]] || cp "$against" "$RUN/httpd/modules/other.so"
    "${CC:-cc}" -I "$ROOT/mod_taskevents" -o "$RUN/statement" \
        "$BENCH/statement.c" "$ROOT"/mod_taskevents/store/statements{,_reminders}.c
    ports postgres dead
    for name in dapr local ${against:+other_dapr other_local}; do
        ports "$name-open" "$name-bearer"
        eval "bench_${name}_configure() { bench_httpd_configure $name; }
              bench_${name}_ready() { httpd_answers \"\$(port $name-open)\"; }"
    done
    # All of what makes a commit durable stays as PostgreSQL has it.
    POSTGRES_EXTRA='max_connections = 400' part_up postgres
    for name in pgbench dapr local ${against:+other_dapr other_local}; do
        db_create "bench_$name"
        db_migrate "bench_$name"
        [[ $name == pgbench ]] || part_up "bench_$name"
    done
    bench_prepare_pgbench
}

bench_stop() {
    local name
    [[ -d $RUN/pid ]] || return 0
    for name in other_dapr other_local dapr local; do
        part_stop "bench_$name"
    done
    part_stop postgres
}

bench_httpd_configure() { # NAME
    local AS LIBEXECDIR DSN NAME=$1 TRANSPORT=${1#other_} MODULE HOME_DIR="$RUN/httpd/$1"
    local CHILDREN=$BENCH_CHILDREN WORKERS=$((96 * BENCH_CHILDREN))
    local OPEN_PORT BEARER_PORT DAPR_URL ISSUER=$HTTPD_ISSUER AUDIENCE=$HTTPD_AUDIENCE
    OPEN_PORT=$(port "$1-open") BEARER_PORT=$(port "$1-bearer")
    DAPR_URL=${BENCH_DAPR_URL:-http://127.0.0.1:$(port dead)}
    LIBEXECDIR=$(apxs -q LIBEXECDIR)
    DSN=$(db_dsn "bench_$1")
    MODULE="$RUN/httpd/modules/mod_taskevents.so"
    [[ $1 != other_* ]] || MODULE="$RUN/httpd/modules/other.so"
    mkdir -p "$HOME_DIR"/{run,static}
    give "$HOME_DIR/run"
    secret app-token >/dev/null
    printf '{"text":"%287s"}\n' . >"$HOME_DIR/static/task.json"
    (
        umask 077
        printf 'OIDCOAuthVerifySharedKeys "plain##%s"\n' "$(secret jwt)" >"$RUN/secrets/oidc.conf"
    )
    give "$RUN/secrets/oidc.conf"
    render "$BENCH/httpd.conf.in" >"$HOME_DIR/httpd.conf"
    as_service
    CMD=("${AS[@]}" "$(httpd_program)" -d "$HOME_DIR" -f "$HOME_DIR/httpd.conf" -D FOREGROUND "${BENCH_HTTPD[@]}")
    CONF=("$HOME_DIR/httpd.conf")
}

bench_sql() { # DATABASE ARGUMENT...
    local name=$1
    shift
    PGPASSFILE="$RUN/pgpass" psql -XqAt -v ON_ERROR_STOP=1 "$(db_dsn "bench_$name")" "$@"
}

# ---- pgbench: the same statement with the same values --------------------------

# The values are those that one real request left in the database. What is NULL
# there is written as NULL, which only makes pgbench's work less.
bench_prepare_pgbench() {
    local sql n value names=(id user title description priority tags due_date
        time_zone recurring_interval series_id now event_id topic head tail completed)
    curl -fsS -o /dev/null -H 'Content-Type: application/json' -d "$BENCH_BODY" \
        "http://127.0.0.1:$(port dapr-open)/api/1/tasks"
    PGBENCH_VALUES=(-D n=100 -D base=0)
    sql=$("$RUN/statement")
    for n in {16..3}; do
        value=$(bench_sql dapr -c "SELECT x.${names[n - 1]} FROM (
            SELECT t.*, t.created_at AS now, o.event_id, o.topic,
                   split_part(o.event, m, 1) || '\"sequence\":\"' AS head,
                   substr(split_part(o.event, m, 2), 21) AS tail
              FROM taskevents.tasks t JOIN taskevents.outbox o USING (user_id),
                   (VALUES ('\"sequence\":\"')) AS mark(m)) x")
        if [[ -z $value ]]; then
            sql=${sql//"\$$n:"/NULL:} sql=${sql//"\$$n "/NULL }
        else
            sql=${sql//"\$$n"/":p$n"}
            PGBENCH_VALUES+=(-D "p$n=$value")
        fi
    done
    sql=${sql//"\$2:"/:user:} sql=${sql//"\$1:"/:id:}
    [[ $sql != *"\$"* ]] || die "the statement has parameters that the benchmark does not know"
    cat >"$RUN/create.sql" <<END
\\if :n >= 100
SELECT nextval('taskevents.task_ids') AS base \\gset
\\set n 0
\\endif
\\set id :base + :n
\\set n :n + 1
\\set user random(1, $BENCH_WRITERS)
$sql;
END
}

run_pgbench() { # CLIENTS
    local log="$RUN/log/pgbench.log"
    PGPASSFILE="$RUN/pgpass" pgbench -n -M prepared -c "$1" -j "$(nproc)" -T "$seconds" \
        -f "$RUN/create.sql" "${PGBENCH_VALUES[@]}" "$(db_dsn bench_pgbench)" >"$log" 2>&1 || {
        tail "$log" >&2
        die "pgbench failed"
    }
    awk '/^number of transactions actually/ { n = $NF } /^number of failed/ { bad = $5 }
        /^tps/ { tps = $3 } /^latency average/ { ms = $4 }
        END { print n, tps, bad + 0, ms, "-" }' "$log"
}

# ---- wrk -------------------------------------------------------------------------

run_wrk() { # CLIENTS URL MODE USERS [TOKEN]
    local log="$RUN/log/wrk.log"
    BENCH_MODE=$3 BENCH_USERS=$4 BENCH_TASKS=$BENCH_EACH BENCH_TOKEN=${5:-} \
        BENCH_BODY=$BENCH_BODY BENCH_SEED=$SRANDOM \
        wrk -t 1 -c "$1" -d "${seconds}s" --timeout 5s -s "$BENCH/load.lua" "$2" >"$log" 2>&1 || {
        tail "$log" >&2
        die "wrk failed"
    }
    grep 'Socket errors\|Non-2xx' "$log" >&2 || true
    awk '/^RESULT/ { print $2, $2 / $3, $4 + $5, $6, $7 }' "$log"
}

bench_once() { # WHAT CLIENTS
    local what=${1#other_} other=${1%"${1#other_}"} at
    case $what in
    pgbench) run_pgbench "$2" ;;
    post_*)
        at=$other${what#post_}
        run_wrk "$2" "http://127.0.0.1:$(port "$at-open")" post "$BENCH_WRITERS"
        ;;
    *_bearer)
        run_wrk "$2" "http://127.0.0.1:$(port "${other}local-bearer")" "${what%_bearer}" 1 \
            "$(make_token 1 3600)"
        ;;
    *) run_wrk "$2" "http://127.0.0.1:$(port "${other}local-open")" "$what" "$BENCH_READERS" ;;
    esac
}

# ---- the run -----------------------------------------------------------------------

# Where a write goes; nothing for what only reads.
bench_written() { # WHAT
    case $1 in
    pgbench) echo pgbench ;;
    post_*) echo "${1#post_}" ;;
    other_post_*) echo "other_${1#other_post_}" ;;
    esac
}

# A publisher at work may be in the way.
bench_empty() { # DATABASE
    wait_for 20 bench_sql "$1" -c 'TRUNCATE taskevents.tasks, taskevents.series,
        taskevents.streams, taskevents.outbox, taskevents.processed_events,
        taskevents.event_counts, taskevents.reminders, taskevents.notifications' 2>/dev/null ||
        die "cannot empty the tables of $1"
}

# The processor time that a part has used, in ticks of 10 ms, with that of
# processes that are gone.
bench_ticks() { # PART
    local pids paths
    mapfile -t pids < <(tree_of "$(part_pid "$1")")
    paths=("${pids[@]/#//proc/}")
    paths=("${paths[@]/%//stat}")
    { cat "${paths[@]}" 2>/dev/null || true; } | awk '{ n += $14 + $15 + $16 + $17 } END { print n + 0 }'
}

bench_part() { # WHAT: the httpd that serves it
    case $1 in
    pgbench) ;;
    *post_*) echo "bench_${1/post_/}" ;;
    other_*) echo bench_other_local ;;
    *) echo bench_local ;;
    esac
}

# One measurement, a line of the results: round, clients, what, number, rate,
# bad, p50 ms, p99 ms, events handled, and the processor's µs for one, of httpd
# and of PostgreSQL.
bench_measure() { # ROUND WHAT CLIENTS
    local db line n handled=- rows httpd httpd_before=0 httpd_after=0 pg_before pg_after
    httpd=$(bench_part "$2")
    db=$(bench_written "$2")
    if [[ -n $db ]]; then
        bench_empty "$db"
        db_admin -d postgres -c CHECKPOINT
    fi
    [[ -z $httpd ]] || httpd_before=$(bench_ticks "$httpd")
    pg_before=$(bench_ticks postgres)
    line=$(bench_once "$2" "$3")
    [[ -z $httpd ]] || httpd_after=$(bench_ticks "$httpd")
    pg_after=$(bench_ticks postgres)
    read -r n _ <<<"$line"
    if [[ -n $db ]]; then
        IFS='|' read -r rows handled < <(bench_sql "$db" -c 'SELECT
            (SELECT count(*) FROM taskevents.tasks), (SELECT count(*) FROM taskevents.processed_events)')
        ((rows >= n)) || die "$2: $n answers, but $rows tasks: not durable"
        bench_empty "$db" # what is left to publish must not disturb the next one
    fi
    printf '%s %s %s %s %s %s %s\n' "$1" "$3" "$2" "$line" "$handled" \
        $(((httpd_after - httpd_before) * 10000 / n)) $(((pg_after - pg_before) * 10000 / n)) | tee -a "$RUN/results" >&2
}

# Connections are there and statements prepared before the first turn.
bench_warm() { # PAIR...
    local pair ours base what seconds=1
    for pair in "$@"; do
        read -r ours base _ <<<"$pair"
        for what in "$ours" "$base"; do
            [[ $what == pgbench ]] || bench_once "$what" 64 >/dev/null
        done
    done
}

bench_turns() { # PAIR...
    local round c pair ours base
    bench_warm "$@"
    for ((round = 1; round <= rounds; ++round)); do
        for c in "${clients[@]}"; do
            for pair in "$@"; do
                read -r ours base _ <<<"$pair"
                bench_measure "$round" "$base" "$c"
                bench_measure "$round" "$ours" "$c"
            done
        done
    done
}

# First what writes, then what reads.
bench_run() {
    local pair ours writes=() reads=() name
    printf '%s\n' "seconds $seconds" "rounds $rounds" >"$RUN/results"
    for pair in "${BENCH_PAIRS[@]}"; do
        read -r ours _ <<<"$pair"
        [[ -z $only || $only == "$ours" ]] || continue
        printf 'pair %s\n' "$pair" >>"$RUN/results"
        [[ $ours == post_* ]] && writes+=("$pair") || reads+=("$pair")
    done
    ((${#writes[@]} == 0)) || bench_turns "${writes[@]}"
    ((${#reads[@]})) || return 0
    for name in local ${against:+other_local}; do
        bench_empty "$name"
        bench_sql "$name" -v "users=$BENCH_READERS" -v "tasks=$BENCH_EACH" -f "$BENCH/tasks.sql"
    done
    bench_turns "${reads[@]}"
}
