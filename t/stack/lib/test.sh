# shellcheck shell=bash
# shellcheck disable=SC2034  # read by the other parts
# The suites of ./dev test.

SUITES=(build unit lint migrations events api docs browser k8s sanitize tsan valgrind coverage dist package
    upgrade stack soak faults nodes fuzz)
# All of them, in the order in which a failure is cheapest. The tests of the
# stack and of threads mostly wait, so those behind the bar run beside them. The tests of the
# API run once, with the sanitizers, and what both have covered is looked at.
WHOLE=(build 'unit stack|migrations events docs browser dist k8s package upgrade' sanitize api
    coverage soak)
# ./dev test all --long: all of them, in their long forms, and what is too long for a
# change to wait for.
LONG=("${WHOLE[@]}" lint faults nodes tsan valgrind fuzz)

TEST="$WORK/test"

cmd_test() {
    local steps=("${WHOLE[@]}") step rc=0
    FAULTS_MINUTES=3 FUZZ_MINUTES=2 K8S_LONG='' NODES_ROUNDS=1 TSAN_LONG='' WHOLE_RUN=1
    if [[ ${1:-} == all ]]; then
        [[ $# == 1 || "${*:2}" == --long ]] || die "all takes --long, or nothing"
        (($# == 1)) || long_run
        shift $#
    elif (($#)); then
        [[ " ${SUITES[*]} " == *" $1 "* ]] || die "test takes one of: ${SUITES[*]}"
        steps=("$1") WHOLE_RUN=''
        shift
    fi
    test_options "${steps[0]}" "$@"
    mkdir -p "$WORK/log" "$TEST"
    [[ ! "${steps[*]}" =~ (stack|soak|faults|nodes) && -z $TSAN_LONG ]] || need_for_dapr
    install_packages "${PACKAGES_UP[@]}" "${PACKAGES_TEST[@]}"

    exec 7>"$WORK/.test-lock"
    flock -n 7 || die "another ./dev test is running in this checkout"
    trap test_end EXIT
    : >"$WORK/summary"
    # Failures are looked at here: `set -e` would not hold in a condition.
    set +e
    for step in "${steps[@]}"; do
        run_step "$step"
        rc=$?
        ((rc == 0)) || break
    done
    set -e
    printf '\n'
    cat "$WORK/summary"
    return "$rc"
}

long_run() {
    steps=("${LONG[@]}")
    FAULTS_MINUTES=30 FUZZ_MINUTES=30 NODES_ROUNDS=10 K8S_LONG=1 TSAN_LONG=1
    export TASKEVENTS_TEST_LONG=1
}

# run_step 'SUITE...' or 'SUITE...|SUITE...': the second ones beside the first,
# what they print is shown at their end.
# shellcheck disable=SC2086  # a list of names
run_step() {
    local log="$WORK/log/beside.log" rc rc2
    if [[ $1 != *'|'* ]]; then
        run_suites $1
        return
    fi
    (
        trap - EXIT
        run_suites ${1#*|}
    ) >"$log" 2>&1 &
    run_suites ${1%|*}
    rc=$?
    wait "$!"
    rc2=$?
    cat "$log"
    return $((rc ? rc : rc2))
}

NOT_HERE=77     # of a suite that this machine cannot run

run_suites() { # NAME...
    local name began outcome rc=0
    for name in "$@"; do
        began=$SECONDS
        say "==== $name"
        (
            set -e
            trap - EXIT
            "suite_$name" 7>&-
        )
        rc=$?
        outcome=FAILED
        ((rc != 0)) || outcome=ok
        # asked for by its name, it has to run
        if ((rc == NOT_HERE)) && [[ -n $WHOLE_RUN ]]; then
            outcome="SKIPPED: this machine cannot run it" rc=0
        fi
        printf '%-11s %s (%d s)\n' "$name" "$outcome" $((SECONDS - began)) >>"$WORK/summary"
        ((rc == 0)) || break
    done
    return "$rc"
}

test_options() { # SUITE [OPTION...]
    (($# > 1)) || return 0
    case $* in
    'k8s --long') K8S_LONG=1 && return ;;
    'tsan --long') TSAN_LONG=1 && return ;;
    esac
    [[ $# == 3 && $1 =~ ^(soak|faults|fuzz)$ && $2 == --minutes && $3 =~ ^[0-9]{1,4}$ ]] ||
        die "options are: --minutes N of soak, faults and fuzz; --long of k8s and tsan"
    FAULTS_MINUTES=$3 FUZZ_MINUTES=$3
}

# Also after a failure or an interrupt.
test_end() {
    local rc=$?
    (
        set +e
        for RUN in "$TEST"/{db,unit,events,live,upgrade,stack,faults,nodes,tsan}; do
            [[ ! -d $RUN/pid ]] || parts_down
        done
    ) 2>/dev/null
    exit "$rc"
}

# ---- a database for tests --------------------------------------------------

# test_db NAME [CLUSTER]: an empty one, in a cluster of the tests' own; who runs beside
# others has one to itself. Sets TASKEVENTS_TEST_DSN.
test_db() {
    RUN="$TEST/${2:-db}"
    # What these tests prove does not hang on what a power cut leaves.
    POSTGRES_EXTRA='fsync = off'
    prepare_instance
    choose_ports
    part_up postgres
    db_recreate "$1"
    TASKEVENTS_TEST_DSN=$(db_dsn "$1")
    export TASKEVENTS_TEST_DSN PGPASSFILE="$RUN/pgpass"
}

# as_tester COMMAND...: in a copy of the source that the service user may write.
as_tester() {
    local AS dir="$TEST/tree"
    mkdir -p "$dir" "$TEST/home" "$TEST/tmp"
    rsync -a --delete --exclude '*~' "$WORK/src/" "$dir/"
    give "$dir" "$TEST/home" "$TEST/tmp"
    as_service "$WORK"
    (cd "$dir" && "${AS[@]}" env "HOME=$TEST/home" "TMPDIR=$TEST/tmp" "$@")
}

need_script() { [[ -x $ROOT/$1 ]] || die "$1 is missing"; }

# ---- suites ----------------------------------------------------------------

# gcc's also stops a process that passes a null pointer where none may be (see below).
strict_build() { # COMPILER
    local more=()
    [[ $1 != gcc ]] ||
        more=(CFLAGS='-O2 -g -fsanitize=nonnull-attribute -fsanitize-undefined-trap-on-error')
    logged_build "$WORK/build-$1" "CC=$1" --enable-werror "${more[@]}"
}

suite_build() {
    strict_build gcc
    strict_build clang
}

suite_unit() {
    strict_build gcc
    test_db unit unit
    db_migrate unit
    patient_check "$WORK/build-gcc"
}

# A machine that stands still for 2 s may not be what a test fails of, unless it says so.
patient_check() { # BUILD
    TASKEVENTS_TEST_DSN+=' connect_timeout=60' make -C "$1" -s -j2 check || unit_failed "$1"
}

unit_failed() { # DIR
    find "$1" -name test-suite.log -exec cat {} + >&2
    return 1
}

suite_migrations() {
    need_script t/migrations/run
    locked_sync
    test_db migrations
    as_tester t/migrations/run
}

# A stack of its own, whose sidecar is never there: the tests deliver the events
# themselves, in the orders that they want to see.
suite_events() {
    local python
    python=$(python_with events "$ROOT/t/events/requirements.txt")
    RUN="$TEST/events"
    [[ ! -d $RUN/pid ]] || parts_down
    rm -rf "$RUN"
    build_module
    POSTGRES_EXTRA='fsync = off'
    prepare_instance
    install_module
    printf 'dapr\n' >"$RUN/transport"
    choose_ports
    postgres_bring_up
    part_up httpd
    (cd "$ROOT" && TASKEVENTS_RUN="$RUN" TASKEVENTS_TEST_DSN=$(db_dsn) \
        PYTHONTZPATH=$(postgres_zones) timeout --foreground 1200 \
        prove --timer --norc --exec "$python" t/events/*.t) || return
    parts_down
}

# A stack of its own, which the tests migrate, and no sidecar.
suite_upgrade() {
    local UPGRADE_FROM='' UPGRADE_MODULE=''
    RUN="$TEST/upgrade"
    [[ ! -d $RUN/pid ]] || parts_down
    rm -rf "$RUN"
    build_module
    previous_build
    POSTGRES_EXTRA='fsync = off'
    prepare_instance
    install_module
    printf 'dapr\n' >"$RUN/transport"
    choose_ports
    part_up postgres
    db_create taskevents
    (cd "$ROOT" && TASKEVENTS_RUN="$RUN" TASKEVENTS_TEST_DSN=$(db_dsn) \
        TASKEVENTS_UPGRADE_FROM="$UPGRADE_FROM" TASKEVENTS_UPGRADE_MODULE="$UPGRADE_MODULE" \
        timeout --foreground 1800 prove --timer --norc -It/stack/lib -It/upgrade/lib t/upgrade/*.t) || return
    parts_down
}

# The build that is updated: of the commit that TASKEVENTS_UPGRADE_FROM names,
# else of the last release, if this checkout knows one.
previous_build() {
    local from git=(git -c "safe.directory=$ROOT" -C "$ROOT") dir="$WORK/previous"
    from=${TASKEVENTS_UPGRADE_FROM:-$("${git[@]}" describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null)} || true
    [[ -n $from ]] || return 0
    say "building $from"
    rm -rf "$dir"
    mkdir -p "$dir/src"
    "${git[@]}" archive "$from" | tar -x -C "$dir/src"
    (cd "$dir/src" && autoreconf -fi && cd .. && build_in "$dir" --quiet) >"$WORK/log/previous.log" 2>&1 || {
        tail -n 20 "$WORK/log/previous.log" >&2
        return 1
    }
    UPGRADE_FROM=$from UPGRADE_MODULE=$(built_module "$dir")
}

# Where PostgreSQL has its time zones: a second opinion should be on the rules,
# not on the year of the data.
postgres_zones() {
    local config="$PGBIN/pg_config" zones
    zones=$("$config" --configure | grep -o -- "--with-system-tzdata=[^']*") ||
        zones="=$("$config" --sharedir)/timezone"
    printf '%s\n' "${zones#*=}"
}

# API_TESTS: some of them, not all.
api_tests() { # BUILD [VARIABLE=VALUE...]
    local build=$1 roots="$TEST/api"
    shift
    mkdir -p "$roots"
    give "$roots"
    # shellcheck disable=SC2086  # a list of names
    as_tester env "TASKEVENTS_TEST_DIR=$roots" "TASKEVENTS_PROMTOOL=$(promtool_program)" \
        "$@" t/api/run "$build" ${API_TESTS:-}
}

suite_api() {
    need_script t/api/run
    test_db api
    db_migrate api
    TASKEVENTS_TEST_SERVICE_DSN=$(db_service_role api)
    export TASKEVENTS_TEST_SERVICE_DSN
    if [[ -n $WHOLE_RUN ]]; then
        sanitized_build
        sanitized_api
    else
        strict_build gcc
        api_tests "$WORK/build-gcc"
    fi
    live_service
    TASKEVENTS_URL=$(RUN="$TEST/live" httpd_url) \
        "$ROOT/t/openapi/run" env TASKEVENTS_RUN="$TEST/live" "$ROOT/dev" token
}

# A service as ./dev up makes it, of its own, for tests that talk to one.
live_service() {
    TASKEVENTS_RUN="$TEST/live" "$ROOT/dev" up >"$TEST/live.log" 2>&1 || {
        tail -n 20 "$TEST/live.log" >&2
        return 1
    }
}

suite_docs() {
    strict_build gcc
    live_service
    as_tester env "TASKEVENTS_URL=$(RUN="$TEST/live" httpd_url)" \
        "TASKEVENTS_TOKEN=$(TASKEVENTS_RUN="$TEST/live" "$ROOT/dev" token alice)" \
        "TASKEVENTS_STATUS_URL=$(RUN="$TEST/live" httpd_url)/taskevents-status" \
        "TASKEVENTS_DSN=$(RUN="$TEST/live" db_dsn)" \
        "TASKEVENTS_PROMTOOL=$(promtool_program)" \
        t/docs/run "$WORK/build-gcc"
}

# The status page in headless Chromium, Debian's or one whose chromedriver is on
# the PATH. TASKEVENTS_SCREENSHOTS=FOLDER keeps pictures of its pages.
suite_browser() {
    command -v chromedriver >/dev/null || install_packages "${PACKAGES_BROWSER[@]}"
    live_service
    TASKEVENTS_STATUS_URL="$(RUN="$TEST/live" httpd_url)/taskevents-status" \
        TASKEVENTS_DSN=$(RUN="$TEST/live" db_dsn) \
        timeout --foreground 900 python3 "$ROOT/t/browser/status.py"
}

# The same build counts which lines are reached. With -O0, for a line to be itself, and
# without the one check that would be counted as a branch of the source.
sanitized_build() {
    logged_build "$WORK/build-asan" CC=gcc LDFLAGS=--coverage \
        CFLAGS='-O0 -g --coverage -fprofile-update=atomic -fno-sanitize=nonnull-attribute' \
        --enable-sanitize=address,undefined
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
}

# httpd itself is not instrumented, so the library has to be there before it.
# What pools leave at exit is no leak; the unit tests look for those.
sanitized_api() {
    api_tests "$WORK/build-asan" ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 \
        "TASKEVENTS_TEST_PRELOAD=$(gcc -print-file-name=libasan.so)"
}

suite_sanitize() {
    need_script t/api/run
    sanitized_build
    coverage_begin
    sanitized_unit
    [[ -z $WHOLE_RUN ]] || return 0
    test_db sanitize
    db_migrate sanitize
    sanitized_api
}

sanitized_unit() {
    test_db unit
    db_migrate unit
    patient_check "$WORK/build-asan"
}

suite_dist() {
    logged_build "$WORK/build-dist"
    make -C "$WORK/build-dist" -s distcheck >"$WORK/log/distcheck.log" 2>&1 || {
        tail -n 30 "$WORK/log/distcheck.log" >&2
        return 1
    }
    tail -n 4 "$WORK/log/distcheck.log"
}

# The real thing: PostgreSQL, httpd, Kafka, the sidecar and its scheduler, in an
# instance of their own. A fresh one each time: some tests count.
suite_stack() {
    RUN="$TEST/stack"
    [[ ! -d $RUN/pid ]] || parts_down
    rm -rf "$RUN"
    (cd "$ROOT" && TASKEVENTS_RUN="$RUN" timeout --foreground 2400 \
        prove --timer --norc -It/stack/lib t/stack/*.t)
}

# The same under load with parts that die, stop and come back, as many as can be.
# TASKEVENTS_FAULTS_SEED repeats the faults of a run.
suite_faults() { under_load checker run; }

# The same undisturbed, through graceful restarts, and with faults and an eye on what
# httpd's processes take. A short one has fewer restarts.
suite_soak() {
    export TASKEVENTS_FAULTS_RESTARTS=${TASKEVENTS_FAULTS_RESTARTS:-$((FAULTS_MINUTES < 10 ? 50 : 200))}
    under_load checker watch quiet restarts soak
}

under_load() { # TEST...
    local tests=("${@/#/t/faults/}")
    tests=("${tests[@]/%/.t}")
    RUN="$TEST/faults"
    [[ ! -d $RUN/pid ]] || parts_down
    rm -rf "$RUN"
    install_packages python3
    (cd "$ROOT" && TASKEVENTS_RUN="$RUN" TASKEVENTS_FAULTS_MINUTES="$FAULTS_MINUTES" \
        timeout --foreground $((FAULTS_MINUTES * 60 + 1200)) \
        prove --timer --norc "${tests[@]}") || return
    RUN="$TEST/faults" parts_down
}

# Two nodes in network namespaces, and what lies between them and what they share.
# TASKEVENTS_NODES_SEED repeats the cuts of a run.
suite_nodes() {
    local NEW_NETWORK why
    RUN="$TEST/nodes"
    [[ ! -d $RUN/pid ]] || parts_down
    rm -rf "$RUN"
    if ! why=$(networks_possible); then
        say "THE TESTS OF TWO NODES DO NOT RUN: no network namespaces, veth, bridge or nftables here: $why"
        return "$NOT_HERE"
    fi
    # there is no way to fetch anything out of the hub
    prepare_instance
    install_for dapr
    kafka_jars >/dev/null
    dapr_programs >/dev/null
    build_module
    new_network
    (cd "$ROOT" && TASKEVENTS_RUN="$RUN" TASKEVENTS_NODES_ROUNDS="$NODES_ROUNDS" \
        timeout --foreground $((NODES_ROUNDS * 60 + 900)) \
        "${NEW_NETWORK[@]}" t/nodes/run t/nodes/*.t) || return
    parts_down
}
