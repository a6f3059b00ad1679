"""How the processes under load are started: as forks of one that has loaded what they need."""

from multiprocessing import get_context
from typing import Final

processes: Final = get_context("forkserver")
processes.set_forkserver_preload(["tests.consistency.drills.template"])
