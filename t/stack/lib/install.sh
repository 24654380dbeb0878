# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# Debian packages, and only those that are missing.

# To build and run the service.
PACKAGES_UP=(
    apache2-bin apache2-dev autoconf automake curl gcc git jq
    libapache2-mod-auth-openidc libaprutil1-dbd-pgsql libcurl4-openssl-dev
    libdbd-pg-perl libjansson-dev libpq-dev libssl-dev libtool libunistring-dev make openssl perl
    pkg-config procps rsync sqitch util-linux uuid-dev
)
# To test it.
PACKAGES_TEST=(
    check clang clang-tidy cppcheck debootstrap faketime iproute2 kcat nftables python3-venv python3-yaml
    libapache2-mod-perl2 libclang-rt-14-dev uidmap valgrind xz-utils
)

# To test its status page in a browser.
PACKAGES_BROWSER=(chromium chromium-driver python3)

missing_packages() {
    local name
    for name in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$name"
    done
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "installing packages needs root or sudo; missing:" "${missing[@]}"
    fi
}

# apt does not wait for another one, and suites run beside each other. What a package
# starts must not inherit the lock.
apt_get() { # ARGUMENT...
    mkdir -p "$CACHE"
    (
        flock 5
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@" 5>&-
    ) 5>"$CACHE/.apt-lock"
}

# The server package would otherwise make and start a cluster of the machine's.
PG_DROP_IN=/etc/postgresql-common/createcluster.d/taskevents-no-main.conf

hold_back_cluster() {
    as_root mkdir -p "${PG_DROP_IN%/*}"
    echo 'create_main_cluster = false' | as_root tee "$PG_DROP_IN" >/dev/null
}

# install_packages NAME...: what is missing of them, and a PostgreSQL server.
install_packages() {
    local missing
    command -v dpkg-query >/dev/null ||
        die "this needs Debian or Ubuntu; elsewhere, install by hand: $*"
    mapfile -t missing < <(missing_packages "$@")
    find_postgres || missing+=(postgresql)
    ((${#missing[@]})) || return 0

    say "installing: ${missing[*]}"
    [[ " ${missing[*]} " == *" postgresql "* ]] && hold_back_cluster
    mkdir -p "$RUN/log"
    if ! { apt_get update && apt_get install -y --no-install-recommends "${missing[@]}"; } \
        </dev/null >"$RUN/log/install.log" 2>&1; then
        as_root rm -f "$PG_DROP_IN"
        tail -n 15 "$RUN/log/install.log" >&2
        die "could not install the packages"
    fi
    as_root rm -f "$PG_DROP_IN"
    find_postgres || die "no PostgreSQL server of version 15 or later"
}

# Prometheus' own checker. The package of Debian that has it would start a
# Prometheus of the machine's: it is only unpacked.
promtool_program() {
    local found="$CACHE/prometheus/usr/bin/promtool" dir
    if command -v promtool; then
        return
    fi
    if [[ ! -x $found ]]; then
        say "getting promtool" >&2
        mkdir -p "$RUN/log" "$CACHE"
        dir=$(mktemp -d "$CACHE/.prometheus.XXXXXX")
        if ! { apt_get update && (cd "$dir" && apt-get download prometheus) &&
            dpkg-deb -x "$dir"/prometheus_*.deb "$dir/prometheus"; } </dev/null >"$RUN/log/promtool.log" 2>&1; then
            tail -n 15 "$RUN/log/promtool.log" >&2
            die "could not get promtool, of the Debian package prometheus"
        fi
        rm -rf "$CACHE/prometheus"
        mv "$dir/prometheus" "$CACHE/prometheus"
        rm -rf "$dir"
    fi
    # where the tests' user can reach it
    cp -u "$found" "$WORK/promtool"
    printf '%s\n' "$WORK/promtool"
}

# Sets PGBIN to the newest server's programs.
find_postgres() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    [[ -x $found ]] && PGBIN=${found%/initdb}
}
