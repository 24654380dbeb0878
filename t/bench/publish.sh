# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the stack's parts
# ./dev bench publish: how fast events leave the outbox, in what order, how
# soon, and what a sidecar that is away costs those who write. Each figure has
# its bar; a missed one fails the run.
#
# An instance of its own below .run/: PostgreSQL with its durable settings,
# Kafka, the sidecar, and the httpd of ./dev bench api with its two children.
# Kafka's records have the broker's time (LogAppendTime), not the sidecar's.

# shellcheck source=SCRIPTDIR/api.sh
source "$ROOT/t/bench/api.sh"

PUBLISH_PARTS=(drain stream latency recovery away)

publish_usage() {
    die "bench publish takes: [--quick] [--write] [--rounds N] [--only ${PUBLISH_PARTS[*]}]
     or, for the queue's health: --queue [--seconds N] [--write]"
}

bench_publish() {
    local rounds=3 seconds='' quick='' write='' only='' queue='' part
    while (($#)); do
        case $1 in
        --quick) quick=1 rounds=1 ;;
        --write) write=1 ;;
        --queue) queue=1 ;;
        --rounds | --seconds | --only)
            [[ -n ${2:-} ]] || publish_usage
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        *) publish_usage ;;
        esac
        shift
    done
    need_for_dapr
    publish_start
    publish_table
    if [[ -n $queue ]]; then
        publish_queue "${seconds:-600}"
    else
        for part in "${PUBLISH_PARTS[@]}"; do
            [[ -n $only && $only != "$part" ]] || "publish_$part"
        done
    fi
    publish_end
}

# ---- the instance --------------------------------------------------------------

publish_start() {
    install_packages "${PACKAGES_UP[@]}" wrk kcat
    RUN="$WORK/bench-publish"
    lock_instance
    trap publish_stop EXIT
    publish_stop
    find "$RUN" -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} +
    prepare_instance
    build_module
    install_module
    for part in pace bare; do
        "${CC:-cc}" -O2 -D_GNU_SOURCE -o "$RUN/$part" "$BENCH/$part.c" -lpthread -lcurl
    done
    choose_ports
    ports dead gate dapr-open dapr-bearer
    bench_dapr_configure() {
        bench_httpd_configure dapr
        PART_ENV+=("APP_API_TOKEN=$(secret app-token)" "DAPR_API_TOKEN=$(secret dapr-token)")
    }
    bench_dapr_ready() { httpd_answers "$(port dapr-open)"; }
    publish_own_parts
    POSTGRES_EXTRA=$'max_connections = 400\ntrack_commit_timestamp = on' part_up postgres
    db_create bench_dapr
    db_migrate bench_dapr
    kafka_bring_up
    part_up scheduler
    publish_httpd "http://127.0.0.1:$(port dapr-http)"
    publish_sample
    part_up daprd
    publish_empty
}

# The stack's, a little changed.
publish_own_parts() {
    eval "stack_$(declare -f kafka_configure)"
    eval "stack_$(declare -f daprd_configure)"
    kafka_configure() {
        stack_kafka_configure
        echo log.message.timestamp.type=LogAppendTime >>"$RUN/conf/kafka.properties"
    }
    # With the events delivered to httpd, or only taken.
    daprd_configure() {
        local word kept=()
        stack_daprd_configure
        for word in "${CMD[@]}"; do
            case $word in
            --app-port=*) [[ -n $DELIVERED ]] && kept+=("--app-port=$(port dapr-open)") ;;
            --app-* | --enable-app-*) [[ -n $DELIVERED || $word == --app-id=* ]] && kept+=("$word") ;;
            *) kept+=("$word") ;;
            esac
        done
        CMD=("${kept[@]}")
    }
    daprd_ready() {
        curl -fsS -o /dev/null --max-time 2 \
            "http://127.0.0.1:$(port dapr-http)/v1.0/healthz/outbound" 2>/dev/null
    }
}
DELIVERED=1

