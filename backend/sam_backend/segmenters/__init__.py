"""Image -> embedding -> masks. The only code that knows model weights; it knows nothing of Label Studio or HTTP."""

from sam_backend.segmenters.model_info import ModelInfo, WeightFolders
from sam_backend.segmenters.protocol import Candidates, DenseFeatures, Embedding, Prompt, Segmenter

__all__ = ["Candidates", "DenseFeatures", "Embedding", "ModelInfo", "Prompt", "Segmenter", "WeightFolders"]
