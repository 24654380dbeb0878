# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the stack's parts
# ./dev bench reminders: on the real stack, very many reminders within one
# minute: how late each is triggered (committed), when all users have been told,
# and what other requests notice of it.

BENCH="$ROOT/t/bench"

bench_reminders_usage() {
    die "bench reminders takes: [--catch-up] [--quick] [--write] [--reminders N] [--seconds N] [--jobs N]"
}

# Of the reminders, the first of each hundred also have a job made for them
# before their time, as many as --jobs says.
bench_reminders() {
    local reminders=100000 seconds=60 jobs=0 quiet=30 users=2000 write='' mode=minute
    while (($#)); do
        case $1 in
        --quick) reminders=10000 quiet=10 ;;
        --catch-up) mode=catch-up seconds=3600 ;;
        --write) write=1 ;;
        --reminders | --seconds | --jobs)
            [[ ${2:-} =~ ^[0-9]{1,6}$ ]] || bench_reminders_usage
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        *) bench_reminders_usage ;;
        esac
        shift
    done
    [[ $reminders != 10000 || $seconds != 60 ]] || seconds=6
    need_for_dapr
    (
        RUN="$WORK/bench-reminders"
        export TASKEVENTS_RUN=$RUN
        trap '"$ROOT/dev" down >/dev/null' EXIT
        [[ ! -d $RUN/pid ]] || "$ROOT/dev" down >/dev/null
        rm -rf "$RUN"
        # when a transaction was committed is PostgreSQL's to say
        POSTGRES_EXTRA='track_commit_timestamp = on' "$ROOT/dev" up --dapr >/dev/null
        eval "$("$ROOT/dev" env)"
        python3 "$BENCH/reminders.py" "$TASKEVENTS_URL" "$(make_token bench 7200)" \
            "$TASKEVENTS_DSN" "$reminders" "$seconds" "$jobs" "$users" "$quiet" "$mode" \
            "$([[ -z $write ]] || printf %s "$ROOT/docs/performance.md")"
    )
}
