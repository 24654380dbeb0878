# shellcheck shell=bash
# What t/k8s tests with: kustomize, Dapr's CRDs and its injector, pod security
# admission, a reader of Compose files, the schemas of Strimzi's resources. Made
# once for this machine.

k8s_programs() { # the directory they are in; built if it is not there
    local src="$ROOT/t/k8s/tools" dir
    dir="$CACHE/k8s-$(cd "$src" && find . -type f | sort | xargs sha256sum |
        sha256sum | cut -c 1-16)"
    [[ -d $dir ]] || build_k8s_programs "$src" "$dir" || return
    printf '%s\n' "$dir"
}

# As build_dapr; the CRDs are those of the module's chart.
build_k8s_programs() { # SOURCE DIR
    local tmp="$2.new.$$" log="$WORK/log/k8s-build.log"
    say "building the tools of t/k8s (once for this machine: some minutes)"
    mkdir -p "$tmp"
    cp -R "$1" "$tmp/src"
    if ! (cd "$tmp/src" && export GOTOOLCHAIN=auto GOFLAGS=-mod=mod GOCACHE="$CACHE/go-build" &&
        nice go build -trimpath -ldflags '-s -w' -o "$tmp/" ./cmd/... \
            sigs.k8s.io/kustomize/kustomize/v5 &&
        cp -R "$(go list -m -f '{{.Dir}}' github.com/dapr/dapr)/charts/dapr/crds" "$tmp/" &&
        chmod -R u+w "$tmp/crds") >"$log" 2>&1; then
        rm -rf "$tmp"
        tail -n 15 "$log" >&2
        die "could not build the tools of t/k8s"
    fi
    rm -rf "$tmp/src"
    mv -T "$tmp" "$2" 2>/dev/null || rm -rf "$tmp" # another was first
}

strimzi_schemas() { # the file; made if it is not there
    local src="$ROOT/t/k8s/strimzi" file
    file="$CACHE/strimzi-$(cd "$src" && find . -type f | sort | xargs sha256sum |
        sha256sum | cut -c 1-16).json"
    [[ -s $file ]] || make_strimzi_schemas "$src" "$file" || return
    printf '%s\n' "$file"
}

make_strimzi_schemas() { # SOURCE FILE
    local tmp="$2.new.$$" log="$WORK/log/strimzi-schemas.log"
    say "reading Strimzi's classes (once for this machine)"
    mkdir -p "$tmp/classes"
    cp "$1/pom.xml" "$tmp/"
    if ! (cd "$tmp" && mvn -q -B -ntp "$MAVEN_COPY" -DincludeScope=runtime \
        -DoutputDirectory=libs &&
        javac -proc:none -cp 'libs/*' -d classes "$1"/*.java "$1"/annotations/*.java &&
        java -cp 'libs/*:classes' Schemas >schemas.json) >"$log" 2>&1; then
        rm -rf "$tmp"
        tail -n 15 "$log" >&2
        die "could not make the schemas of Strimzi's resources"
    fi
    mv "$tmp/schemas.json" "$2"
    rm -rf "$tmp"
}

# What is to run in a cluster or in containers, as far as it can be proven
# without one.
suite_k8s() {
    local python tools strimzi
    need_for_k8s
    python=$(python_with k8s "$ROOT/t/k8s/requirements.txt")
    tools=$(k8s_programs)
    strimzi=$(strimzi_schemas)
    export TASKEVENTS_K8S_TOOLS=$tools TASKEVENTS_STRIMZI_SCHEMAS=$strimzi
    TASKEVENTS_DAPR=$(dapr_programs) && export TASKEVENTS_DAPR
    (cd "$ROOT" && timeout --foreground 900 \
        prove --timer --norc --exec "$python" t/k8s/*.t) || return
    [[ -z $K8S_LONG ]] || image_test "$python"
}

# --long: the commands of the Dockerfile in a clean Debian, and what they make.
image_test() { # PYTHON
    local sockets
    ((EUID == 0)) || die "k8s --long needs root, for chroot and mounts"
    install_packages debootstrap iproute2
    own_namespaces || die "k8s --long needs namespaces (unshare --mount --pid --net)"
    tree plain -
    sockets=$(mktemp -d)
    give "$sockets"
    chmod 711 "$sockets"
    RUN="$TEST/db"
    POSTGRES_EXTRA="fsync = off
unix_socket_directories = '$sockets'
unix_socket_permissions = 0777"
    prepare_instance
    choose_ports
    part_up postgres
    db_recreate taskevents
    rm -rf "$TEST/image"
    mkdir -p "$TEST/image"
    (cd "$ROOT" && TASKEVENTS_CACHE=$CACHE TASKEVENTS_IMAGE_TREE=$TREE TASKEVENTS_IMAGE_WORK="$TEST/image" \
        TASKEVENTS_IMAGE_PG="$sockets $(port postgres) $(secret pg-taskevents)" \
        timeout --foreground 1800 prove --timer --norc --exec "$1" t/k8s/long/*.t) || return
    part_stop postgres
    rm -rf "$sockets" "$TEST/image"
}

need_for_k8s() {
    local packages=()
    go_is_enough || die "the suite k8s needs Go 1.21 or later"
    command -v mvn >/dev/null || packages+=(maven)
    command -v javac >/dev/null || packages+=(default-jdk-headless)
    ((!${#packages[@]})) || install_packages "${packages[@]}"
}
