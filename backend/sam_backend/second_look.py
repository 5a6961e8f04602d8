"""The setting `focus`, in a module that costs nothing to import."""

from enum import StrEnum


class Focus(StrEnum):
    """When a model takes a second look, at a crop around a small object.

    AUTO: with the models that a second look was measured to help, on the objects where it was measured to help.
    ON: with every model, wherever the crop is smaller than the image.
    OFF: never.
    """

    AUTO = "auto"
    ON = "on"
    OFF = "off"
