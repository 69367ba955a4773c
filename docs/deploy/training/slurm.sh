#!/bin/bash
#SBATCH --job-name=keras-resnet
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append

# One worker per node, as docs/clusters.md describes: sbatch docs/deploy/training/slurm.sh FLAGS, from
# the checkout, in its active environment. Five minutes before the time limit all workers get SIGTERM
# and save; the job then returns to the queue, and later continues.
set -euo pipefail

# Each job has its own port, because two jobs may share a node.
port=$((20000 + SLURM_JOB_ID % 10000))
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
workers=
for host in $hosts; do
  workers+="${workers:+, }\"$host:$port\""
done
export WORKERS=$workers

# shellcheck disable=SC2329  # srun calls it, on every node
work() {
  local task="{\"type\": \"worker\", \"index\": $SLURM_PROCID}"
  export TF_CONFIG="{\"cluster\": {\"worker\": [$WORKERS]}, \"task\": $task}"
  exec python -m train --strategy=multi_worker "$@"
}
export -f work

# When a worker dies, the others end within a minute; --wait is for workers that hang.
code=0
srun --export=ALL --kill-on-bad-exit=0 --wait=300 bash -c 'work "$@"' work "$@" || code=$?

# 75: another worker is gone; above 128: a signal, such as SIGTERM five minutes before the limit. Any
# other error, such as 1, would only be repeated.
if ((code == 75 || code > 128)) && ((${SLURM_RESTART_COUNT:-0} < 20)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
