"""Dagster: one night as one op, every night at 1:30. `dagster dev -f jobs/schedulers/dagster_job.py` shows it."""

import os
import subprocess

import dagster

NIGHTLY = "/opt/fer_batch/jobs/schedulers/nightly.sh"
PLACES = {"RAY_ADDRESS": "http://127.0.0.1:8265", "SOURCE": "s3://bucket/media", "OUTPUT": "s3://bucket/out"}


@dagster.op(pool="fer_batch")  # dagster instance concurrency set fer_batch 1: nights never overlap
def night(context: dagster.OpExecutionContext) -> None:
    """Submit the job and wait; the op fails where inputs failed or the job broke off."""
    done = subprocess.run([NIGHTLY], env=os.environ | PLACES | {"NIGHT": context.run_id}, check=False)
    if done.returncode:
        raise dagster.Failure(f"nightly.sh ended with {done.returncode}; its last lines say why", allow_retries=False)


@dagster.job
def fer_batch():
    """One night."""
    night()


definitions = dagster.Definitions(
    jobs=[fer_batch], schedules=[dagster.ScheduleDefinition(job=fer_batch, cron_schedule="30 1 * * *")]
)
