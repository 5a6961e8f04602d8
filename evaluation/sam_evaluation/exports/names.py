"""File names of an export: without folders, good on every system, and different in their stems."""

from __future__ import annotations

import re
import unicodedata

from sam_evaluation.datasets.image_finder import UPLOADED, path_parts

_UNFIT = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')
_TAKEN = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))))
"""Stems that Windows has taken, for any suffix."""
_LISTS = frozenset(("classes", "labels", "train", "val", "test"))
"""Stems of the lists that tools keep among label files."""
_MOST_BYTES = 200


class FileNames:
    """Gives each image its stem. The first image of a name keeps it, so that later images change no earlier one.

    A name is the last part of a path, without the eight digits that Label Studio puts before an uploaded file. Where an
    earlier image has it, in large or small letters, the key goes behind it, or without one the folder before it.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def stem(self, path: str, key: str) -> str:
        """Return the stem of the image at a path; `key` tells it from others, for example the task's id; "" without."""
        parts = path_parts(path) or (key or "image",)
        uploaded = UPLOADED.fullmatch(parts[-1])
        name = uploaded[1] if uploaded else parts[-1]
        stem = name.rpartition(".")[0] or name
        number = 1
        candidates = [stem, f"{stem}_{key}" if key else "_".join([*parts[-2:-1], stem])]
        while True:
            number += 1
            candidates.append(f"{stem}_{number}")
            fit = _fit(candidates.pop(0))
            if fit.casefold() not in self._used:
                self._used.add(fit.casefold())
                return fit


def _fit(stem: str) -> str:
    """Return a stem that every system takes."""
    fit = _UNFIT.sub("_", unicodedata.normalize("NFC", stem)).strip(". ")
    fit = fit.encode()[:_MOST_BYTES].decode(errors="ignore") or "image"
    return f"{fit}_" if fit.casefold().split(".")[0] in _TAKEN or fit.casefold() in _LISTS else fit
