#!/bin/bash
# An archive of frames on a Slurm cluster: an array of tasks looks at a shard each, and a last job puts them together.
#
#   examples/slurm/replay.sh ARCHIVE RESULTS 64
#
# submits both. ARCHIVE and RESULTS lie on a file system that all nodes have at the same path. docs/replay.md says more.
#SBATCH --job-name=arcticd
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=1G
set -eu

# The same on every node: a trap without a name has its host's, and ids of messages are made from it.
export ARCTICD_TRAP="${ARCTICD_TRAP:-archive}"

archive="$1" results="$2" shards="$3"

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then
    # A task of the array, numbered from 1.
    shard="$results/$SLURM_ARRAY_TASK_ID-of-$shards.shard"
    # It is there whole or not at all: a task that is run again has nothing to do.
    [ -e "$shard" ] && exit 0
    # 3: some files could not be looked at, and the shard says which. Slurm would call it failed.
    arcticd replay "$archive" --shard "$SLURM_ARRAY_TASK_ID/$shards" --threads "${SLURM_CPUS_PER_TASK:-1}" -o "$shard" ||
        [ $? -eq 3 ]
elif [ -n "${SLURM_JOB_ID:-}" ]; then
    # The last job.
    arcticd replay --merge "$results"/*-of-"$shards".shard --json --megadetector "$results/arcticd.json" \
        >"$results/messages.jsonl" || [ $? -eq 3 ]
else
    # At the prompt.
    array=$(sbatch --parsable --array="1-$shards" --output="$results/%a.log" "$0" "$@")
    sbatch --dependency="afterok:$array" --output="$results/merge.log" "$0" "$@"
fi
