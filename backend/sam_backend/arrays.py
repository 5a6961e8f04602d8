"""The array types that every room shares; their shapes stand in the docstrings of what takes and returns them."""

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
"""Masks: (H, W), or (K, H, W) for several."""

FloatArray = NDArray[np.float32]

ImageArray = NDArray[np.uint8]
"""RGB images (H, W, 3)."""
