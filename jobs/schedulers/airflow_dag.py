"""Airflow: one night as one task. `ray job submit` through BashOperator, because no Ray provider is needed for that.

(astro-provider-ray, which had an operator for it, is discontinued.) Put this file into the DAGs folder.
"""

import datetime as dt

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    "fer_batch",
    schedule="30 1 * * *",
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,  # nights never overlap
):
    BashOperator(
        task_id="night",
        # The space keeps Airflow from taking the path for a template file.
        bash_command="/opt/fer_batch/jobs/schedulers/nightly.sh ",
        env={
            "RAY_ADDRESS": "http://127.0.0.1:8265",
            "SOURCE": "s3://bucket/media",
            "OUTPUT": "s3://bucket/out",
            "NIGHT": "{{ ts_nodash }}-{{ ti.try_number }}",
        },
        append_env=True,
        retries=0,  # failed inputs (3) stay failed; a night that broke off is gone on with in the next one
        execution_timeout=dt.timedelta(hours=20),
    )
