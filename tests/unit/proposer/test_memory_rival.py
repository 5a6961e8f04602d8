"""The memory that a proposer is compared with."""

from colour_segmenter import ColourSegmenter, surface
from sam_backend.proposer.memory_rival import memory_of
from sam_backend.samples import Object, Sample


def test_of_many_images_it_reads_only_those_that_a_memory_uses(tmp_path, monkeypatch):
    monkeypatch.setattr("sam_backend.memory.project_memory._EXAMPLES_PER_LABEL", 2)
    read = set()

    def load(name):
        read.add(name)
        image, masks = surface(int(name), **{"green" if name == "0" else "red": [(20, 30 + 10 * int(name))]})
        return Sample(name, image, tuple(Object(mask, label) for label, mask in masks))

    labels = {"0": ["green"]} | {str(number): ["red"] for number in range(1, 6)}
    proposer = memory_of(labels, load, ColourSegmenter(), tmp_path)
    assert read == {"0", "4", "5"}
    assert set(proposer.classes.labels) == {"green", "red"}
    assert memory_of({}, load, ColourSegmenter(), tmp_path / "empty") is None
