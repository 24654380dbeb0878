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

# gcc's analyzer, clang-tidy and cppcheck over mod_taskevents/. What these found clean
# they do not look at again, in no checkout of this machine: $CACHE/lint has a name for
# everything that a finding hangs on. Other versions of clang-tidy than Debian 12's find
# other things: there it is not among what a change has to pass.
suite_lint() {
    local rc=0
    if [[ -n $WHOLE_RUN && $(clang-tidy --version) != *' version 14.'* ]]; then
        say "lint: left out, .clang-tidy is for clang-tidy 14"
        return 0
    fi
    strict_build gcc
    LINT_FLAGS=$(lint_flags) LINT_CLEAN="$CACHE/lint"
    LINT_TOOLS=$(gcc --version && clang-tidy --version && cppcheck --version && cat "$ROOT/.clang-tidy")
    mkdir -p "$LINT_CLEAN"
    find "$LINT_CLEAN" -type f -mtime +30 -delete
    (
        export -f lint_unless_clean lint_file
        export LINT_FLAGS LINT_TOOLS LINT_CLEAN
        cd "$WORK/src" || exit
        # the long ones first
        find mod_taskevents -name '*.c' -printf '%s %p\n' | sort -nr | cut -d ' ' -f 2 |
            nice xargs -P 2 -n 1 bash -c 'lint_file "$1"' lint || rc=1
        find mod_taskevents -name '*.[ch]' -print0 | sort -z | xargs -0 cat |
            lint_unless_clean nice cppcheck -j 2 --quiet --std=c11 --library=posix --inline-suppr \
                --enable=warning,performance,portability --error-exitcode=1 \
                -I mod_taskevents mod_taskevents || rc=1
        exit "$rc"
    )
}

# What the module is compiled with; relative, so that it is the same everywhere.
lint_flags() {
    printf '%s\n' 'include Makefile' 'lint-flags:' \
        '	@echo -std=gnu11 $(WARN_CFLAGS) $(DEFS) -I../build-gcc $(HTTPD_CPPFLAGS) $(AM_CPPFLAGS)' |
        make -C "$WORK/build-gcc" -s -f - lint-flags
}

# lint_unless_clean COMMAND... <WHAT-IT-SEES
lint_unless_clean() {
    local clean
    clean=$LINT_CLEAN/$({ printf '%s\n' "$LINT_TOOLS" "$*" && cat; } |
        sha256sum | cut -d ' ' -f 1)
    if [[ -e $clean ]]; then
        touch "$clean"
    else
        "$@" && : >"$clean"
    fi
}

# With its comments: some of them speak to the tools. gcc's -O1, because without it
# less is seen.
# shellcheck disable=SC2086  # several words
lint_file() { # FILE
    local rc=0
    gcc $LINT_FLAGS -E -CC "$1" |
        lint_unless_clean gcc $LINT_FLAGS -O1 -fanalyzer -c -o /dev/null "$1" || rc=1
    clang $LINT_FLAGS -E -CC "$1" |
        lint_unless_clean clang-tidy --quiet "$1" -- $LINT_FLAGS 2> >(grep -v ' generated\.$' >&2) || rc=1
    return "$rc"
}

# ---- threads, memory -----------------------------------------------------------

# What threads do to each other, by ThreadSanitizer: the unit tests that have threads
# (pool, group commit, chores, metrics, the drain), and, in the long form, the API's
# tests and the real stack with an httpd that has its library before it.
suite_tsan() {
    local build="$WORK/build-tsan" wants rc=0
    local TSAN_PRELOAD TSAN_REPORTS="$TEST/tsan-reports"
    logged_build "$build" CC=gcc CFLAGS='-O1 -g' --enable-sanitize=thread
    plain_db tsan
    wants="suppressions='$ROOT/t/unit/tsan.supp' die_after_fork=0 exitcode=66"
    # no leaks: the tests' own HTTP server does not wait for its threads
    TASKEVENTS_TEST_DSN+=' connect_timeout=60' TSAN_OPTIONS="$wants report_thread_leaks=0" CK_TIMEOUT_MULTIPLIER=10 \
        make -C "$build" -s -j2 check || unit_failed "$build" || return
    [[ -n $TSAN_LONG ]] || return 0
    plain_db tsan_api
    tsan_preload "$build" || return
    rm -rf "$TSAN_REPORTS" && mkdir -p "$TSAN_REPORTS" && give "$TSAN_REPORTS"
    wants+=" log_path='$TSAN_REPORTS/report'"
    API_TESTS=$TSAN_API_TESTS api_tests "$build" "TSAN_OPTIONS=$wants" "TASKEVENTS_TEST_PRELOAD=$TSAN_PRELOAD" ||
        rc=1
    tsan_stack "$build" "$wants" || rc=1
    tsan_reports || rc=1
    return "$rc"
}