publish_httpd() { # DAPR-URL
    BENCH_DAPR_URL=$1
    part_stop bench_dapr
    part_up bench_dapr
}

publish_stop() {
    local name
    [[ -d $RUN/pid ]] || return 0
    for name in gate bench_dapr daprd scheduler kafka postgres; do
        part_stop "$name"
    done
}

publish_url() { printf 'http://127.0.0.1:%s\n' "$(port dapr-open)"; }

# ---- figures -------------------------------------------------------------------

publish_table() {
    printf '%s\n' '| what | ours | against | ratio | bar |' '|---|--:|--:|--:|--:|' >"$RUN/table"
    PUBLISH_MISSED=''
}

# publish_row WHAT OURS AGAINST RATIO SIGN BAR: the ratio is judged by the bar;
# a word in its place is not.
publish_row() {
    local verdict=''
    if [[ -n ${5:-} ]]; then
        verdict="$5 $6"
        awk -v x="$4" -v bar="$6" -v sign="$5" \
            'BEGIN { exit !(sign == "≥" ? x >= bar : x <= bar) }' || {
            verdict+=' missed'
            PUBLISH_MISSED+=" $1;"
        }
    fi
    printf '| %s | %s | %s | **%s** | %s |\n' "$1" "$2" "$3" "$4" "$verdict" | tee -a "$RUN/table" >&2
}

