"""What `pytest --segmenter` collects."""

from sam_backend.segmenters.contract import SegmenterContract


class TestSegmenter(SegmenterContract):
    """The contract, on the segmenter that `--segmenter` names."""
