# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# A private PostgreSQL cluster and the schema in it.

# db_dsn [NAME]: how libpq reaches a database of the instance.
db_dsn() {
    printf "host=%s port=%s dbname=%s user=taskevents passfile='%s'\n" \
        "$(address hub)" "$(port postgres)" "${1:-taskevents}" "$RUN/pgpass"
}

# The cluster's own administrator; SQL as arguments or on standard input.
db_admin() {
    PGPASSFILE="$RUN/pgpass" psql -XqAt -v ON_ERROR_STOP=1 -h "$(address hub)" \
        -p "$(port postgres)" -U postgres "$@"
}

db_init() {
    local AS
    [[ -f $RUN/pg/PG_VERSION ]] && return 0
    rm -rf "$RUN/pg" # half made, if there
    mkdir -m 700 "$RUN/pg"
    give "$RUN/pg"
    db_passwords
    as_service
    "${AS[@]}" "$PGBIN/initdb" -D "$RUN/pg" -U postgres --pwfile="$RUN/secrets/pg-admin" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync \
        >"$RUN/log/initdb.log" 2>&1 || {
        tail -n 15 "$RUN/log/initdb.log" >&2
        die "could not make the database cluster"
    }
    [[ $(address hub) == 127.0.0.1 ]] ||
        echo 'host all all samenet scram-sha-256' >>"$RUN/pg/pg_hba.conf"
}

db_passwords() {
    (
        umask 077
        printf '%s:*:*:%s:%s\n' "$(address hub)" postgres "$(secret pg-admin)" \
            "$(address hub)" taskevents "$(secret pg-taskevents)" >"$RUN/pgpass"
    )
    give "$RUN/pgpass"
}

postgres_configure() {
    db_init
    remove_stale "$RUN/pg/postmaster.pid"
    cat >"$RUN/conf/postgresql.conf" <<EOF
listen_addresses = '$(address hub)'
port = $(port postgres)
unix_socket_directories = ''
max_connections = 200
password_encryption = 'scram-sha-256'
log_line_prefix = '%m [%p] %q%u@%d '
${POSTGRES_EXTRA:-}
EOF
    local AS
    as_service
    CMD=("${AS[@]}" "$PGBIN/postgres" -D "$RUN/pg" -c "config_file=$RUN/conf/postgresql.conf")
    CONF=("$RUN/conf/postgresql.conf")
}

postgres_ready() {
    "$PGBIN/pg_isready" -q -h "$(address hub)" -p "$(port postgres)" -t 2
}

# Fast: open sessions are ended, nothing is lost.
postgres_stop_signal() { echo INT; }

# db_create NAME: the role's own, if it is not there.
db_create() {
    db_admin -d postgres <<EOF
SELECT format('CREATE ROLE taskevents LOGIN PASSWORD %L', '$(secret pg-taskevents)')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'taskevents') \gexec
SELECT 'CREATE DATABASE $1 OWNER taskevents'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '$1') \gexec
EOF
}

# db_service_role NAME: a role of its own for httpd, without DDL; prints how
# libpq reaches the database as that.
db_service_role() {
    grep -q ':taskevents_httpd:' "$RUN/pgpass" ||
        printf '%s:*:*:taskevents_httpd:%s\n' "$(address hub)" "$(secret pg-taskevents)" >>"$RUN/pgpass"
    db_admin -d "$1" -v owner=taskevents -v role=taskevents_httpd \
        -f "$ROOT/conf/postgresql-role.sql" >/dev/null
    db_admin -d "$1" -c "ALTER ROLE taskevents_httpd PASSWORD '$(secret pg-taskevents)'" >/dev/null
    db_dsn "$1" | sed 's/ user=taskevents / user=taskevents_httpd /'
}

db_recreate() { # NAME
    db_admin -d postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)"
    db_create "$1"
}

# db_migrate NAME: brings the schema up to date and checks it.
db_migrate() {
    local log="$RUN/log/sqitch.log" name=$1
    [[ -f $ROOT/migrations/sqitch.plan ]] || die "no migrations/sqitch.plan"
    # sqitch has to know who deploys
    SQITCH_FULLNAME='./dev' SQITCH_EMAIL='dev@localhost' PGPASSFILE="$RUN/pgpass" \
        sqitch deploy --chdir "$ROOT/migrations" --verify \
        "db:pg://taskevents@$(address hub):$(port postgres)/$name" \
        </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "the migrations failed"
    }
}

postgres_bring_up() {
    part_up postgres
    db_create taskevents
    db_migrate taskevents
}