# Sets TSAN_PRELOAD to what httpd has to have before it, and sees that it works.
tsan_preload() { # BUILD
    local atomics="$1/tsan_atomics.so" told
    # shellcheck disable=SC2046  # several words
    gcc -shared -fPIC -O1 -g -fsanitize=thread $(apr-1-config --cppflags --includes) \
        -o "$atomics" "$ROOT/t/tsan/atomics.c" || return
    TSAN_PRELOAD="$(gcc -print-file-name=libtsan.so):$atomics"
    told=$(LD_PRELOAD=$TSAN_PRELOAD TASKEVENTS_TSAN_PLANTED=1 "$(httpd_program)" -v 2>&1) || true
    [[ $told == *'WARNING: ThreadSanitizer: data race'* ]] ||
        die "ThreadSanitizer does not see a race in httpd: $told"
}

# The real stack, with the module and an httpd under ThreadSanitizer.
tsan_stack() { # BUILD OPTIONS
    local build=$1
    RUN="$TEST/tsan"
    [[ ! -d $RUN/pid ]] || parts_down
    rm -rf "$RUN"
    mkdir -p "$RUN/httpd" "$RUN/log"
    printf '%s\n' "LD_PRELOAD=$TSAN_PRELOAD" "TSAN_OPTIONS=$2" >"$RUN/httpd/environment"
    (
        build_module() { :; }
        built_module() { find "$build" -path '*/.libs/mod_taskevents.so' -print -quit; }
        cmd_up --dapr
    ) >"$RUN/log/up.log" 2>&1 || {
        tail -n 20 "$RUN/log/up.log" >&2
        return 1
    }
    (cd "$ROOT" && TASKEVENTS_RUN="$RUN" timeout --foreground 1200 \
        prove --timer --norc t/tsan/*.t) || return
    parts_down
}

# Whether there are none; of several of a kind one is shown. One that names nothing of the
# module, whose functions all tell ThreadSanitizer when they begin, is of httpd with itself:
# shown, and no failure.
tsan_reports() {
    find "$TSAN_REPORTS" -type f -exec cat {} + | awk -v RS='==================\n' '
        /WARNING: ThreadSanitizer/ {
            match($0, /SUMMARY: [^\n]*/)
            kind = substr($0, RSTART, RLENGTH)
            if (!n[kind]++) print
            if (/mod_taskevents/) rc = 1
        }
        END {
            for (kind in n) printf "%d times: %s\n", n[kind], kind
            exit rc
        }' >&2
}

# memcheck over the unit tests, and over an httpd that some of the API's tests talk to.
# Only of the long list: it takes some 20 times the time.
suite_valgrind() {
    local dir="$TEST/valgrind" log rc=0
    strict_build gcc
    plain_db valgrind
    TASKEVENTS_TEST_DSN+=' connect_timeout=60' make -C "$WORK/build-gcc" -s check-valgrind || unit_failed "$WORK/build-gcc" || rc=1
    rm -rf "$dir" && mkdir -p "$dir" && give "$dir"
    plain_db valgrind_api
    # leaks are the unit tests' business: what pools leave at exit is none
    API_TESTS=$VALGRIND_API_TESTS api_tests "$WORK/build-gcc" \
        "TASKEVENTS_TEST_UNDER=valgrind --quiet --trace-children=no --leak-check=no --log-file=$dir/%p --suppressions=$ROOT/t/unit/valgrind.supp" ||
        rc=1
    for log in "$dir"/*; do
        [[ ! -s $log ]] || { cat "$log" >&2 && rc=1; }
    done
    return "$rc"
}

# A login costs both sides 4096 rounds of hashing, and OpenSSL and Kerberos have to be set
# up before; under valgrind, or ThreadSanitizer on a busy machine, ten at a time take
# longer than the 2 s that a connect may. So here is one without these.
plain_db() { # NAME
    local line="host $1 all 127.0.0.1/32 trust" hba
    test_db "$1"
    db_migrate "$1"
    hba="$RUN/pg/pg_hba.conf"
    TASKEVENTS_TEST_DSN+=' sslmode=disable gssencmode=disable'
    grep -qxF "$line" "$hba" || sed -i "1i $line" "$hba"
    db_admin -d postgres -c 'SELECT pg_reload_conf()' >/dev/null
}

# What stands for the routes where each test takes many times its time.
VALGRIND_API_TESTS='10-create 21-list 31-patch 33-delete 35-idempotency 82-openapi
    83-metrics dapr/20-delivery dapr/25-jobs dapr/30-malformed away/10-database'
TSAN_API_TESTS='10-create 31-patch 35-idempotency 63-group-commit 83-metrics 90-restart
    dapr/20-delivery dapr/25-bulk dapr/40-transport-down dapr/52-status-page away/10-database'

# ---- coverage ------------------------------------------------------------------

# Which lines and branches of mod_taskevents/ the unit tests and the API's tests reach,
# as the build of `sanitize` counts it: in a run of everything that is done already.
# What none of them reaches has its reason in t/coverage/reasons.
suite_coverage() {
    local tell=()
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
    elif [[ -z ${TASKEVENTS_TEST_LONG:-} ]]; then
        tell=(--tell)
    fi
    "$ROOT/t/coverage/report" "${tell[@]}" "$WORK/build-asan"
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
