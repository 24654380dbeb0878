# shellcheck shell=bash
# A second httpd with a sidecar of its own, on the same database and in the same
# consumer group: for tests that let it join and leave.

NODE2=(httpd2 daprd2)

# They are told each other's ports.
node2_ports() {
    # shellcheck disable=SC2046  # a list of words
    part_running httpd2 || part_running daprd2 ||
        ports $(part_ports httpd2) $(part_ports daprd2)
}

httpd2_configure() {
    node2_ports
    httpd_configure_as httpd2 2
}

httpd2_ready() { httpd_ready_as 2; }

daprd2_configure() {
    node2_ports
    daprd_configure_as 2
}

daprd2_ready() { daprd_ready_as 2; }
