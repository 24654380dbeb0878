# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the other parts
# The suites that look for what nobody thought of: docs/testing.md says what each
# of them proves.

# ---- fuzzing -------------------------------------------------------------------

# libFuzzer over the targets of t/fuzz, two at a time, FUZZ_MINUTES in all. What it
# learns stays in .run/fuzz for the next time.
suite_fuzz() {
    local build="$WORK/build-fuzz" dir="$WORK/fuzz" targets seconds rc=0
    # not "null" and "object-size": APR's offsets are members of a null pointer; the address
    # sanitizer sees every one that is used
    logged_build "$build" CC=clang CFLAGS='-O1 -g -fno-sanitize=null,object-size' \
        --enable-sanitize=fuzzer-no-link,address,undefined
    make -C "$build" -s -j2 t/fuzz/fuzz >"$WORK/log/fuzz-build.log" 2>&1 || {
        cat "$WORK/log/fuzz-build.log" >&2
        return 1
    }
    mapfile -t targets < <(cd "$ROOT/t/fuzz/corpus" && printf '%s\n' *)
    seconds=$((FUZZ_MINUTES * 60 * 2 / ${#targets[@]}))
    ((seconds)) || seconds=1
    mkdir -p "$dir/log"
    TIMEFORMAT='CPU seconds: %U'
    time (
        export -f fuzz_one
        export ROOT build dir seconds
        export ASAN_OPTIONS=allocator_may_return_null=0 \
            UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
        printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'fuzz_one "{}"'
    ) || rc=$?
    return "$rc"
}

fuzz_one() { # TARGET
    local target=$1 log="$dir/log/$1.log" most=4096
    case $target in
    time | traceparent | if_match | path | cursor | key) most=320 ;;
    esac
    mkdir -p "$dir/corpus/$target"
    if TASKEVENTS_FUZZ=$target "$build/t/fuzz/fuzz" -max_total_time="$seconds" \
        -max_len="$most" -rss_limit_mb=1024 -timeout=20 -print_final_stats=1 \
        -dict="$ROOT/t/fuzz/tokens.dict" -artifact_prefix="$dir/$target-" \
        "$dir/corpus/$target" "$ROOT/t/fuzz/corpus/$target" >"$log" 2>&1; then
        printf '%-15s %10d inputs, %s\n' "$target" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
            "$(sed -n 's/.*\(cov: [0-9]*\).*/\1/p' "$log" | tail -n 1)"
    else
        tail -n 60 "$log" >&2
        echo "fuzz: $target: the input above goes into t/fuzz/corpus/$target with its repair" >&2
        return 1
    fi
}

# ---- what can be told from the source ------------------------------------------

# gcc's analyzer, cppcheck and clang-tidy over mod_taskevents/. A file that did not
# change since it was found clean is not looked at again.
suite_lint() {
    local rc=0
    strict_build gcc
    # with -O1, because without it less is seen
    logged_build "$WORK/build-analyzer" CC=gcc CFLAGS='-O1 -g -fanalyzer' --enable-werror ||
        rc=1
    (cd "$WORK/src" && cppcheck --quiet --std=c11 --library=posix --inline-suppr \
        --enable=warning,performance,portability --error-exitcode=1 \
        -I mod_taskevents mod_taskevents) || rc=1
    mkdir -p "$WORK/lint"
    lint_flags >"$WORK/lint/flags"
    (
        export -f tidy_one
        export WORK
        cd "$WORK/src" && find mod_taskevents -name '*.c' -print0 |
            xargs -0 -P 2 -I '{}' bash -c 'tidy_one "{}"'
    ) || rc=1
    return "$rc"
}

# What the module is compiled with.
lint_flags() {
    printf '%s\n' 'include Makefile' 'lint-flags:' \
        '	@echo -std=gnu11 $(DEFS) $(HTTPD_CPPFLAGS) $(AM_CPPFLAGS)' |
        make -C "$WORK/build-gcc" -s -f - lint-flags
}

tidy_one() { # FILE
    local key clean="$WORK/lint/${1//\//_}"
    # shellcheck disable=SC2046  # several
    key=$({ clang $(<"$WORK/lint/flags") -I "$WORK/build-gcc" -E "$1" && cat .clang-tidy; } |
        sha256sum) || return
    [[ $(cat "$clean" 2>/dev/null) != "$key" ]] || return 0
    # shellcheck disable=SC2046
    clang-tidy --quiet "$1" -- $(<"$WORK/lint/flags") -I "$WORK/build-gcc" 2>/dev/null ||
        return 1
    printf '%s\n' "$key" >"$clean"
}

# ---- threads, memory -----------------------------------------------------------

# What threads do to each other, by ThreadSanitizer: the unit tests that have threads
# (pool, group commit, chores, metrics, the drain), and, in the long list, the API's
# tests in an httpd that has its library before it.
suite_tsan() {
    local build="$WORK/build-tsan"
    logged_build "$build" CC=gcc CFLAGS='-O1 -g' --enable-sanitize=thread
    test_db tsan
    db_migrate tsan
    # no leaks: the tests' own HTTP server does not wait for its threads
    export TSAN_OPTIONS="suppressions=$ROOT/t/unit/tsan.supp:die_after_fork=0:exitcode=66:report_thread_leaks=0"
    CK_TIMEOUT_MULTIPLIER=10 make -C "$build" -s -j2 check || unit_failed "$build" || return
    [[ -n $LONG_RUN ]] || return 0
    API_TESTS=$TSAN_API_TESTS api_tests "$build" \
        "TASKEVENTS_TEST_PRELOAD=$(gcc -print-file-name=libtsan.so)"
}

# memcheck over the unit tests, and over an httpd that some of the API's tests talk to.
# Only of the long list: it takes some 20 times the time.
suite_valgrind() {
    local dir="$TEST/valgrind" log rc=0
    strict_build gcc
    test_db valgrind
    db_migrate valgrind
    make -C "$WORK/build-gcc" -s check-valgrind || unit_failed "$WORK/build-gcc" || rc=1
    rm -rf "$dir" && mkdir -p "$dir" && give "$dir"
    # leaks are the unit tests' business: what pools leave at exit is none
    API_TESTS=$VALGRIND_API_TESTS api_tests "$WORK/build-gcc" \
        "TASKEVENTS_TEST_UNDER=valgrind --quiet --trace-children=no --leak-check=no --log-file=$dir/%p --suppressions=$ROOT/t/unit/valgrind.supp" ||
        rc=1
    for log in "$dir"/*; do
        [[ ! -s $log ]] || { cat "$log" >&2 && rc=1; }
    done
    return "$rc"
}

# What stands for the routes where each test takes many times its time.
VALGRIND_API_TESTS='10-create 21-list 31-patch 33-delete 35-idempotency 82-openapi
    83-metrics dapr/20-delivery dapr/25-jobs dapr/30-malformed away/10-database'
TSAN_API_TESTS='10-create 31-patch 35-idempotency 63-group-commit 83-metrics
    dapr/20-delivery dapr/25-bulk dapr/40-transport-down'

# ---- coverage ------------------------------------------------------------------

# Which lines and branches of mod_taskevents/ the unit tests and the API's tests reach,
# as the build of `sanitize` counts it: in a run of everything that is done already.
# What none of them reaches has its reason in t/coverage/reasons.
suite_coverage() {
    prove --norc -Q "$ROOT/t/coverage/report.t"
    if [[ -z $WHOLE_RUN ]]; then
        sanitized_build
        coverage_begin
        sanitized_unit
        test_db coverage
        db_migrate coverage
        TASKEVENTS_TEST_SERVICE_DSN=$(db_service_role coverage)
        export TASKEVENTS_TEST_SERVICE_DSN
        sanitized_api
    fi
    "$ROOT/t/coverage/report" "$WORK/build-asan"
}

# Counts from nothing. Each object has its file for that beside it, written at the
# end of a process; httpd's are processes of the service user.
coverage_begin() {
    local file counts=()
    while IFS= read -r -d '' file; do
        counts+=("${file%.gcno}.gcda")
    done < <(find "$WORK/build-asan/mod_taskevents" -name '*.gcno' -print0)
    truncate -s 0 "${counts[@]}"
    give "${counts[@]}"
}
