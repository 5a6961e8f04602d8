"""What a trained proposer must know beside its weights: `proposer.json` in the folder of a version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sam_backend.errors import WeightsError
from sam_backend.files import write_whole
from sam_backend.proposer.regions import DEFAULT_WEIGHTS, Region, score_of

PROPOSER = "proposer:"
"""With what the names of proposers begin among the models that have versions."""

MANIFEST = "proposer.json"
WEIGHTS = "proposer.onnx"


@dataclass(frozen=True)
class Manifest:
    """How the answers of a net become proposals.

    Attributes
    ----------
    labels : the K classes in the order of the net's outputs, without the background.
    scale : float in (0, 2], the size of an image as the net sees it, divided by its own.
    least_area : int, pixels of the net's input; smaller regions are no proposals.
    score_weights : slope and bias of a score; see `regions.score_of`.
    is_polished : bool, whether the segmenter corrects each mask before it is proposed.
    """

    labels: tuple[str, ...]
    scale: float
    least_area: int
    score_weights: tuple[float, float] = DEFAULT_WEIGHTS
    is_polished: bool = False

    def score(self, region: Region) -> float:
        """Return the probability that a region is correct, in [0, 1]."""
        return score_of(region.odds, self.score_weights)

    def write(self, folder: Path) -> None:
        """Write it into a folder; raise OSError if that fails."""
        write_whole(folder / MANIFEST, TypeAdapter(Manifest).dump_json(self), private=False)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in a folder.

    Raises
    ------
    WeightsError
        If it is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = TypeAdapter(Manifest).validate_json(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}; train the proposer again.") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise WeightsError(f"{path} is damaged ({first}); train the proposer again.") from error
    if not manifest.labels or not 0 < manifest.scale <= 2:
        raise WeightsError(f"{path} is damaged (no classes, or no scale); train the proposer again.")
    return manifest
