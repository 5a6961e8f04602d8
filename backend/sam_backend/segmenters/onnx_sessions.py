"""Opens ONNX files for onnxruntime, beside a web server's own threads."""

from __future__ import annotations

import os
from pathlib import Path

import onnxruntime

from sam_backend.errors import WeightsError

_PROVIDERS = ("CUDA", "Tensorrt", "OpenVINO", "CPU")
"""Execution providers, the first one that there is computes. TensorRT builds an engine, for minutes, for each new shape
of an input, so CUDA comes before it."""

_SUFFIX = "ExecutionProvider"

ONE = 1
"""Threads for a graph that takes about 10 ms: two threads wait for each other so often that they take twice the CPU and
no less time, and other clicks can use the second core."""


def thread_count(threads: int) -> int:
    """Return a number of threads, of which 0 means all cores."""
    return threads or os.cpu_count() or 1


def execution_providers() -> list[str]:
    """Return what the installed onnxruntime can compute on, the first choice first: "CUDA", "OpenVINO", "CPU"."""
    offered = onnxruntime.get_available_providers()
    return [name for name in _PROVIDERS if name + _SUFFIX in offered]


def device_of(session: onnxruntime.InferenceSession) -> str:
    """Return the execution provider that a session has got, for example "cuda"; "cpu" where a GPU cannot be used."""
    chosen: str = session.get_providers()[0]
    return chosen.removesuffix(_SUFFIX).lower()


def open_session(path: Path, threads: int, whose: str, cure: str) -> onnxruntime.InferenceSession:
    """Return a session on the first of `execution_providers` that works.

    Parameters
    ----------
    path : Path of the ONNX file.
    threads : int, threads of onnxruntime on a CPU; 0 takes all cores.
    whose : str, what the file belongs to, such as "model", for the message.
    cure : str, what a user can do, for the message.

    Raises
    ------
    WeightsError
        If the file is missing or is not an ONNX model.
    """
    if not path.exists():
        raise WeightsError(f"Expected the {whose}'s file {path}, but it is missing; {cure}.")
    options = onnxruntime.SessionOptions()
    # 0 would pin each thread to a core, where it waits for other programs' work.
    options.intra_op_num_threads = thread_count(threads)
    # Spinning threads would compete with the web server's and with each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [name + _SUFFIX for name in execution_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:
        raise WeightsError(f"{path} is no ONNX model ({error}); {cure}.") from error
