#!/bin/sh
# One night on a Ray cluster: does what is new or changed in SOURCE, waits for the end and prints what the job prints.
#
#   RAY_ADDRESS=http://127.0.0.1:8265 SOURCE=s3://bucket/media OUTPUT=s3://bucket/out jobs/schedulers/nightly.sh
#
# JOB    job file, as a path on the head node (default: where cluster.yaml puts this repository)
# NIGHT  what tells nights apart (default: the date). Ray refuses the same one twice: a night is never started twice at
#        once. To do a night again that broke off: NIGHT=$(date -u +%F)-again
# Ends with 0 where all inputs are done, else with 1; the last lines say whether inputs failed (3) or the job broke off (1).
set -eu
: "${RAY_ADDRESS:?is not set: the address of the dashboard, such as http://127.0.0.1:8265}"
: "${SOURCE:?is not set: the media, such as s3://bucket/media}"
: "${OUTPUT:?is not set: the output, such as s3://bucket/out}"
export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
exec ray job submit --submission-id "fer-batch-${NIGHT:-$(date -u +%F)}" -- \
  fer-batch run "${JOB:-/home/ray/fer_batch/jobs/clips.yaml}" --set "source.uri=$SOURCE" --output "$OUTPUT"
