"""What end-to-end tests do with a project of a real Label Studio: its API, our commands, waiting for examples."""

import os
import subprocess
import sys
import time

import httpx

PATIENCE = 300


def ask(stack, method, path, **request):
    """Ask Label Studio's API without the types of its client, which differ from version to version."""
    headers = {"Authorization": f"Token {stack.credentials.token}"}
    answer = httpx.request(method, f"{stack.url}{path}", headers=headers, timeout=60, trust_env=False, **request)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def sam_inspect(home, stack, *words):
    own = {"SAM_INSPECT_HOME": str(home / "backend"), "NO_PROXY": "*", "COLUMNS": "120"}
    command = [sys.executable, "-m", "sam_inspect", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=os.environ | own)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for_examples(home, number, count):
    """Wait until a backend has made so many examples of a project's annotations."""
    end = time.monotonic() + PATIENCE
    while len(list((home / "memory").glob(f"{number}.*/examples/*/*.npz"))) != count:
        assert time.monotonic() < end, f"there are not {count} examples after {PATIENCE} s"
        time.sleep(0.5)
