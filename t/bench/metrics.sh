# shellcheck shell=bash
# ./dev bench metrics: what counting costs a request. Two httpds take turns: one
# with the module as it is, and one with the same objects linked so that the
# functions that count do nothing (uncounted.c). Turns are short and many, and
# change their order, so that what else the machine does evens out.

# shellcheck source=api.sh
source "$ROOT/t/bench/api.sh"

bench_metrics_usage() {
    die "bench metrics takes: [--quick] [--write] [--rounds N] [--seconds N] [--only get|post_local] [--same]
     --same  both count: what is told then is the noise"
}

bench_metrics() {
    local rounds=60 seconds=1 clients=(32) only='' same='' write='' against="$WORK/uncounted/mod_taskevents.so"
    while (($#)); do
        case $1 in
        --quick) rounds=6 ;;
        --same) same=1 ;;
        --write) write=1 ;;
        --rounds | --seconds | --only)
            [[ -n ${2:-} ]] || bench_metrics_usage
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        *) bench_metrics_usage ;;
        esac
        shift
    done
    [[ -z $only || $only == get || $only == post_local ]] || bench_metrics_usage
    [[ -z $write || -z $only$same ]] || die "--write writes the whole table"
    bench_uncounted "$same"
    bench_start
    bench_metrics_run
    "$BENCH/report-metrics" "$RUN/results" "$([[ -z $write ]] || printf %s "$ROOT/docs/performance.md")"
}

# The other build.
bench_uncounted() { # SAME
    local built objects needed wraps=() name
    install_packages "${PACKAGES_UP[@]}" wrk
    RUN="$WORK/bench" build_module
    mkdir -p "${against%/*}"
    built=$(built_module "$WORK/build")
    if [[ -n $1 ]]; then
        cp "$built" "$against"
        return
    fi
    for name in $(grep -o '^void __wrap_[a-z_]*(' "$BENCH/uncounted.c" | sort -u); do
        name=${name#__wrap_} name=${name%(}
        [[ $name == void ]] || wraps+=("-Wl,--wrap=$name")
    done
    mapfile -t objects < <(find "$WORK/build/mod_taskevents" -path '*/.libs/*.o')
    mapfile -t needed < <(objdump -p "$built" | awk '/NEEDED/ { print "-l:" $2 }')
    echo '{ global: taskevents_module; local: *; };' >"$WORK/uncounted/exported"
    # shellcheck disable=SC2046  # a list of options
    "${CC:-cc}" -shared -fPIC -O2 $(apr-1-config --includes --cppflags) -o "$against" "${objects[@]}" \
        "$BENCH/uncounted.c" "${wraps[@]}" "-Wl,--version-script=$WORK/uncounted/exported" "${needed[@]}"
}

bench_metrics_run() {
    local what first second round name whats=(get post_local)
    [[ -z $only ]] || whats=("$only")
    printf '%s\n' "seconds $seconds" "clients ${clients[0]}" >"$RUN/results"
    for what in "${whats[@]}"; do
        for name in local other_local; do
            bench_empty "$name"
            [[ $what == post_* ]] ||
                bench_sql "$name" -v "users=$BENCH_READERS" -v "tasks=$BENCH_EACH" -f "$BENCH/tasks.sql"
        done
        bench_warm "$what other_$what -"
        for ((round = 1; round <= rounds; ++round)); do
            first=$what second=other_$what
            ((round % 2)) || first=other_$what second=$what
            bench_metrics_turn "$round" "$first"
            bench_metrics_turn "$round" "$second"
        done
    done
}

# The processor time that a part's threads have used, in ns.
bench_nanoseconds() { # PART
    local pid
    for pid in $(tree_of "$(part_pid "$1")"); do
        cat "/proc/$pid/task/"*/schedstat 2>/dev/null || true
    done | awk '{ n += $1 } END { printf "%d\n", n }'
}

# A line of the results: round, what, number, rate, bad, processor time of httpd
# in ns.
bench_metrics_turn() { # ROUND WHAT
    local httpd before after n rate bad
    httpd=$(bench_part "$2")
    [[ $2 == *get ]] || bench_empty "${httpd#bench_}"
    before=$(bench_nanoseconds "$httpd")
    read -r n rate bad _ < <(bench_once "$2" "${clients[0]}")
    after=$(bench_nanoseconds "$httpd")
    printf '%s %s %s %s %s %s\n' "$1" "$2" "$n" "$rate" "$bad" $((after - before)) >>"$RUN/results"
}
