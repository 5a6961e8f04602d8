"""Signals as images and back: reading, sampling, spectrograms, calibration, intervals. Nothing here knows Label Studio."""
