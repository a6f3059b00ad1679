"""A Celery worker that is ended by its child: ``python -m tests.contrib.prefork BROKER``."""

import os
import signal
import sys

import django
from celery import Celery

READS = 10


def main(broker: str) -> None:
    django.setup()
    from cache_invalidation import cached

    app = Celery("prefork", broker=broker, set_as_current=True)
    app.conf.imports = ["cache_invalidation.contrib.celery"]

    @cached(tags=["prefork"], name="prefork.page")
    def page() -> int:
        return 1

    @app.task(name="prefork.read", ignore_result=True)
    def read() -> None:
        for _ in range(READS):
            page()
        os.kill(os.getppid(), signal.SIGTERM)

    # What is left out is for workers that know of each other.
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", "--pool=prefork", "--concurrency=1", *alone])


if __name__ == "__main__":
    main(*sys.argv[1:])
