# shellcheck shell=bash
# SPDX-License-Identifier: EUPL-1.2
# Shared by tools/demo and tools/demo-stop: where things are, and how progress is shown.
# shellcheck disable=SC2034 # used by those

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
colvert=$(readlink -m "${COLVERT:-$top/build/release/colvert}")
demo=$top/build/demo
data=$demo/data
log=$demo/colvert.log
ns="colvert-demo"
listen=127.0.0.1:5000

if [ -t 1 ]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else bold='' green='' red='' plain=''; fi

need_root() {
    [ "$(id -u)" = 0 ] && return
    echo "$0 needs root, for namespaces and guests: sudo make ${0##*/}" >&2
    exit 1
}

now_ms() { echo "$(($(date +%s%N) / 1000000))"; }

# seconds MS: with one decimal
seconds() { printf '%d.%d' "$(($1 / 1000))" "$(($1 % 1000 / 100))"; }

# Our supervisor's pid, if it runs: the pid file's, if that is Colvert on our data.
supervisor() {
    local pid
    pid=$(cat "$demo/pid" 2>/dev/null) && ours "$pid" && echo "$pid"
}

# ours PID: its command line names our data
ours() { tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" | grep -qF "$data"; }

# The machine's own taps with names like ours: ours belong into namespaces.
list_taps() { ip -o link | sed -n 's/^[0-9]*: \(tap[0-9a-f-]\{11\}\)[:@].*/\1/p' | sort; }

# Every process whose command line names our data, but for this script's own.
our_processes() {
    local dir pid
    for dir in /proc/[0-9]*; do
        pid=${dir#/proc/}
        [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] && ours "$pid" && echo "$pid"
    done
    return 0
}
