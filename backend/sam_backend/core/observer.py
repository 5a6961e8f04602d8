"""What the work reports about itself, for the metrics and log lines of whoever carries the requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from sam_backend.segmenters.cache import EmbeddingSource


class Observer:
    """Receives reports about the work, from many threads; this base class ignores them."""

    def encoded(self, seconds: float) -> None:
        """Receive the time that encoding an image took, or that it took until it failed."""

    def decoded(self, seconds: float) -> None:
        """Receive the time that decoding a batch of prompts took, or that it took until it failed."""

    def embedding_fetched(self, source: EmbeddingSource) -> None:
        """Receive the source of an embedding that was fetched for a request."""

    def image_failed(self, status: int) -> None:
        """Receive the HTTP status, for example 502, of an error that prevented fetching an image."""


@dataclass
class RequestNotes:
    """What the log line of a request says; filled in while the request is answered.

    Attributes
    ----------
    task : str, the task's id, or the ids or the number of several tasks.
    prompt : str, the kind of prompt, for example `1+0-`, `box` or `everything`.
    page : str, the image of the task if it has several, for example `front[1]`.
    image : str, the source of the embedding, a value of `EmbeddingSource`.
    error : str, the message of the error that was answered.
    left_out : list of str, sentences about what the answer was made without.
    """

    EVERYTHING: ClassVar[str] = "everything"
    """The kind of prompt of a batch."""

    task: str = ""
    prompt: str = ""
    page: str = ""
    image: str = ""
    error: str = ""
    left_out: list[str] = field(default_factory=list)

    @property
    def is_click(self) -> bool:
        """Whether an annotator drew a prompt."""
        return self.prompt not in ("", self.EVERYTHING)

    def __str__(self) -> str:
        shown = {name: value for name, value in vars(self).items() if name not in ("error", "left_out")}
        fields = (f" {name}={value}" for name, value in shown.items() if value)
        return "".join(fields) + (f": {self.error}" if self.error else "")
