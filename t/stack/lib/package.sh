# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# The packages, built and tried in systems of their own, each a tree that has
# only what it was told to have. They are made once, and then worked in through
# layers that are thrown away. t/package/ has what happens in there.

# Sets OWN: the words that make a command root in namespaces of its own, which
# end with it. An ordinary user needs a range of ids (/etc/subuid) for that.
own_namespaces() {
    local words=(unshare --mount --pid --fork --kill-child)
    if ((EUID != 0)); then
        words=(unshare --user --map-auto --map-root-user "${words[@]:1}")
    fi
    OWN=("${words[@]}")
    "${OWN[@]}" --net true 2>/dev/null
}

# tree NAME CONTROL PACKAGE...: sets TREE.
tree() {
    local name=$1 control=$2 suite key log="$WORK/log/tree-$1.log"
    shift 2
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    key=$({
        printf '%s\n' "$suite" "$EUID" "$@"
        cat "$ROOT/t/package/make-tree"
        [[ $control == - ]] || sed -n '/^Build-Depends/,/^[^ ]/p' "$control"
    } | sha256sum)
    TREE="$CACHE/tree-$name-${key:0:16}"
    mkdir -p "$CACHE"
    exec 6>"$CACHE/tree-$name.lock"
    flock 6
    if [[ ! -e $TREE/.made ]]; then
        say "making a system of $suite to $name packages in; this is done once"
        "${OWN[@]}" rm -rf "$TREE.new"
        "${OWN[@]}" "$ROOT/t/package/make-tree" "$suite" "$TREE.new" "$control" "$@" \
            </dev/null >"$log" 2>&1 6>&- || {
            tail -n 20 "$log" >&2
            die "the system could not be made; all of it is in $log"
        }
        mv "$TREE.new" "$TREE"
    fi
    exec 6>&-
}

in_tree() { # TREE WORK COMMAND...
    "${OWN[@]}" "$ROOT/t/package/in-tree" "$@"
}

# The same without the network of the machine: its ports are free.
in_tree_alone() {
    "${OWN[@]}" --net "$ROOT/t/package/in-tree" "$@"
}

# What the package's own test wants beside it, by name.
tested_with() {
    sed -n 's/^Depends: @, //p' "$ROOT/debian/tests/control" | tr -d ','
}

suite_package() {
    local work="$TEST/package" making trying
    if ! own_namespaces; then
        say "SKIPPED: no package was built or tried. It needs namespaces (unshare --mount --pid --net): be root, or have a range in /etc/subuid."
        return 0
    fi
    tree build "$ROOT/debian/control" build-essential lintian rpm rpmlint
    making=$TREE
    # shellcheck disable=SC2046  # a list of words
    tree try - $(tested_with)
    trying=$TREE

    logged_build "$WORK/build-dist"
    make -C "$WORK/build-dist" -s dist >"$WORK/log/dist.log" 2>&1 || {
        tail -n 20 "$WORK/log/dist.log" >&2
        return 1
    }
    "${OWN[@]}" rm -rf "$work"
    mkdir -p "$work"/{make,try}/build
    cp "$WORK"/build-dist/mod_taskevents-*.tar.gz "$ROOT/t/package/build" "$work/make/build/"
    in_tree "$making" "$work/make" /build/build || return

    cp "$work/make/build"/libapache2-mod-taskevents_*.deb "$ROOT"/t/package/{install,purge} \
        "$ROOT/debian/tests/serves" "$work/try/build/"
    in_tree "$trying" "$work/try" /build/install || return
    in_tree_alone "$trying" "$work/try" /build/serves || return
    in_tree_alone "$trying" "$work/try" /build/purge || return
    "${OWN[@]}" rm -rf "$work"
}