publish_median() { sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
publish_ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", b ? a / b : 0 }'; }

publish_end() {
    local mark="bench publish${queue:+ --queue}"
    cat "$RUN/table"
    if [[ -n $write && -z $quick && -z $only ]]; then
        "$BENCH/write-table" "$ROOT/docs/performance.md" "$mark" "$RUN/table"
    fi
    [[ -z $PUBLISH_MISSED ]] || die "missed:$PUBLISH_MISSED"
}

# ---- the outbox and Kafka ------------------------------------------------------

publish_now() { date +%s%3N; }

publish_waiting() { bench_sql dapr -c 'SELECT count(*) FROM taskevents.outbox'; }
# Asked rarely, and not counted: the figures come from Kafka, and asking costs
# time too.
publish_is_empty() {
    sleep 0.8
    [[ -z $(bench_sql dapr -c 'SELECT 1 FROM taskevents.outbox LIMIT 1') ]]
}

publish_empty() {
    wait_for "${1:-120}" publish_is_empty || die "the outbox did not drain: $(publish_waiting) left"
}

# The records of our topic since then: time, tab, key, tab, event.
publish_records() { # MILLISECONDS
    timeout 120 kcat -C -e -q -b "$(brokers)" -t tasks -o "s@$1" -f '%T\t%k\t%s\n'
}

# Records, and how many a second from the first to the last.
publish_rate() { # MILLISECONDS
    publish_records "$1" | awk -F '\t' '!n++ || $1 < a { a = $1 } $1 > b { b = $1 }
        END { printf "%d %.0f\n", n, (b > a ? n * 1000 / (b - a) : 0) }'
}

# An event as the module writes it, before there is a sidecar to take it.
publish_sample() {
    curl -fsS -o /dev/null -H 'Content-Type: application/json' -d "$BENCH_BODY" \
        "$(publish_url)/api/1/tasks"
    bench_sql dapr -c 'SELECT event FROM taskevents.outbox' >"$RUN/sample"
}

# Such events of that many users in turn, to be put straight into the outbox or
# printed for the bare loop.
publish_events() { # PREFIX USERS COUNT: a SELECT of user_id, sequence, id, event
    printf "SELECT u AS user_id, n AS sequence, i AS id,
        replace(regexp_replace(regexp_replace(\$e\$%s\$e\$, '\"id\":\"[^\"]*\"', '\"id\":\"' || i || '\"'),
            '\"sequence\":\"[0-9]*\"', '\"sequence\":\"' || lpad(n::text, 20, '0') || '\"'),
            '\"partitionkey\":\"1\"', '\"partitionkey\":\"' || u || '\"') AS event
      FROM (SELECT '%s' || g %% %d AS u, g / %d + 1 AS n, gen_random_uuid()::text AS i
              FROM generate_series(0, %d - 1) AS g OFFSET 0) AS x" \
        "$(tr -d '\n' <"$RUN/sample")" "$1" "$2" "$2" "$3"
}

publish_fill() { # PREFIX USERS COUNT
    bench_sql dapr -c "INSERT INTO taskevents.outbox (user_id, topic, sequence, event_id, event)
        SELECT user_id, 'tasks', sequence, id::uuid, event FROM ($(publish_events "$@")) AS e"
}

# ---- drain ---------------------------------------------------------------------

# Each prints records, records a second, and the processor's seconds of httpd,
# PostgreSQL, the sidecar, Kafka and the loop: what they took is less a matter
# of what else the machine does than how long.
# Both find a sidecar that has just started and is ready: what its start costs
# is in neither rate.
publish_drain_ours() { # COUNT
    local since seconds
    part_stop bench_dapr
    part_stop daprd
    publish_fill "d$SRANDOM-" 1000 "$1"
    db_admin -d postgres -c CHECKPOINT
    seconds=$(publish_seconds)
    part_up daprd
    since=$(publish_now)
    part_up bench_dapr
    publish_empty 300
    printf '%s %s 0\n' "$(publish_rate "$since")" "$(publish_seconds "$seconds")"
}

# The processor's seconds since, of each part; of the sidecar all.
publish_seconds() { # [THEN]
    {
        echo "${1:-0 0 0 0}"
        for part in bench_dapr postgres daprd kafka; do
            part_running "$part" && bench_ticks "$part" || echo 0
        done | awk '{ printf "%s ", $1 / 100 }'
    } | awk 'NR == 1 { for (i = 1; i <= NF; ++i) then[i] = $i }
        NR == 2 { print $1 - then[1], $2 - then[2], $3 - then[3], $4 - then[4] }'
}

publish_drain_bare() { # COUNT [QUERY]
    local since seconds used TIMEFORMAT="%U %S"
    part_stop daprd
    bench_sql dapr -F $'\t' -c "SELECT id, user_id, event FROM ($(publish_events "b$SRANDOM-" 1000 "$1")) AS e" \
        >"$RUN/events"
    seconds=$(publish_seconds)
    part_up daprd
    since=$(publish_now)
    used=$({ time "$RUN/bare" "http://127.0.0.1:$(port dapr-http)/v1.0/publish/bulk/kafka-pubsub/tasks${2:-}" \
        "$(secret dapr-token)" "$RUN/events" >/dev/null; } 2>&1 | awk '{ print $1 + $2 }') ||
        die "the bare loop failed"
    printf '%s %s %s\n' "$(publish_rate "$since")" "$(publish_seconds "$seconds")" "$used"
}

# The same as we ask, which costs the sidecar half.
publish_drain_raw() { publish_drain_bare "$1" '?metadata.rawPayload=true'; }

# In turns, and who begins changes. A first turn that does not count warms
# Kafka.
publish_drain() {
    local count=100000 turns=$((rounds < 4 ? 4 : rounds)) round who n rate used order=(raw bare ours)
    [[ -z $quick ]] || count=20000 turns=1
    DELIVERED='' # or both would measure how fast events are handled
    : >"$RUN/drain-ours" >"$RUN/drain-bare" >"$RUN/drain-raw" >"$RUN/ratios"
    publish_drain_bare 20000 >/dev/null
    for ((round = 1; round <= turns; ++round)); do
        order=("${order[2]}" "${order[1]}" "${order[0]}")
        for who in "${order[@]}"; do
            read -r n rate used < <("publish_drain_$who" "$count")
            ((n >= count)) || die "$who: $n of $count events are in Kafka"
            echo "$rate $used" >>"$RUN/drain-$who"
            say "drain, round $round, $who: $rate/s; processor s: $used"
        done
        publish_ratio "$(tail -n 1 "$RUN/drain-ours" | cut -d ' ' -f 1)" \
            "$(tail -n 1 "$RUN/drain-bare" | cut -d ' ' -f 1)" >>"$RUN/ratios"
    done
    publish_row "drain of $count events of 1,000 users" "$(publish_column ours 1)/s" \
        "bare bulk publish loop: $(publish_column bare 1)/s" "$(publish_median <"$RUN/ratios")" ≥ 0.8
    publish_row "the processor's seconds for it: httpd + PostgreSQL; sidecar, Kafka" \
        "$(publish_column ours 2) + $(publish_column ours 3); $(publish_column ours 4), $(publish_column ours 5)" \
        "loop: $(publish_column bare 6); $(publish_column bare 4), $(publish_column bare 5)" \
        "ratios: $(sort -n "$RUN/ratios" | paste -sd ' ')"
    publish_row "the same, against that loop with raw payloads as ours" "$(publish_column ours 1)/s" \
        "$(publish_column raw 1)/s; sidecar $(publish_column raw 4)" \
        "$(publish_ratio "$(publish_column ours 1)" "$(publish_column raw 1)")"
}

publish_column() { cut -d ' ' -f "$2" "$RUN/drain-$1" | publish_median; } # WHO COLUMN

# ---- one stream ----------------------------------------------------------------

publish_stream() {
    local round since n rate user=''
    DELIVERED=''
    part_up daprd
    : >"$RUN/ours"
    for ((round = 1; round <= rounds; ++round)); do
        since=$(publish_now)
        user="s$SRANDOM-"
        publish_fill "$user" 1 1000
        publish_empty
        read -r n rate < <(publish_rate "$since")
        publish_records "$since" | grep -o '"sequence":"0*[0-9]*"' | tr -dc '0-9\n' |
            awk '$1 + 0 != NR { bad = 1 } END { exit bad || NR != 1000 }' ||
            die "the events of one user are not 1 to 1000 in order"
        echo "$rate" >>"$RUN/ours"
    done
    publish_row '1,000 events of one user at once, in order' "$(publish_median <"$RUN/ours")/s" '' \
        "$(publish_median <"$RUN/ours")" ≥ 300
}

# ---- latency -------------------------------------------------------------------

# From PostgreSQL's time of the commit to the broker's of the record.
publish_latencies() { # MILLISECONDS
    join -t $'\t' \
        <(bench_sql dapr -F $'\t' -c "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000
            FROM taskevents.tasks" | sort) \
        <(publish_records "$1" | perl -ne 'my ($id) = /"task_id":(\d+)/;
            print "$id\t$1\n" if /"type":"task.created"/ && /^(\d+)/' | sort) |
        awk -F '\t' '{ print $3 - $2 }' | sort -n |
        awk '{ v[NR] = $1 } END { printf "%d %.1f %.1f\n", NR, v[int(NR / 2) + 1], v[int(NR * .99) + 1] }'
}

publish_latency() {
    local since n p50 p99 wrote _ lasted=20
    [[ -z $quick ]] || lasted=5
    DELIVERED=1
    part_up daprd
    publish_settle
    "$RUN/pace" "$(publish_url)" 200 2 1000 "$BENCH_BODY" >/dev/null
    publish_settle
    since=$(publish_now)
    read -r wrote _ < <("$RUN/pace" "$(publish_url)" 200 "$lasted" 1000 "$BENCH_BODY")
    publish_empty
    read -r n p50 p99 < <(publish_latencies "$since")
    ((n >= wrote)) || die "$wrote writes, but $n records"
    publish_row 'commit → record in Kafka at 200 writes/s, p50' "$p50 ms" '' "$p50" ≤ 10
    publish_row 'commit → record in Kafka at 200 writes/s, p99' "$p99 ms" '' "$p99" ≤ 50
}

# Nothing under way, and nothing left of what was.
publish_settle() {
    bench_empty dapr
    wait_for 60 publish_handled || true
}

publish_handled() {
    local before
    before=$(bench_sql dapr -c 'SELECT count(*) FROM taskevents.processed_events')
    sleep 1
    [[ $(bench_sql dapr -c 'SELECT count(*) FROM taskevents.processed_events') == "$before" ]]
}

# ---- recovery ------------------------------------------------------------------

publish_recovery() {
    local round since first
    DELIVERED=''
    : >"$RUN/ours"
    for ((round = 1; round <= rounds; ++round)); do
        part_stop daprd
        publish_fill "r$SRANDOM-" 100 1000
        sleep 8 # long enough for the breaker to have opened
        part_up daprd
        since=$(publish_now)
        publish_empty
        first=$(publish_records $((since - 5000)) | awk -F '\t' '!n++ || $1 < a { a = $1 } END { print a }')
        echo $((first - since)) >>"$RUN/ours"
    done
    publish_row "the backlog begins to drain after the sidecar's return" \
        "$(publish_median <"$RUN/ours") ms" '' "$(sort -n "$RUN/ours" | tail -n 1)" ≤ 2000
}

# ---- away ----------------------------------------------------------------------

gate_configure() {
    CMD=("$BENCH/gate" "$(port gate)" "$GATE_MODE" "$(port dapr-http)")
    CONF=()
}
gate_ready() { [[ $GATE_MODE == flap ]] || port_busy "$(port gate)"; }

publish_mode() { # healthy|down|hang|slow|flap
    part_stop gate
    case $1 in
    healthy) publish_httpd "http://127.0.0.1:$(port dapr-http)" ;;
    down) publish_httpd "http://127.0.0.1:$(port dead)" ;;
    *)
        GATE_MODE=$1
        part_up gate
        publish_httpd "http://127.0.0.1:$(port gate)"
        ;;
    esac
}

