# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# What every part of the stack shares: words, who runs it, secrets, templates.
#
# An instance is a directory ($RUN): its data, ports, secrets, logs and process
# ids. The checkout's own is .run; the end-to-end tests have one below it.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "dev: $*"
    exit 1
}

# wait_for SECONDS COMMAND...: polls until the command succeeds.
wait_for() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# The template on standard output, each @NAME@ replaced by the variable NAME.
render() {
    local text name
    text=$(<"$1")
    while [[ $text =~ @([A-Z_]+)@ ]]; do
        name=${BASH_REMATCH[1]}
        text=${text//"@$name@"/"${!name}"}
    done
    printf '%s\n' "$text"
}

# ---- who runs it -----------------------------------------------------------

# PostgreSQL refuses to run as root, and nothing else needs to.
service_user() {
    if ((EUID == 0)); then
        printf '%s\n' "${TASKEVENTS_USER:-nobody}"
    else
        id -un
    fi
}

drop_root() { # arguments for setpriv
    local user
    user=$(service_user)
    DROP=(setpriv "--reuid=$(id -u "$user")" "--regid=$(id -g "$user")"
        --clear-groups)
}

# Can the service user get to all of these paths?
reachable() {
    local path
    for path in "$@"; do
        "${DROP[@]}" test -r "$path" || return 1
    done
}

# Sets AS to the words that put before a command run it as the service user.
# A checkout below a directory closed to that user (root's home, a mktemp -d)
# works too: the user then keeps the right to search and read, not to write.
# (no_setuid_fixup: else access(2), which Java asks first, knows nothing of it.)
as_service() {
    local DROP
    AS=()
    ((EUID == 0)) || return 0
    drop_root
    AS=("${DROP[@]}")
    reachable "$RUN" "$@" ||
        AS+=(--securebits=+no_setuid_fixup "--inh-caps=-all,+dac_read_search"
            --ambient-caps=+dac_read_search)
    AS+=(env "HOME=$RUN/home" "USER=$(service_user)")
}

# give PATH...: these belong to the service user.
give() {
    ((EUID == 0)) || return 0
    chown -R "$(service_user):$(id -gn "$(service_user)")" "$@"
}

prepare_instance() {
    mkdir -p "$RUN"/{conf,home,log,pid,secrets,tmp}
    : >"$RUN/.taskevents"
    chmod 700 "$RUN/secrets"
    give "$RUN"/{home,log,secrets,tmp}
}

# One change of an instance at a time; services must not inherit the lock.
lock_instance() {
    mkdir -p "$RUN"
    exec 9>"$RUN/.lock"
    flock -w 300 9 || die "another ./dev is at work on $RUN"
}

# ---- secrets ---------------------------------------------------------------

# secret NAME: made once, then the same for the life of the instance.
secret() {
    local file="$RUN/secrets/$1"
    if [[ ! -s $file ]]; then
        (umask 077 && openssl rand -hex 32 >"$file")
        give "$file"
    fi
    cat "$file"
}

# ---- ports -----------------------------------------------------------------

port() { sed -n "s/^$1=//p" "$RUN/ports" 2>/dev/null; }

# port_busy PORT [ADDRESS]: a connect to this machine is answered at once,
# whichever way.
port_busy() { (: <"/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }

# Below the range that the kernel hands to outgoing connections. A port of another
# instance of this checkout is not free while that one's part is just not running.
free_port() {
    local try
    while :; do
        try=$((20000 + SRANDOM % 12000))
        grep -qs "=$try\$" "$RUN/ports" "$WORK/ports" "$WORK"/test/*/ports && continue
        port_busy "$try" || break
    done
    printf '%s\n' "$try"
}

# ports NAME...: each has a port; one that somebody else took is replaced.
# Only for parts that are not running.
ports() {
    local name now
    touch "$RUN/ports"
    for name in "$@"; do
        now=$(port "$name")
        [[ -n $now ]] && ! port_busy "$now" && continue
        sed -i "/^$name=/d" "$RUN/ports"
        printf '%s=%s\n' "$name" "$(free_port)" >>"$RUN/ports"
    done
}
