# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# Starting, stopping and watching the parts of an instance.
#
# A part NAME brings these functions:
#   NAME_configure  writes its configuration and sets CMD (the command),
#                   PART_ENV (words of its environment) and CONF (files that
#                   ask for a restart if they changed)
#   NAME_ready      succeeds when it does its work; bounded
# and may bring: NAME_stop_signal (else TERM), NAME_reload (for `restart`).

PARTS=(postgres kafka scheduler httpd daprd)

# The names under which a part's ports are recorded; the first is its main one.
part_ports() {
    case $1 in
    httpd) echo httpd sidecar ;;
    httpd2) echo httpd2 sidecar2 ;;
    kafka) echo kafka kafka-controller ;;
    scheduler) echo scheduler scheduler-{health,metrics,etcd,peer} ;;
    daprd) echo dapr-{http,grpc,internal,metrics} ;;
    daprd2) echo dapr2-{http,grpc,internal,metrics} ;;
    *) echo "$1" ;;
    esac
}

# All of them at once and only here: the parts are told each other's ports.
choose_ports() {
    local name
    for name in "${PARTS[@]}"; do
        # shellcheck disable=SC2046  # a list of words
        part_running "$name" || ports $(part_ports "$name")
    done
}

# ---- processes, by id and start time ---------------------------------------

# The start time tells a process from a later one with the same id.
start_time() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    cut -d ' ' -f 20 <<<"$stat"
}

process_state() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) }
    printf '%s\n' "${stat%% *}"
}

record_process() { # NAME PID MARK
    printf '%s %s %s\n' "$2" "$(start_time "$2")" "$3" >"$RUN/pid/$1"
}

# The id of the part's process, if it is that process and not a zombie.
part_pid() {
    local pid started mark
    { read -r pid started mark <"$RUN/pid/$1"; } 2>/dev/null || return 1
    [[ $(start_time "$pid") == "$started" ]] || return 1
    [[ $(process_state "$pid") != Z ]] || return 1
    printf '%s\n' "$pid"
}

part_running() { part_pid "$1" >/dev/null; }
part_gone() { ! part_running "$1"; }

# A pid file that a killed server left; also while its process is still waited
# for, when the server itself would take it for alive.
remove_stale() { # FILE
    local pid
    { read -r pid <"$1"; } 2>/dev/null || return 0
    case $(process_state "$pid" || true) in
    '' | Z) rm -f "$1" ;;
    esac
}

part_mark() { cut -d ' ' -f 3 "$RUN/pid/$1" 2>/dev/null; }

# A process and its descendants, parents first.
tree_of() {
    local child
    printf '%s\n' "$1"
    for child in $(pgrep -P "$1"); do
        tree_of "$child"
    done
}

# PostgreSQL's children lead sessions of their own, so a process group would
# not do. The root is stopped first: then it cannot fork while we look.
signal_tree() { # SIGNAL PID
    local pids
    kill -STOP "$2" 2>/dev/null || return 0
    mapfile -t pids < <(tree_of "$2")
    kill "-$1" "${pids[@]}" 2>/dev/null || true
}

# ---- one part --------------------------------------------------------------

part_function() { declare -F "$1_$2" >/dev/null; }

fingerprint() {
    { printf '%s\0' "${CMD[@]}" "${PART_ENV[@]}" && cat "${CONF[@]}" </dev/null; } |
        sha256sum | cut -c 1-16
}

# Runs it, or leaves it running when it already runs just so.
part_up() {
    local name=$1 mark CMD=() CONF=() PART_ENV=("TASKEVENTS_PART=$1")
    "${name}_configure"
    mark=$(fingerprint)
    if part_running "$name"; then
        [[ $(part_state "$name") != paused ]] || part_resume "$name"
        # On a busy machine one that runs may answer late; one that never does is
        # begun anew.
        if [[ $(part_mark "$name") == "$mark" ]]; then
            if wait_for 30 part_settled "$name" && part_running "$name"; then
                say "$(printf '%-10s already running' "$name")"
                return 0
            fi
            say "$name runs and does not answer: started anew"
        fi
        part_stop "$name"
    fi
    part_spawn "$name" "$mark"
    part_await "$name"
}

part_spawn() { # NAME MARK; uses CMD and PART_ENV
    printf -- '---- started %s\n' "$(date -u +%FT%TZ)" >>"$RUN/log/$1.log"
    give "$RUN/log/$1.log" # httpd opens it again by itself
    # Not a job of this shell and without its lock (9).
    (export "${PART_ENV[@]}" && exec setsid "${CMD[@]}") </dev/null >>"$RUN/log/$1.log" 2>&1 9>&- &
    record_process "$1" "$!" "$2"
    disown "$!"
}

part_await() {
    local name=$1
    # long, for a busy machine: one that dies is seen at once
    if wait_for 180 part_settled "$name" && part_running "$name"; then
        say "$(printf '%-10s ready' "$name")"
        return 0
    fi
    say "$name did not get ready; the end of $RUN/log/$name.log:"
    tail -n 15 "$RUN/log/$name.log" >&2
    exit 1
}

part_settled() { part_gone "$1" || "$1_ready"; }

part_stop() {
    local name=$1 pid signal=TERM
    if pid=$(part_pid "$name"); then
        part_function "$name" stop_signal && signal=$("${name}_stop_signal")
        kill "-$signal" "$pid"
        [[ $(process_state "$pid") != T ]] || signal_tree CONT "$pid"
        if ! wait_for 20 part_gone "$name"; then
            say "$name did not stop in 20 s: killed"
            part_kill "$name"
        fi
    fi
    rm -f "$RUN/pid/$name"
}

# Leaves the record, so that `status` tells that it ended without being told to.
part_kill() {
    local pid
    pid=$(part_pid "$1") || return 0
    signal_tree KILL "$pid"
    wait_for 10 part_gone "$1" || die "$1 does not go away"
}

part_pause() {
    local pid
    pid=$(part_pid "$1") || die "$1 is not running"
    signal_tree STOP "$pid"
}

part_resume() {
    local pid
    pid=$(part_pid "$1") || die "$1 is not running"
    signal_tree CONT "$pid"
}

part_restart() {
    if part_function "$1" reload && part_running "$1"; then
        "$1_reload"
    else
        part_stop "$1"
        part_up "$1"
    fi
}

part_state() {
    local pid
    if pid=$(part_pid "$1"); then
        [[ $(process_state "$pid") == T ]] && echo paused || echo running
    elif [[ -e $RUN/pid/$1 ]]; then
        echo died
    else
        echo stopped
    fi
}

# ---- all of them -----------------------------------------------------------

parts_down() {
    local name
    for name in daprd2 httpd2 daprd httpd scheduler kafka postgres net2 net; do
        part_stop "$name"
    done
}

parts_status() {
    local name main
    for name in "${PARTS[@]}" "${NODE2[@]}"; do
        [[ " ${NODE2[*]} " != *" $name "* || -e $RUN/pid/$name ]] || continue
        read -r main _ < <(part_ports "$name")
        printf '%-10s %-8s pid %-8s port %s\n' "$name" "$(part_state "$name")" \
            "$(part_pid "$name" || echo -)" "$(port "$main" | grep . || echo -)"
    done
}
