"""Image -> embedding -> masks. The only code that knows model weights; it knows nothing of Label Studio or HTTP."""

from sam_backend.segmenters.protocol import Candidates, Embedding, Prompt, Segmenter

__all__ = ["Candidates", "Embedding", "Prompt", "Segmenter"]
