#!/usr/bin/env bash
# Judges a broker with clients of other languages: `npm run test:clients`.
#
# WARREN_TEST_BROKER=host:port  a broker that runs already; without it Warren is started.
# WARREN_CLIENTS_DIR            where libraries and builds are kept (a folder under /tmp).
# Arguments name the clients to run; without any, all of them run.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=${WARREN_CLIENTS_DIR:-${TMPDIR:-/tmp}/warren-clients}
mkdir -p "$work"
broker_pid=
data_dir=

stop_broker() {
  if [ -n "$broker_pid" ]; then
    kill -TERM "$broker_pid" 2>/dev/null
    wait "$broker_pid" 2>/dev/null
  fi
  if [ -n "$data_dir" ]; then rm -rf "$data_dir"; fi
}
trap stop_broker EXIT

start_broker() {
  port=$(node -e "const s = require('node:net').createServer()
    s.listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close() })")
  data_dir=$(mktemp -d)
  node "$root/dist/core/main.js" start --data-dir "$data_dir" \
    --set mqtt.listeners.tcp.local=127.0.0.1:0 --set web_mqtt.tcp=none --set stream.listeners.tcp.local=127.0.0.1:0 \
    --set stomp.listeners.tcp.local=127.0.0.1:0 --set web_stomp.tcp=none \
    --set "listeners.tcp.local=127.0.0.1:$port" >"$work/broker.log" 2>&1 &
  broker_pid=$!
  for _ in $(seq 1 150); do
    if grep -qi '\bready\b' "$work/broker.log"; then
      host=127.0.0.1
      return
    fi
    kill -0 "$broker_pid" 2>/dev/null || break
    sleep 0.1
  done
  echo "Warren did not start:" >&2
  cat "$work/broker.log" >&2
  exit 1
}

python_ready() {
  if [ ! -x "$work/python/bin/python" ]; then python3 -m venv "$work/python" || return 1; fi
  "$work/python/bin/pip" install --quiet --requirement "$here/python/requirements.txt"
}

stomp_py() {
  if [ -z "${STOMP_PORT:-}" ]; then
    STOMP_PORT=$(sed -n 's/.*listening: stomp on .*:\([0-9]*\)$/\1/p' "$work/broker.log" 2>/dev/null)
  fi
  python_ready && STOMP_HOST=$host STOMP_PORT=${STOMP_PORT:-61613} \
    "$work/python/bin/python" "$here/python/stomp_client.py"
}

stream_port() {
  if [ -z "${STREAM_PORT:-}" ]; then
    STREAM_PORT=$(sed -n 's/.*listening: stream on .*:\([0-9]*\)$/\1/p' "$work/broker.log" 2>/dev/null)
  fi
  export STREAM_HOST=$host STREAM_PORT=${STREAM_PORT:-5552}
}

stream_py() {
  stream_port
  python_ready && "$work/python/bin/python" "$here/python/stream_client.py"
}

stream_go() {
  stream_port
  (cd "$here/go-stream" && go build -o "$work/go-stream" . && "$work/go-stream")
}

stream_java() {
  stream_port
  (cd "$here/java-stream" &&
    mvn --quiet --batch-mode "-Dbuild.dir=$work/java-stream" package dependency:build-classpath \
      "-Dmdep.outputFile=$work/java-stream.classpath" &&
    java -cp "$work/java-stream/stream-check-1.jar:$(cat "$work/java-stream.classpath")" StreamCheck)
}

mqtt_port() {
  if [ -z "${MQTT_PORT:-}" ]; then
    MQTT_PORT=$(sed -n 's/.*listening: mqtt on .*:\([0-9]*\)$/\1/p' "$work/broker.log" 2>/dev/null)
  fi
  export MQTT_HOST=$host MQTT_PORT=${MQTT_PORT:-1883}
  export MQTT_URL="tcp://$MQTT_HOST:$MQTT_PORT"
}

paho_py() {
  mqtt_port
  python_ready && "$work/python/bin/python" "$here/python/mqtt_client.py"
}

paho_go() {
  mqtt_port
  (cd "$here/go-mqtt" && go build -o "$work/go-mqtt" . && "$work/go-mqtt")
}

# Installs a Debian package where that can be done.
debian() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
  apt-get install --yes --quiet "$@" >"$work/apt.log" 2>&1 ||
    { apt-get update --quiet && apt-get install --yes --quiet "$@"; } >"$work/apt.log" 2>&1
}