publish_post() { # MODE: requests a second, p99
    local n rate bad p50 p99
    publish_mode "$1"
    bench_empty dapr
    db_admin -d postgres -c CHECKPOINT
    seconds=2 run_wrk 16 "$(publish_url)" post 10000 >/dev/null
    read -r n rate bad p50 p99 < <(seconds=${quick:+2} seconds=${seconds:-5} \
        run_wrk 16 "$(publish_url)" post 10000)
    ((bad == 0)) || die "$1: $bad of $n answers were no 2xx"
    printf '%s %s\n' "$rate" "$p99"
}

publish_away() {
    local round mode rate p99 well well99 turns=$rounds
    # a p99 is that of the slowest flushes of its turn
    [[ -n $quick ]] || turns=$((rounds < 5 ? 5 : rounds))
    DELIVERED=1
    part_up daprd
    rm -f "$RUN"/post-*
    for ((round = 1; round <= turns; ++round)); do
        for mode in down hang slow flap; do
            read -r well well99 < <(publish_post healthy)
            read -r rate p99 < <(publish_post "$mode")
            printf '%s %s %s %s\n' "$rate" "$p99" "$well" "$well99" >>"$RUN/post-$mode"
            say "POST, round $round, sidecar $mode: $rate/s p99 $p99 ms; healthy $well/s p99 $well99 ms"
        done
    done
    for mode in down hang slow flap; do
        publish_row "POST with the sidecar $mode, 16 clients" \
            "$(cut -d ' ' -f 1 "$RUN/post-$mode" | publish_median)/s" \
            "healthy: $(cut -d ' ' -f 3 "$RUN/post-$mode" | publish_median)/s" \
            "$(awk '{ printf "%.2f\n", $1 / $3 }' "$RUN/post-$mode" | publish_median)" ≥ 0.95
        publish_row "its p99" "$(cut -d ' ' -f 2 "$RUN/post-$mode" | publish_median) ms" \
            "healthy: $(cut -d ' ' -f 4 "$RUN/post-$mode" | publish_median) ms" \
            "$(awk '{ printf "%.2f\n", $2 / $4 }' "$RUN/post-$mode" | publish_median)" ≤ 1.1
    done
    publish_mode healthy
}

