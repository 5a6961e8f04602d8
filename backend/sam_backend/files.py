"""Files that are whole or absent."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview, *, private: bool = False) -> None:
    """Write a file under a temporary name, then rename it; a write that fails leaves nothing behind.

    Parameters
    ----------
    path : Path, the file; its folder is made where it is missing.
    content : bytes, all of the file.
    private : bool, whether only the owner may read the file (mode 0600).

    Raises
    ------
    OSError
        If the file cannot be written, for example on a full disk.
    """
    with whole_file(path, private=private) as part:
        part.write_bytes(content)


@contextmanager
def whole_file(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` for the block to write to; it becomes `path` when the block succeeds.

    Parameters
    ----------
    path : Path, the file; its folder is made where it is missing.
    private : bool, whether only the owner may read the file (mode 0600).

    Raises
    ------
    OSError
        If the file cannot be written, for example on a full disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        if private:
            # The file has this mode before it has content.
            part.unlink(missing_ok=True)
            part.touch(mode=0o600, exist_ok=False)
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