paho_c() {
  mqtt_port
  if ! echo '#include <MQTTClient.h>' | cc -E - >/dev/null 2>&1; then
    echo "needs the header files of paho-c (Debian: apt-get install libpaho-mqtt-dev)"
    debian libpaho-mqtt-dev || return 1
  fi
  cc -O1 -Wall -o "$work/c-mqtt" "$here/c/mqtt_check.c" -lpaho-mqtt3c && "$work/c-mqtt" "$MQTT_URL"
}

mosquitto_tools() {
  mqtt_port
  if ! command -v mosquitto_sub >/dev/null; then
    echo "needs mosquitto_pub and mosquitto_sub (Debian: apt-get install mosquitto-clients)"
    debian mosquitto-clients || return 1
  fi
  for version in mqttv31 mqttv311 mqttv5; do
    for qos in 0 1 2; do
      topic="mosquitto/$version/$qos/a.b"
      login=(-h "$MQTT_HOST" -p "$MQTT_PORT" -V "$version" -u guest -P guest)
      mosquitto_pub "${login[@]}" -t "$topic" -q "$qos" -m "kept $qos" -r || return 1
      got=$(mosquitto_sub "${login[@]}" -t "mosquitto/$version/$qos/+" -q "$qos" -C 1 -W 20 -F '%q %r %p')
      [ "$got" = "$qos 1 kept $qos" ] || { echo "$version $qos: $got"; return 1; }
      mosquitto_pub "${login[@]}" -t "$topic" -q 1 -n -r || return 1
    done
  done
}

pika() { python_ready && "$work/python/bin/python" "$here/python/pika_client.py"; }
aio_pika() { python_ready && "$work/python/bin/python" "$here/python/aio_pika_client.py"; }

dead_letters() { python_ready && "$work/python/bin/python" "$here/python/dead_letters.py"; }

queue_features() { python_ready && "$work/python/bin/python" "$here/python/queue_features.py"; }

tutorials() {
  python_ready && "$work/python/bin/python" "$root/test/tutorials/python/run_all.py"
}

go_client() { (cd "$here/go" && go build -o "$work/go-client" . && "$work/go-client"); }

go_amqp10() {
  (cd "$here/go-amqp10" && go build -o "$work/go-amqp10" . && "$work/go-amqp10")
}

proton() { python_ready && "$work/python/bin/python" "$here/python/proton_client.py"; }

java_amqp10() {
  (cd "$here/java-amqp10" &&
    mvn --quiet --batch-mode "-Dbuild.dir=$work/java-amqp10" package dependency:build-classpath \
      "-Dmdep.outputFile=$work/java-amqp10.classpath" &&
    java -cp "$work/java-amqp10/amqp10-check-1.jar:$(cat "$work/java-amqp10.classpath")" Amqp10Check)
}

java_client() {
  (cd "$here/java" &&
    mvn --quiet --batch-mode "-Dbuild.dir=$work/java" package dependency:build-classpath \
      "-Dmdep.outputFile=$work/java.classpath" &&
    java -cp "$work/java/client-check-1.jar:$(cat "$work/java.classpath")" ClientCheck)
}

c_client() {
  if ! echo '#include <amqp.h>' | cc -E - >/dev/null 2>&1; then
    echo "needs the header files of rabbitmq-c (Debian: apt-get install librabbitmq-dev)"
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then return 1; fi
    apt-get install --yes --quiet librabbitmq-dev >"$work/apt.log" 2>&1 ||
      { apt-get update --quiet && apt-get install --yes --quiet librabbitmq-dev; } \
        >"$work/apt.log" 2>&1 || return 1
  fi
  cc -O1 -Wall -o "$work/c-client" "$here/c/client_check.c" -lrabbitmq &&
    "$work/c-client" "$host" "$port"
}

if [ -n "${WARREN_TEST_BROKER:-}" ]; then
  host=${WARREN_TEST_BROKER%%:*}
  port=${WARREN_TEST_BROKER##*:}
else
  start_broker
fi
export AMQP_URL="amqp://guest:guest@$host:$port/%2F"

passed=0
failed=0
clients=("$@")
if [ ${#clients[@]} = 0 ]; then
  clients=(pika aio_pika dead_letters queue_features stomp_py stream_py tutorials go_client java_client c_client)
  clients+=(proton go_amqp10 java_amqp10)
  clients+=(stream_go stream_java)
  clients+=(paho_py paho_go paho_c mosquitto_tools)
fi
for client in "${clients[@]}"; do
  if output=$("$client" 2>&1); then
    echo "ok      $client"
    passed=$((passed + 1))
  else
    echo "FAILED  $client"
    echo "$output" | sed 's/^/        /'
    failed=$((failed + 1))
  fi
done
echo "clients: $passed passed, $failed failed"
[ "$failed" = 0 ]
