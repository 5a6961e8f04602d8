"""Pipelines: steps that propose masks one after the other, named in one file. A package adds steps by entry points."""

from sam_backend.pipeline.scene import ProposedBox, ProposedMask, Scene
from sam_backend.pipeline.step import PROJECT, File, Share, needs

__all__ = ["PROJECT", "File", "ProposedBox", "ProposedMask", "Scene", "Share", "needs"]
