#!/bin/sh
# Slurm's Prolog: begin to fetch what the job names, before its ranks start.
#   sbatch --comment=assets=llama3_8b,my_tokenizer job.sh
# Put it at /etc/slurm/prolog.d/50-resolverd.sh; it runs as root on each node, and never drains one.
PATH=/opt/resolverd/bin:/usr/local/bin:/usr/bin:/bin

case ${SLURM_JOB_COMMENT:-} in
  assets=*) names=${SLURM_JOB_COMMENT#assets=} ;;
  *) exit 0 ;;
esac

# The comment is the user's own text: take names of cards from it, and nothing else.
set -f
IFS=,
for name in $names; do
  case $name in
    '' | -* | *[!A-Za-z0-9_.@-]*) echo "resolverd: no name of a card: $name" >&2 ;;
    *) timeout 10 resolverctl prefetch --no-wait "$name" >&2 ;;
  esac
done
exit 0