# ---- the queue's health --------------------------------------------------------

publish_sizes() { # in MB: the table with its TOAST, its index; and what waits
    bench_sql dapr -F ' ' -c "SELECT round(pg_table_size('taskevents.outbox') / 1e6, 1),
        round(pg_indexes_size('taskevents.outbox') / 1e6, 1), (SELECT count(*) FROM taskevents.outbox)"
}

# Writes at 800/s for that long, and looks at the outbox as it goes.
publish_writes() { # NAME SECONDS
    local since pid n=0 rate table index waiting wrote lasted bad p50 p99
    since=$(publish_now)
    "$RUN/pace" "$(publish_url)" 800 "$2" 1000 "$BENCH_BODY" >"$RUN/pace.out" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep $(($2 / 20 > 1 ? $2 / 20 : 1))
        read -r table index waiting < <(publish_sizes)
        echo "$table $index $waiting" >>"$RUN/sizes-$1"
        say "$1, after $(($(publish_now) / 1000 - since / 1000)) s: table $table MB, index $index MB, $waiting waiting"
    done
    wait "$pid" || true
    read -r wrote lasted bad p50 p99 <"$RUN/pace.out"
    ((bad == 0)) || die "$bad of $wrote writes failed"
    # what was published by the time that the writes end, repeats once
    n=$(publish_records "$since" | grep -o '"id":"[^"]*"' | sort -u | wc -l)
    echo "$wrote $n $lasted $p50 $p99" >"$RUN/writes-$1"
    publish_empty 300
}

