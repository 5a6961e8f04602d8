"""Kills of the server while it takes in annotations; nothing that was acknowledged may be lost, or torn."""

import json
import threading

from annotation_events import event
from sam_backend.memory.memories import Memories

PROJECT = "1.1795411201"


def kill_while_learning(target, rng, kills, per_life=12):
    """Send annotations and kill the server again and again; return the ids of those that it acknowledged."""
    acknowledged = []
    number = 0
    for _ in range(kills):
        after = int(rng.integers(1, per_life + 1))
        timer = threading.Timer(float(rng.uniform(0.01, 0.6)), target.kill)
        timer.start()
        for _ in range(after):
            number += 1
            body = json.dumps(event("ANNOTATION_CREATED", number=number, second=number % 60)).encode()
            try:
                status, _ = target.ask("POST", "/webhook", body, timeout=20)
            except OSError:
                break
            if status == 200:
                acknowledged.append(number)
        timer.join()
        target.kill()
        target.start()
    return acknowledged


def remembered(home, project):
    """Return the ids of the annotations that the memory of a project in a home folder holds."""
    return {record.annotation for record in Memories(home).of(project).store.heads()}
