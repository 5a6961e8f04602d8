"""What every data set yields: an image and its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sam_backend.samples import Sample


@dataclass(frozen=True)
class DatasetCard:
    """What must be known of a data set to use it and to cite it.

    Attributes
    ----------
    name : of its format, as `--data name:folder` takes it.
    title, source, licence, citation : shown in every report.
    layout : which files a folder must hold, in one or two sentences.
    domain : "industrial" or "natural", or "any" for mere file formats.
    """

    name: str
    title: str
    layout: str
    licence: str
    source: str = ""
    citation: str = ""
    domain: str = "any"


class Dataset(Protocol):
    """Images with objects on disk; nothing is read before it is asked for.

    Attributes
    ----------
    card : what it is.
    """

    card: DatasetCard

    def names(self) -> Sequence[str]:
        """Return the names of all samples, sorted; always the same for the same folder.

        Raises
        ------
        EvaluationError
            If the folder is not laid out as `card.layout` says.
        """

    def load(self, name: str) -> Sample:
        """Read one sample.

        Raises
        ------
        BrokenSampleError
            If its image or annotation is missing, cannot be read, or does not fit the other.
        """
