"""Going through what has to wait now and then, in a function or in a coroutine."""

import asyncio
from collections.abc import Generator
from time import sleep
from typing import Any

from asgiref.sync import sync_to_async

Steps = Generator[float, None, None]  # yields the seconds to wait


def walk(steps: Steps) -> None:
    """Go through `steps`, waiting as they say."""
    for pause in steps:
        sleep(pause)


async def awalk(steps: Steps) -> None:
    """Go through `steps`, which may use the store and the databases, in Django's thread for that.

    Waiting is done here: in the thread, it would keep the one who computes from the database.
    """
    step: Any = sync_to_async(next)
    while (pause := await step(steps, None)) is not None:
        await asyncio.sleep(pause)
