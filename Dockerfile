# mod_taskevents in Debian's httpd:
#
#   docker build -t taskevents:0.1.0 .
#   docker build -t taskevents-migrations:0.1.0 --target migrations .
#
# docs/kubernetes.md has the variables of its environment. `./dev test k8s
# --long` runs these very commands in a clean Debian tree.

# ---- the module, from the source ----------------------------------------------
FROM debian:12.12-slim AS build

# Debian's own versions of the release above; a pinned one would be gone from
# the archive with the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        apache2-dev autoconf automake gcc libc6-dev libcurl4-openssl-dev libjansson-dev \
        libpq-dev libssl-dev libtool libunistring-dev make pkg-config uuid-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY configure.ac Makefile.am ./
COPY mod_taskevents mod_taskevents/
RUN autoreconf -fi \
    && ./configure --quiet CFLAGS='-O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2' \
    && make -s -j"$(nproc)" \
    && install -D -m 644 .libs/mod_taskevents.so /out/mod_taskevents.so

# ---- the migrations -------------------------------------------------------------
FROM debian:12.12-slim AS migrations

# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libdbd-pg-perl postgresql-client sqitch \
    && rm -rf /var/lib/apt/lists/*

COPY migrations /usr/share/taskevents/migrations/
WORKDIR /usr/share/taskevents/migrations
# sqitch has to know who deploys.
ENV SQITCH_FULLNAME="taskevents-migrations" \
    SQITCH_EMAIL="taskevents-migrations@localhost" \
    HOME=/tmp
USER 10001:10001
# PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD say where.
ENTRYPOINT ["sqitch"]
CMD ["deploy", "--verify", "db:pg:"]

# ---- httpd ----------------------------------------------------------------------
FROM debian:12.12-slim AS httpd

# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        apache2-bin ca-certificates libapache2-mod-auth-openidc libaprutil1-dbd-pgsql \
        libcurl4 libjansson4 libpq5 libunistring2 libuuid1 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 /run/taskevents

COPY --from=build /out/mod_taskevents.so /usr/lib/apache2/modules/
COPY docker/httpd-foreground /usr/local/bin/
COPY docker/httpd.conf docker/auth-jwks.conf docker/auth-shared-key.conf /etc/taskevents/

ENV TASKEVENTS_SERVER_NAME=taskevents \
    TASKEVENTS_TRANSPORT=dapr \
    TASKEVENTS_AUTH=jwks \
    TASKEVENTS_JWKS_URI=https://login.example.org/keys \
    TASKEVENTS_ISSUER=https://login.example.org \
    TASKEVENTS_AUDIENCE=taskevents

USER 10001:10001
EXPOSE 8080 8082
# Graceful: requests that have begun are ended.
STOPSIGNAL SIGWINCH
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]
CMD ["httpd-foreground"]
