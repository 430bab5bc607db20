"""celery with late acknowledgements, as its documentation has it for tasks that must survive their
worker; the broker hands a dead worker's tasks out again after 10 s."""

from celery import Celery

from benchmarks.work import URL

app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": 10},
    broker_connection_retry_on_startup=True,
)
