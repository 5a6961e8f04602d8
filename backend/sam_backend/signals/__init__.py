"""Signals as images and back: recordings, spectrograms, calibration, intervals. Nothing here knows Label Studio."""
