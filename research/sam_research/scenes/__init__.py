"""Procedurally made training scenes with exact masks; only numpy and OpenCV, no image of anyone else."""

from sam_research.scenes.scene import Scene, make_scene

__all__ = ["Scene", "make_scene"]
