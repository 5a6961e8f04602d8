"""What every data set has: a card, names, and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sam_backend.samples import Sample


@dataclass(frozen=True)
class DatasetCard:
    """What a user must know to use and to cite a data set.

    Attributes
    ----------
    name : str, the name of the format in `--data name:folder`.
    title, source, licence, citation : str, shown in every report.
    layout : str, the files that a folder must hold, in one or two sentences.
    domain : str, "industrial" or "natural", or "any" for a file format.
    """

    name: str
    title: str
    layout: str
    licence: str
    source: str = ""
    citation: str = ""
    domain: str = "any"


class Dataset(Protocol):
    """Images with objects on disk; `names` and `load` read the files when they are called.

    Nothing is left out silently: `Sample.left_out` counts what is no object of its image, and `left_out` counts what
    belongs to no sample.

    Attributes
    ----------
    card : DatasetCard, the description of the format.
    """

    card: DatasetCard

    def names(self) -> Sequence[str]:
        """Return the names of all samples, sorted; the same folder always gives the same names.

        Raises
        ------
        EvaluationError
            If the folder does not have the layout of `card.layout`.
        """

    def load(self, name: str) -> Sample:
        """Read one sample.

        Raises
        ------
        BrokenSampleError
            If its image or its annotation is missing or cannot be read, or if they do not fit together.
        """

    def classes(self) -> Sequence[str]:
        """Return the names of the classes in the order of the data set; () where it names none."""
        return ()

    def group(self, name: str) -> str:
        """Return what a sample is one of: samples of one group stay together where a data set is divided."""
        return name

    def left_out(self) -> Mapping[str, int]:
        """Return how many files or annotations of the set belong to no sample, by reason; it may call `names`."""
        return {}

    def notes(self) -> Sequence[str]:
        """Return what of the set was read otherwise than its files say; it may call `names`."""
        return ()
