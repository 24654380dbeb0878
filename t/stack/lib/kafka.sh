# shellcheck shell=bash
# shellcheck disable=SC2034  # what looks unused is read by the other parts
# One Kafka broker from Maven Central's jars, without a container.
#
# KAFKA_HOME names an installed Kafka to use instead of fetching the jars;
# TASKEVENTS_BROKERS a running one to use instead of starting any.

# The brokers of somebody else, if there are: remembered from `up --dapr`.
external_brokers() { cat "$RUN/brokers" 2>/dev/null; }

brokers() {
    external_brokers || printf '%s:%s\n' "$(address hub)" "$(port kafka)"
}

# What the environment says at `up --dapr`. Our own broker there is no news: it
# comes from `./dev env`.
note_brokers() {
    rm -f "$RUN/brokers"
    [[ -n ${TASKEVENTS_BROKERS:-} && $TASKEVENTS_BROKERS != "$(brokers)" ]] || return 0
    printf '%s\n' "$TASKEVENTS_BROKERS" >"$RUN/brokers"
}

kafka_jars() { # the directory; fetched if it is not there
    local pom="$ROOT/t/stack/kafka/pom.xml" dir
    if [[ -n ${KAFKA_HOME:-} ]]; then
        printf '%s\n' "$KAFKA_HOME/libs"
        return
    fi
    dir="$CACHE/kafka-$(sha256sum <"$pom" | cut -c 1-16)"
    [[ -d $dir ]] || fetch_kafka "$pom" "$dir" || return
    printf '%s\n' "$dir"
}

# By its full name: a prefix would have to be looked up first.
MAVEN_COPY=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies

fetch_kafka() { # POM DIR
    local tmp="$2.new.$$" log="$RUN/log/kafka-fetch.log"
    say "fetching Kafka (once for this machine)"
    mkdir -p "$tmp"
    cp "$1" "$tmp/pom.xml"
    if ! (cd "$tmp" && mvn -q -B -ntp "$MAVEN_COPY" \
        -DincludeScope=runtime -DoutputDirectory=libs) >"$log" 2>&1; then
        rm -rf "$tmp"
        tail -n 15 "$log" >&2
        die "could not fetch Kafka"
    fi
    mv -T "$tmp/libs" "$2" 2>/dev/null || [[ -d $2 ]] # another was first
    rm -rf "$tmp"
}

# Sets JAVA to the command that runs one of Kafka's main classes.
kafka_java() { # HEAP
    local jars AS
    jars=$(kafka_jars)
    as_service "$jars"
    JAVA=("${AS[@]}" java "-Xmx$1" -XX:+UseSerialGC -XX:TieredStopAtLevel=1
        -Dorg.slf4j.simpleLogger.showDateTime=true
        "-Djava.io.tmpdir=$RUN/tmp" -cp "$jars/*")
}

kafka_configure() {
    local BROKER BROKER_PORT CONTROLLER_PORT JAVA
    BROKER=$(address hub)
    BROKER_PORT=$(port kafka)
    CONTROLLER_PORT=$(port kafka-controller)
    render "$ROOT/t/stack/kafka/server.properties.in" >"$RUN/conf/kafka.properties"
    kafka_java 512m
    kafka_format
    CMD=("${JAVA[@]}" kafka.Kafka "$RUN/conf/kafka.properties")
    CONF=("$RUN/conf/kafka.properties")
}

kafka_format() {
    local id
    [[ -f $RUN/kafka/meta.properties ]] && return 0
    mkdir -p "$RUN/kafka"
    give "$RUN/kafka"
    id=$(openssl rand 16 | base64url)       # one in 64 begins with a dash
    "${JAVA[@]}" kafka.tools.StorageTool format "--cluster-id=$id" \
        -c "$RUN/conf/kafka.properties" >"$RUN/log/kafka-format.log" 2>&1 || {
        tail -n 15 "$RUN/log/kafka-format.log" >&2
        die "could not format Kafka's storage"
    }
}

# A connect first: it is answered at once, where a Kafka client tries for long.
kafka_ready() {
    port_busy "$(port kafka)" "$(address hub)" &&
        timeout 3 kcat -L -m 2 -b "$(brokers)" >/dev/null 2>&1
}

kafka_topic() { # NAME PARTITIONS RETENTION-DAYS
    local JAVA
    kafka_java 128m
    "${JAVA[@]}" org.apache.kafka.tools.TopicCommand \
        --bootstrap-server "$(brokers)" --create --if-not-exists \
        --topic "$1" --partitions "$2" --replication-factor 1 \
        --config "retention.ms=$(($3 * 86400000))"
}

kafka_has_topics() {
    local have name
    have=$(timeout 10 kcat -L -J -m 5 -b "$(brokers)" 2>/dev/null |
        jq -r '.topics[].topic') || return 1
    for name in tasks reminders tasks-dlq; do
        grep -qx "$name" <<<"$have" || return 1
    done
}

# Before the sidecar starts: it would subscribe to what is not there.
kafka_topics() {
    local log="$RUN/log/kafka-topics.log" jobs=()
    kafka_has_topics && return 0
    kafka_topic tasks 3 7 >"$log" 2>&1 & jobs+=("$!")
    kafka_topic reminders 3 7 >>"$log" 2>&1 & jobs+=("$!")
    kafka_topic tasks-dlq 1 30 >>"$log" 2>&1 & jobs+=("$!")
    wait "${jobs[@]}"
    wait_for 30 kafka_has_topics || {
        tail -n 15 "$log" >&2
        die "could not make the topics"
    }
}

kafka_bring_up() {
    if external_brokers >/dev/null; then
        part_stop kafka
    else
        part_up kafka
    fi
    kafka_topics
}
