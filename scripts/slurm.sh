#!/usr/bin/env bash
# A SLURM cluster of one node, this machine, on loopback, for the tests marked `slurm`:
#   scripts/slurm.sh up      start munged, slurmctld and slurmd, unless a cluster answers already
#   scripts/slurm.sh down    stop what `up` started, and nothing else
#   scripts/slurm.sh run COMMAND…    up, the command, down
# It needs root, and Debian's packages slurm-wlm and munge. STATE names the folder of its files.
set -euo pipefail
STATE="${STATE:-/tmp/ganbench-slurm}"
export SLURM_CONF="${SLURM_CONF:-$STATE/slurm.conf}"

# A requeued job waits as long as credentials live, which is two minutes unless cred_expire says less.
write_conf() {
    local host cores
    host="$(hostname -s)"
    cores="$(nproc)"
    mkdir -p "$STATE/state" "$STATE/spool" "$STATE/log"
    cat >"$STATE/slurm.conf" <<CONF
ClusterName=ganbench
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=20
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
StateSaveLocation=$STATE/state
SlurmdSpoolDir=$STATE/spool
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/log/slurmctld.log
SlurmdLogFile=$STATE/log/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
MinJobAge=300
KillWait=5
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores State=UNKNOWN
PartitionName=debug Nodes=$host Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=1
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP OverSubscribe=NO PriorityTier=9
CONF
}

answers() { timeout 5 scontrol ping 2>/dev/null | grep -q "is UP" && timeout 5 sinfo -h >/dev/null 2>&1; }

wait_for() { # seconds, what, command…
    local left=$(($1 * 5)) what="$2"
    shift 2
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "slurm.sh: $what did not come up; see $STATE/log" >&2; exit 1; }
        sleep 0.2
    done
}

idle() { timeout 5 sinfo -h -o '%T' 2>/dev/null | grep -qE '^(idle|mixed|allocated)'; }

munge_works() { munge -n 2>/dev/null | unmunge >/dev/null 2>&1; }

up() {
    if answers; then
        echo "slurm.sh: a cluster answers already" >&2
        return
    fi
    for program in slurmctld slurmd sbatch munged; do
        command -v "$program" >/dev/null || {
            echo "slurm.sh: no $program here: apt-get install slurm-wlm munge" >&2
            exit 1
        }
    done
    [ "$(id -u)" = 0 ] || { echo "slurm.sh: slurmd needs root" >&2; exit 1; }
    write_conf
    if ! munge_works; then
        mkdir -p /run/munge
        chown munge: /run/munge
        chmod 755 /run/munge
        [ -s /etc/munge/munge.key ] || { dd if=/dev/urandom bs=1024 count=1 of=/etc/munge/munge.key \
            status=none; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
        su -s /bin/sh munge -c "munged --pid-file=/run/munge/ganbench.pid"
        cp /run/munge/ganbench.pid "$STATE/munged.pid"
        wait_for 10 munged munge_works
    fi
    slurmctld -f "$SLURM_CONF"
    wait_for 20 slurmctld answers
    slurmd -f "$SLURM_CONF"
    wait_for 20 "the node" idle
}

down() {
    local pid file
    for name in slurmd slurmctld munged; do
        file="$STATE/$name.pid"
        [ -f "$file" ] || continue
        pid="$(cat "$file")"
        # A number may belong to another process by now: ask what it is.
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$name" ]; then
            kill "$pid"
            for _ in $(seq 50); do [ -d "/proc/$pid" ] || break; sleep 0.2; done
        fi
        rm -f "$file"
    done
    rm -rf "$STATE"
}

case "${1:-}" in
    up) up ;;
    down) down ;;
    run)
        shift
        up
        trap down EXIT
        "$@"
        ;;
    *)
        sed -n '2,6p' "$0" >&2
        exit 2
        ;;
esac