publish_queue() { # SECONDS
    local wrote n lasted p50 p99 before
    DELIVERED='' # two cores: handling 800/s as well would be all they can do
    part_up daprd
    publish_settle
    rm -f "$RUN"/{sizes,writes}-*
    publish_writes free "$1"
    publish_held_snapshot "$1" &
    sleep 1
    publish_writes pinned "$1"
    kill "$!" 2>/dev/null || true
    read -r wrote before lasted p50 p99 <"$RUN/writes-free"
    publish_row "published at 800 writes/s in $1 s; writes p99 $p99 ms" "$before" "written: $wrote" \
        "$(publish_ratio "$before" "$wrote")" ≥ 0.99
    publish_row "the outbox at most: table, index (MB); waiting" \
        "$(publish_most free 1), $(publish_most free 2); $(publish_most free 3)" \
        "half way: $(publish_half free 1), $(publish_half free 2)" \
        "$(publish_ratio "$(publish_most free 1)" "$(publish_half free 1)")" ≤ 1.5
    read -r wrote n lasted p50 p99 <"$RUN/writes-pinned"
    publish_row "published while another session holds a snapshot; writes p99 $p99 ms" "$n" \
        "without: $before" "$(publish_ratio "$n" "$before")" ≥ 0.8
    publish_row "the outbox at most: table, index (MB); waiting" \
        "$(publish_most pinned 1), $(publish_most pinned 2); $(publish_most pinned 3)" '' \
        'nothing can be vacuumed'
}

publish_most() { cut -d ' ' -f "$2" "$RUN/sizes-$1" | sort -n | tail -n 1; }
publish_half() { head -n $((($(wc -l <"$RUN/sizes-$1") + 1) / 2)) "$RUN/sizes-$1" | cut -d ' ' -f "$2" | sort -n | tail -n 1; }

publish_held_snapshot() { # SECONDS
    {
        echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM taskevents.outbox;'
        sleep $(($1 + 60))
    } | bench_sql dapr >/dev/null
}
