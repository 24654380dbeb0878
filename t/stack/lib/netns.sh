# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# An instance that is several machines: each node (httpd and its sidecar) in a
# network namespace of its own, what they share in that of the tests, the hub.
#
# The namespaces have no names and so leave none behind: they are gone with
# their last process. A node's own is held by a process that sleeps, the parts
# `net` and `net2`; $RUN/addresses says who has which address. Without that
# file all are one machine, on loopback.

# address WHAT: of the hub, of node (the first) or of node2.
address() {
    local found
    found=$(sed -n "s/^$1=//p" "$RUN/addresses" 2>/dev/null) || true
    printf '%s\n' "${found:-127.0.0.1}"
}

# in_node '' or 2: sets IN to the words that put before a command run it there.
in_node() {
    local pid
    IN=()
    [[ -s $RUN/addresses ]] || return 0
    pid=$(part_pid "net$1") || die "node ${1:-1} has no network"
    IN=(nsenter "--net=/proc/$pid/ns/net" --)
}

# Sets NEW_NETWORK to the words that run a command in a new namespace, as one
# who may make more of them there. Who is not root needs a kernel that lets
# users have namespaces.
new_network() {
    NEW_NETWORK=(unshare --net --)
    ((EUID == 0)) || NEW_NETWORK=(unshare --user --map-current-user --keep-caps --net --)
}

# Can there be a network like ours here? Says what cannot.
networks_possible() {
    local NEW_NETWORK
    new_network
    "${NEW_NETWORK[@]}" bash -c '
        set -e
        ip link set lo up
        ip link add bridge0 type bridge
        ip link add end0 type veth peer name end1
        ip link set end0 master bridge0
        nft "add table inet cut; add chain inet cut in { type filter hook input priority 0; };
            add rule inet cut in ip saddr 192.0.2.1 tcp dport 1 counter drop"
        unshare --net true' 2>&1 >/dev/null
}

# In the hub, once: its bridge, and two nodes at it.
networks_make() {
    local n
    ip link set lo up
    ip link add bridge0 type bridge
    ip address add 10.0.0.1/24 dev bridge0
    ip link set bridge0 up
    printf 'hub=10.0.0.1\nnode=10.0.0.11\nnode2=10.0.0.12\n' >"$RUN/addresses"
    for n in '' 2; do
        unshare --net sleep infinity </dev/null >/dev/null 2>&1 9>&- &
        record_process "net$n" "$!" -
        disown "$!"
        wait_for 10 network_is_own "$!" || die "no network for node ${n:-1}"
        network_join "$n"
    done
}

network_is_own() { # PID
    [[ $(readlink "/proc/$1/ns/net") != "$(readlink /proc/self/ns/net)" ]]
}

network_join() { # '' or 2, of the node
    local IN
    in_node "$1"
    ip link add "node$1" type veth peer name eth0 netns "$(part_pid "net$1")"
    ip link set "node$1" master bridge0 up
    "${IN[@]}" ip link set lo up
    "${IN[@]}" ip address add "$(address "node$1")/24" dev eth0
    "${IN[@]}" ip link set eth0 up
}
