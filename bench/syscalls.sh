#!/bin/bash
# SPDX-License-Identifier: MIT
# syscalls.sh BYHAND [SIZE...]: counts the system calls per message, of both processes
# together, by hand and through chappe, with strace. Each is run with one message and with
# many: the difference is free of what starting and ending take. On byte streams a read may
# bring several messages, or a large one come in pieces, as the two processes keep pace; so
# what is no more than one call to send and one to receive counts as equal.
# Exit status: 0 if chappe makes no more calls (but for 5 %), 1 if it does, 2 not counted.
set -euo pipefail

byhand=${1:?usage: syscalls.sh BYHAND [SIZE...]}
shift
sizes=("$@")
[ "${#sizes[@]}" -gt 0 ] || sizes=(64 1024 65536 1048576)
command -v strace >/dev/null || {
    echo "syscalls.sh: strace is not installed" >&2
    exit 2
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# All system calls of one run.
count() {
    strace -f -c -U calls,name -o "$log" "$byhand" --trace "$1" "$2" "$3" "$4" "$5" >&2
    awk '$NF == "total" { print $1 }' "$log"
}

# Calls per message, with three decimals. A round trip is two messages; before COUNT others
# as many again, but at most 50, warm up.
per_message() {
    local way=$1 mechanism=$2 what=$3 size=$4 many=1000 messages=1 first second
    [ "$size" -lt 100000 ] || many=200
    [ "$what" = latency ] && messages=2
    first=$(count "$way" "$mechanism" "$what" "$size" 1)
    second=$(count "$way" "$mechanism" "$what" "$size" "$many")
    awk -v calls=$((second - first)) -v messages=$(((many + 50 - 2) * messages)) \
        'BEGIN { printf "%.3f\n", calls / messages }'
}

status=0
printf '%-10s %8s  %-10s %9s %9s  %s\n' "" "" "calls/message" "by hand" "chappe" ratio
for mechanism in pipe stream seqpacket datagram; do
    for what in latency throughput; do
        for size in "${sizes[@]}"; do
            hand=$(per_message by-hand "$mechanism" "$what" "$size")
            chappe=$(per_message chappe "$mechanism" "$what" "$size")
            verdict=$(awk -v a="$hand" -v b="$chappe" \
                'BEGIN { printf "%.2f %s", b / a, b <= 1.05 * a || b <= 2 ? "" : "MORE" }')
            [ "${verdict% *}" = "$verdict" ] || [ -z "${verdict#* }" ] || status=1
            printf '%-10s %8s  %-13s %9s %9s  %s\n' "$mechanism" "$size" "$what" "$hand" \
                "$chappe" "$verdict"
        done
    done
done
exit $status
