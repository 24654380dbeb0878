# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the stack's parts
# ./dev bench peers: the same work, on the same machine and in turns, by this
# module and by what people would use instead: a FastAPI service that publishes
# each event before it answers, and one that does so afterwards
# (t/bench/peers/). pgbench and a bare publish loop are the ceilings.
#
# The instance of ./dev bench publish, with a database of the services' own.
# Nobody handles the events: the services have nothing that would.

# shellcheck source=SCRIPTDIR/publish.sh
source "$ROOT/t/bench/publish.sh"

PEERS=(ours inline background)
# One process of many threads for all connections, and no access log: the
# services keep none.
BENCH_CHILDREN=1 BENCH_HTTPD=(-D NoAccessLog)

peers_usage() { die "bench peers takes: [--quick] [--write] [--rounds N]"; }

bench_peers() {
    local rounds=3 seconds=10 quick='' write='' name round
    while (($#)); do
        case $1 in
        --quick) quick=1 rounds=1 seconds=3 ;;
        --write) write=1 ;;
        --rounds)
            [[ ${2:-} =~ ^[1-9][0-9]?$ ]] || peers_usage
            rounds=$2
            shift
            ;;
        *) peers_usage ;;
        esac
        shift
    done
    need_for_dapr
    install_packages python3-venv
    PEERS_PYTHON=$(python_with bench/peers "$BENCH/peers/requirements.txt")
    publish_start
    peers_start
    : >"$RUN/peers"
    for ((round = 1; round <= rounds; ++round)); do
        peers_ceilings "$round"
        for name in "${PEERS[@]}"; do
            peers_turn "$round" "$name"
        done
    done
    "$BENCH/report-peers" "$RUN/peers" "$(peers_written)"
}

# The charts and the table go where they are read, or beside the figures.
peers_written() {
    if [[ -n $write && -z $quick ]]; then
        printf %s "$ROOT/docs"
    else
        printf %s "$RUN"
    fi
}

# ---- the services ----------------------------------------------------------------

peers_start() {
    local name
    DELIVERED=''
    part_stop daprd
    part_up daprd
    ports peer-inline peer-background
    for name in inline background; do
        eval "peer_${name}_configure() { peers_configure $name; }
              peer_${name}_ready() { peers_answers $name; }"
    done
    db_create bench_peers
    bench_sql peers -v "users=$BENCH_READERS" -v "tasks=$BENCH_EACH" -f "$BENCH/peers/tables.sql" >/dev/null
    db_create bench_pgbench
    db_migrate bench_pgbench
    "${CC:-cc}" -I "$ROOT/mod_taskevents" -o "$RUN/statement" \
        "$BENCH/statement.c" "$ROOT"/mod_taskevents/store/statements{,_reminders}.c
    part_stop daprd # or the one event that is looked at would be gone
    bench_empty dapr
    bench_prepare_pgbench
    part_up daprd
    publish_empty
    # new ones have other ids than those that are read
    bench_empty dapr
    bench_sql dapr -v "users=$BENCH_READERS" -v "tasks=$BENCH_EACH" -f "$BENCH/tasks.sql"
    bench_sql dapr -c "SELECT setval('taskevents.task_ids', 1000001)" >/dev/null
}

peers_answers() { curl -fsS -o /dev/null --max-time 2 "$(peers_url "$1")/healthz" 2>/dev/null; }

peers_configure() { # inline|background
    local AS
    as_service "$PEERS_PYTHON"
    PART_ENV+=("PEER_PUBLISH=$1" "PEER_SIDECAR=${PEER_SIDECAR:-http://127.0.0.1:$(port dapr-http)}"
        "PEER_TOKEN=$(secret dapr-token)" PYTHONDONTWRITEBYTECODE=1
        "PEER_DATABASE=postgresql+asyncpg://taskevents:$(secret pg-taskevents)@127.0.0.1:$(port postgres)/bench_peers")
    CMD=("${AS[@]}" "$PEERS_PYTHON" -m uvicorn service:app --app-dir "$BENCH/peers"
        --host 127.0.0.1 --port "$(port "peer-$1")" --workers 2
        --loop uvloop --http httptools --no-access-log --log-level warning)
    CONF=("$BENCH/peers/service.py")
}

peers_url() { # NAME
    [[ $1 != ours ]] || { publish_url && return; }
    printf 'http://127.0.0.1:%s\n' "$(port "peer-$1")"
}

peers_part() { [[ $1 == ours ]] && echo bench_dapr || echo "peer_$1"; }

# Where its events are to be published to: the sidecar, or what stands there.
peers_up() { # NAME PORT
    part_stop "$(peers_part "$1")"
    if [[ $1 == ours ]]; then
        publish_httpd "http://127.0.0.1:$2"
    else
        PEER_SIDECAR="http://127.0.0.1:$2" part_up "peer_$1"
    fi
}

