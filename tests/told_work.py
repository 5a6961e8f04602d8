"""Work that tells where it was done, and can fail in every way; see `sam_backend.cluster.work.Work`."""

import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sam_backend.errors import BadRequestError, SamInspectError, StoreError


@dataclass
class Squares:
    """Squares numbers; other items are told what to do. Only the worker that makes the file `is_ready` starts."""

    is_ready: bool | Path = True
    threads: int = 0

    def __call__(self, item):
        if item == "end the process":
            os._exit(1)
        if item == "raise":
            raise SamInspectError("What is raised ends everything.")
        if item == "no key":
            raise StoreError("s3://a/b cannot be used: check the credentials of this machine.")
        if item == "refuse":
            return BadRequestError("It is no number.")
        if item == "warn":
            logging.getLogger("squares").warning("It is %s.", "late")
        return item * 2, os.getpid(), self.threads

    def elsewhere(self):
        return partial(made, self.is_ready)

    def name_of(self, item):
        return item if isinstance(item, str) else ""


def made(is_ready, threads):
    if isinstance(is_ready, Path):
        try:
            is_ready.touch(exist_ok=False)
        except OSError:
            os._exit(1)
    elif not is_ready:
        raise BadRequestError("The weights are missing; put them into the folder weights.")
    return Squares(threads=threads)
