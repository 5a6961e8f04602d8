"""What an error of the operating system means for a user, and the true cure. Needs no PyTorch."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sam_backend.errors import SamInspectError

_CURES = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room: the quota of this user is used up",
    errno.EFBIG: "allow larger files there, for example with ulimit -f",
    errno.EACCES: "give this user access to it",
    errno.EPERM: "give this user access to it",
    errno.EROFS: "that file system is read-only; make it writable, or choose another folder with SAM_INSPECT_HOME",
    errno.ENOENT: "make it again, or name another one; it is missing",
    errno.ENOTSUP: "choose a place on a usual file system",
    errno.ENOTDIR: "a part of that path is a file; remove or rename it",
    errno.EISDIR: "a folder is where a file is expected; remove or rename it",
    errno.EEXIST: "something else has this name already; remove or rename it",
    errno.ENAMETOOLONG: "choose a shorter path, for example with SAM_INSPECT_HOME",
    errno.EMFILE: "allow this process more open files, for example with ulimit -n",
    errno.ENFILE: "allow more open files on this machine",
    errno.EIO: "the disk fails; check it",
    errno.ESTALE: "mount that network folder again",
    errno.ENOMEM: "free memory",
}

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def os_error_sentence(error: OSError, where: Path | None = None) -> str:
    """Return which file it is about, what happened, and what to do, as one sentence.

    Parameters
    ----------
    error : OSError.
    where : Path or None, the folder at work, named where the error names no file.
    """
    # A copy names its source first; what is full is the place that it was to go to.
    target = error.filename2 if error.errno in _FULL else None
    place = next((one for one in (target, error.filename, where) if one is not None), None)
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    cure = _CURES.get(error.errno) if error.errno is not None else None
    return (f"{place}: " if place is not None else "") + what + (f"; {cure}." if cure else ".")


@contextmanager
def os_errors_as_sentences() -> Iterator[None]:
    """Turn an OSError inside the block into a `SamInspectError` with `os_error_sentence`."""
    try:
        yield
    except OSError as error:
        raise SamInspectError(os_error_sentence(error)) from error
