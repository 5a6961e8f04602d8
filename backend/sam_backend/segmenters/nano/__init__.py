"""The embedded model: a small promptable segmenter of SAM's architecture, shipped as ONNX, trained by this project."""
