"""SAM Inspect's backend: masks for Label Studio from the Segment Anything Model."""

from importlib.metadata import version

__version__ = version("sam-inspect")
