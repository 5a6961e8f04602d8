"""Worker processes: they end with the process that started them; one that ends before is an error in a sentence."""

import os
import select
import subprocess
import sys

import pytest

from sam_evaluation.errors import EvaluationError
from sam_evaluation.workers import worker_pool

PROGRAM = """
import time
from sam_evaluation.workers import worker_pool

def work():
    print("at work", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    with worker_pool(1) as pool:
        pool.submit(work).result()
"""
PATIENCE = 60


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"at work\n"
        parent.kill()
        # The pipe ends with the last process that could write to it.
        ended, _, _ = select.select([parent.stdout], [], [], PATIENCE)
        assert ended
        assert parent.stdout.read() == b""


def test_a_worker_that_ends_in_its_work_is_an_error_in_a_sentence():
    with pytest.raises(EvaluationError, match="perhaps because memory did not suffice"), worker_pool(1) as pool:
        pool.submit(os._exit, 1).result()
