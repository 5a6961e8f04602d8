"""One sample and a model -> rows, for each protocol. Evaluations and the promotion gate both use this."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from sam_backend.samples import Sample
from sam_backend.segmenters import Segmenter
from sam_backend.segmenters.model_info import PromptKind
from sam_evaluation.box_tables import box_rows
from sam_evaluation.measured_pipeline import MeasuredPipeline
from sam_evaluation.measurement import MeasuredObject, Proposed, ResultRow, prompted_rows, propose, unprompted_rows
from sam_evaluation.protocols.concept_protocols import ConceptProtocol
from sam_evaluation.protocols.named_protocols import EVERYTHING, Protocol


def sample_rows(
    segmenter: Segmenter,
    sample: Sample,
    targets: Sequence[MeasuredObject],
    protocols: Sequence[Protocol | ConceptProtocol | None],
    seed: int = 0,
    pipeline: MeasuredPipeline | None = None,
    boxes: bool = False,
) -> Iterator[ResultRow]:
    """Yield the rows of a sample for every protocol whose prompts the model takes.

    Parameters
    ----------
    segmenter : Segmenter.
    sample : Sample, the image and its objects.
    targets : its `measured_objects`.
    protocols : sequence of Protocol and ConceptProtocol; None stands for `everything`.
    seed : int, the seed of the protocols that draw at random.
    pipeline : MeasuredPipeline, whose masks are measured by `everything` instead of the model's own.
    boxes : bool, whether the boxes of objects and proposals are wanted as well.

    Yields
    ------
    dict
        A row with `kind` "object", or "image" and "box" for a protocol of `UNPROMPTED`, and the name of the `sample`.
    """
    embedding = segmenter.encode(sample.image)
    for protocol in protocols:
        if protocol is None and pipeline is not None:
            yield from proposal_rows(pipeline.proposals(segmenter, embedding, seed), sample, targets, boxes=boxes)
            continue
        if not prompts_of(protocol) <= segmenter.info.prompts:
            continue
        if protocol is None:
            yield from proposal_rows(propose(segmenter, embedding), sample, targets, boxes=boxes)
            continue
        # The random numbers depend only on the seed, the protocol and the name of the sample, not on other samples,
        # models or jobs.
        digest = hashlib.sha256(f"{protocol.name}\n{sample.name}".encode()).digest()
        rng = np.random.default_rng([seed, *digest[:8]])
        if isinstance(protocol, ConceptProtocol):
            found = list(protocol.run(segmenter, embedding, [target.object for target in targets], rng))
            asked = [targets[index] for one in found for index in one.objects]
            if asked:
                yield from proposal_rows(Proposed.of_classes(found), sample, asked, protocol.name, boxes=boxes)
            continue
        for row in prompted_rows(protocol, segmenter, embedding, targets, rng):
            yield {"kind": "object", "sample": sample.name, **row}


def prompts_of(protocol: Protocol | ConceptProtocol | None) -> frozenset[PromptKind]:
    """Return the kinds of prompts that a model must take for a protocol; None stands for `everything`."""
    return frozenset({"everything"}) if protocol is None else protocol.needs


def proposal_rows(
    proposed: Proposed,
    sample: Sample,
    targets: Sequence[MeasuredObject],
    protocol: str = EVERYTHING,
    *,
    boxes: bool = False,
) -> Iterator[ResultRow]:
    """Yield the row of an image and the rows of its objects, for masks that were found without a prompt for each."""
    height, width, _ = sample.image.shape
    object_rows, image_row = unprompted_rows(protocol, proposed, targets, (height, width))
    yield {"kind": "image", "sample": sample.name, **image_row}
    yield from ({"kind": "object", "sample": sample.name, **row} for row in object_rows)
    if boxes:
        yield from ({"kind": "box", "sample": sample.name, **row} for row in box_rows(protocol, proposed, targets))


def measured_objects(sample: Sample) -> list[MeasuredObject]:
    """Return the objects of a sample with the measurements that do not depend on a prediction."""
    return [MeasuredObject.of(index, target) for index, target in enumerate(sample.objects)]
