# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# The module, built in copies below .run/: the source tree stays clean.

# Every file of the working tree that git would keep, NUL-separated.
source_files() {
    if [[ -e $ROOT/.git ]]; then
        # Also when root works in another user's checkout.
        git -c "safe.directory=$ROOT" -C "$ROOT" \
            ls-files -z --cached --others --exclude-standard
    else
        (cd "$ROOT" && find . -path ./.run -prune -o -type f -printf '%P\0')
    fi | sort -zu
}

# Brings .run/src up to date; times are kept, so that make sees what changed.
sync_source() {
    local list="$WORK/src.list"
    mkdir -p "$WORK/src"
    source_files >"$list.new"
    rsync -lptE --from0 --files-from="$list.new" --ignore-missing-args \
        "$ROOT/" "$WORK/src/"
    forget_deleted "$list"
    mv "$list.new" "$list"
}

# The same, while no build reads it.
locked_sync() {
    exec 8>"$WORK/.build-lock"
    flock 8
    sync_source 8>&-
    exec 8>&-
}

forget_deleted() { # files that were there the last time and are not now
    local file
    while IFS= read -r -d '' file; do
        [[ -e $ROOT/$file ]] || rm -f "$WORK/src/$file"
    done < <(sort -zu "$1" "$1.new" 2>/dev/null || cat "$1.new")
}

# autoreconf, when what it reads has changed.
bootstrap() {
    local now
    now=$(cd "$WORK/src" && sha256sum configure.ac Makefile.am)
    [[ -x $WORK/src/configure && $(cat "$WORK/src.boot" 2>/dev/null) == "$now" ]] &&
        return 0
    (cd "$WORK/src" && autoreconf -fi) || return
    printf '%s\n' "$now" >"$WORK/src.boot"
}

# build_in DIR CONFIGURE-ARGUMENT...: an incremental build there. DIR is beside
# src: configure takes no source path with a space in it, but ../src will do.
build_in() {
    local dir=$1
    shift
    mkdir -p "$dir"
    if [[ ! -f $dir/config.status || $(cat "$dir/.configured" 2>/dev/null) != "$*" ]]; then
        (cd "$dir" && ../src/configure --quiet "$@") || return
        printf '%s\n' "$*" >"$dir/.configured"
    fi
    make -C "$dir" -s -j"$(nproc)"
}

# logged_build DIR CONFIGURE-ARGUMENT...: the whole of it, quiet if it works.
logged_build() {
    local log="$WORK/log/${1##*/}.log" rc=0
    [[ -f $ROOT/configure.ac ]] || die "no configure.ac in $ROOT"
    mkdir -p "$WORK/log"
    exec 8>"$WORK/.build-lock"
    flock 8
    { sync_source && bootstrap && build_in "$@"; } >"$log" 2>&1 8>&- || rc=$?
    exec 8>&-
    ((rc == 0)) && return 0
    tail -n 30 "$log" >&2
    die "the build failed; all of it is in $log"
}

built_module() { # DIR
    find "$1" -path '*/.libs/mod_taskevents.so' -print -quit
}

build_module() {
    say "building the module"
    logged_build "$WORK/build"
}

# The instance runs a copy: a build that goes on does not touch a running one.
install_module() {
    local built new="$RUN/httpd/modules/mod_taskevents.so"
    built=$(built_module "$WORK/build")
    [[ -n $built ]] || die "the build made no mod_taskevents.so"
    mkdir -p "${new%/*}"
    cmp -s "$built" "$new" || { cp "$built" "$new.new" && mv "$new.new" "$new"; }
}
