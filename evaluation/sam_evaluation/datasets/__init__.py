"""Readers of data sets, one module per format, all yielding `Sample`; nothing here evaluates or writes."""
