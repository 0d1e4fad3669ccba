#!/usr/bin/env bash
# Starts three replicas on this machine, on ports 4160…4163, 4170…4173 and 4180…4183, and stops
# them at Ctrl-C. Their data is in $DATA (./data), so that they go on where they were.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${DATA:-data}
join=127.0.0.1:4163,127.0.0.1:4173,127.0.0.1:4183
pids=()
stop() {
	trap - INT TERM EXIT
	kill "${pids[@]}" 2>/dev/null || true
	wait
}
trap stop INT TERM EXIT
for i in 1 2 3; do
	port=$((4150 + 10 * i))
	bin/raftlookupd -name "r$i" -log-prefix "[r$i] " -data-path "$data/r$i" -broadcast-address 127.0.0.1 \
		-tcp-address "127.0.0.1:$port" -http-address "127.0.0.1:$((port + 1))" \
		-cluster-address "127.0.0.1:$((port + 2))" -gossip-address "127.0.0.1:$((port + 3))" \
		-join "$join" -bootstrap-expect 3 "$@" &
	pids+=($!)
done
wait