# ---- a turn ------------------------------------------------------------------------

peers_note() { # ROUND NAME WHAT VALUE
    printf '%s %s %s %s\n' "$@" | tee -a "$RUN/peers" >&2
}

peers_turn() { # ROUND NAME
    peers_up "$2" "$(port dapr-http)"
    peers_reads "$@"
    peers_creates "$@"
    peers_memory "$@"
    peers_outage "$@"
    peers_hanging "$@"
    part_stop "$(peers_part "$2")"
    part_stop gate
}

peers_wrk() { # NAME MODE USERS
    local n rate bad p50 p99
    seconds=1 run_wrk 16 "$(peers_url "$1")" "$2" "$3" >/dev/null
    read -r n rate bad p50 p99 < <(run_wrk 16 "$(peers_url "$1")" "$2" "$3")
    ((bad == 0)) || die "$1: $bad of $n answers were no 2xx"
    printf '%s %s %s\n' "$rate" "$p50" "$p99"
}

peers_reads() { # ROUND NAME
    local rate p50 p99
    read -r rate p50 p99 < <(peers_wrk "$2" get "$BENCH_READERS")
    peers_note "$@" reads "$rate"
    peers_note "$@" reads_p50 "$p50"
    peers_note "$@" reads_p99 "$p99"
}

# Creates, and what of them is in Kafka when the load ends and when all is done.
peers_creates() { # ROUND NAME
    local rate p50 p99 since began n in_time
    db_admin -d postgres -c CHECKPOINT
    since=$(publish_now)
    seconds=1 run_wrk 16 "$(peers_url "$2")" post "$BENCH_WRITERS" >/dev/null
    publish_empty
    sleep 1
    began=$(publish_now)
    read -r n rate _ p50 p99 < <(run_wrk 16 "$(peers_url "$2")" post "$BENCH_WRITERS")
    in_time=$(peers_ids "$began" | wc -l)
    publish_empty
    peers_note "$@" creates "$rate"
    peers_note "$@" creates_p50 "$p50"
    peers_note "$@" creates_p99 "$p99"
    peers_note "$@" published "$(awk -v a="$in_time" -v b="$n" 'BEGIN { printf "%.3f\n", (a > b ? 1 : a / b) }')"
}

# The tasks whose creation is in Kafka since then.
peers_ids() { # MILLISECONDS
    publish_records "$1" | grep '"type":"task.created"' | grep -o '"task_id":[0-9]*' | sort -u
}

# Proportional: what is shared between its processes counts once.
peers_memory() { # ROUND NAME
    local pids
    mapfile -t pids < <(tree_of "$(part_pid "$(peers_part "$2")")")
    peers_note "$@" memory "$(for pid in "${pids[@]}"; do
        cat "/proc/$pid/smaps_rollup" 2>/dev/null || true
    done | awk '/^Pss:/ { n += $2 } END { printf "%.1f\n", n / 1024 }')"
}

# 200 creates a second; the sidecar is killed, and comes back after ten.
peers_outage() { # ROUND NAME
    local since wrote=0 lost n bad p50 p99 went
    since=$(publish_now)
    for went in before away after; do
        case $went in
        away) part_kill daprd ;;
        after) part_up daprd ;;
        esac
        read -r n _ bad p50 p99 < <("$RUN/pace" "$(peers_url "$2")" 200 \
            "$([[ $went == away ]] && echo $((quick ? 4 : 10)) || echo 3)" 1000 "$BENCH_BODY")
        ((bad == 0)) || say "$2: $bad of $n creates failed, sidecar $went"
        wrote=$((wrote + n - bad))
        [[ $went != away ]] || peers_note "$@" away_p99 "$p99"
    done
    publish_empty
    sleep 2
    n=$(peers_ids "$since" | wc -l)
    lost=$((wrote > n ? wrote - n : 0))
    peers_note "$@" lost "$lost"
    peers_note "$@" lost_of "$wrote"
}

peers_hanging() { # ROUND NAME
    local n rate _
    GATE_MODE=hang
    part_up gate
    peers_up "$2" "$(port gate)"
    # its requests take as long as it waits for the sidecar
    read -r n rate _ < <(seconds=$((seconds + 6)) run_wrk 16 "$(peers_url "$2")" post "$BENCH_WRITERS")
    peers_note "$@" hanging "$rate"
    part_stop gate
    peers_up "$2" "$(port dapr-http)"
    [[ $2 != ours ]] || publish_empty 300
}

# ---- the ceilings --------------------------------------------------------------------

peers_ceilings() { # ROUND
    local rate n _
    db_admin -d postgres -c CHECKPOINT
    read -r n rate _ < <(run_pgbench 16)
    peers_note "$1" pgbench creates "$rate"
    read -r n rate _ < <(publish_drain_bare $((quick ? 10000 : 50000)))
    peers_note "$1" bare published_rate "$rate"
}
