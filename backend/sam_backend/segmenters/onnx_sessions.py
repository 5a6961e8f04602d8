"""Opens ONNX files for onnxruntime, beside a web server's own threads."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from sam_backend.errors import WeightsError


def open_session(path: Path, threads: int, whose: str, cure: str) -> onnxruntime.InferenceSession:
    """Return a session on the CPU.

    Parameters
    ----------
    path : Path of the ONNX file.
    threads : int, threads of onnxruntime; 0 takes all cores.
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
    options.intra_op_num_threads = threads
    # Spinning threads would compete with the web server's and with each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(f"{path} is no ONNX model ({error}); {cure}.") from error
