"""What is known of a model before it is loaded: one entry a model, for everyone who asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from sam_backend.extras import missing_packages
from sam_backend.settings import Settings, read_settings

if TYPE_CHECKING:
    from sam_backend.segmenters.protocol import Segmenter

PromptKind = Literal["box", "points", "logits", "everything", "text", "exemplars"]
"""What a prompt may hold; `everything` are the clicks of `propose_masks`, which segments all of an image.

`text` and `exemplars`, boxes around examples in the image, ask for all instances of a concept at once.
"""

Corrections = Literal["model", "refiner"]
"""Who corrects a model's answer by the next click: the model itself, as SAM was trained, or the refiner."""

DrawnMasks = Literal["logits", "points"]
"""How a stroke or an outline goes in: as logits beside its points or its box, or as its points or its box alone."""

INTERACTIVE: frozenset[PromptKind] = frozenset({"box", "points", "logits", "everything"})
"""The prompts about one object, which most models take."""

CONCEPTS: frozenset[PromptKind] = frozenset({"text", "exemplars"})
"""The prompts about all that is alike in an image."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights.

    Attributes
    ----------
    model : str, the name of the model that it belongs to.
    url : str, its address; the last part is the name under which it is kept.
    size : int, in bytes.
    sha256 : str, 64 hex digits.
    """

    model: str
    url: str
    size: int
    sha256: str

    @property
    def filename(self) -> str:
        """Its published name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Repository:
    """A published folder of a model: its weights, its configuration, and how it takes images.

    Attributes
    ----------
    model : str, the name of the model that it belongs to.
    name : str, owner and name on the Hugging Face Hub.
    size : int, bytes of all files, roughly; the server states each file's own size.
    licence_page : str, the page on which the licence must be accepted before the download; "" where none must.
    beside : tuple of str, files that the model needs beside those of every folder.
    """

    model: str
    name: str
    size: int
    licence_page: str = ""
    beside: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        """The name of the folder in which it is kept."""
        return self.name.replace("/", "--")


@dataclass(frozen=True)
class WeightFolders:
    """Where files of weights are, and where they come from.

    Attributes
    ----------
    given : Path or None, the folder of the setting `weights`, which is searched first and never written.
    cache : Path, the folder of the setting `cache`; downloads go into `weights` in it.
    ca_bundle : Path or None, the certificates of the setting `ca_bundle`, which downloads trust too.
    mirror : str, the address of the setting `mirror`, which stands for the servers of all downloads; "" for none.
    hub_token : str, the setting `hub_token`, sent where repositories are downloaded from.
    """

    given: Path | None
    cache: Path
    ca_bundle: Path | None = None
    mirror: str = ""
    hub_token: str = field(default="", repr=False)

    @classmethod
    def of_settings(cls, settings: Settings | None) -> Self:
        """Return the folders of the settings; None reads the settings of this process."""
        chosen = settings or read_settings()
        token = chosen.hub_token.get_secret_value() if chosen.hub_token else ""
        return cls(chosen.weights, chosen.cache, chosen.ca_bundle, chosen.mirror or "", token)

    def address(self, url: str) -> str:
        """Return where to fetch what is published at `url`: the mirror has the same paths.

        Examples
        --------
        >>> WeightFolders(None, Path("cache"), mirror="http://mirror/models").address("https://hub.org/owner/file")
        'http://mirror/models/owner/file'
        """
        return self.mirror.rstrip("/") + urlsplit(url).path if self.mirror else url


@dataclass(frozen=True)
class ModelInfo:
    """A model's entry.

    Attributes
    ----------
    name : str, as users give it, for example "nano" or "sam:vit_b".
    description : str, one line.
    licence : str, SPDX identifier of the licence of the weights or, without weights, of the code.
    load : function of this entry, of the path given with `--checkpoint` (None for the default place), of the number of
        threads (0 for all cores), and of the folders of weights; it returns the segmenter, or raises `WeightsError`.
    prompts : kinds of prompts that the model answers.
    files : files of weights that it needs beside the package; they can be downloaded before it is loaded.
    repository : Repository or None, the folder of weights that it needs instead of files.
    packages : packages, by their import names, that it needs beside those of the base install.
    install : str, the command that installs these packages.
    is_trainable : bool, whether `sam-inspect finetune` can tune it.
    is_heavy : bool, whether an image takes seconds on a CPU and a copy takes gigabytes, so that processes share one.
    focus_pays : bool, whether it takes a second look by default (`sam_backend.segmenters.focus`).
    has_features : bool, whether `Segmenter.features` gives features, which the memory needs.
    drawn_masks : "logits" or "points", how what a person drew goes in (docs/decisions/038-masks-as-prompts.md).
    corrections : "model" or "refiner", who corrects an answer by the next click (`sam_backend.segmenters.refinement`).
    """

    name: str
    description: str
    licence: str
    load: Callable[[ModelInfo, Path | None, int, WeightFolders], Segmenter]
    prompts: frozenset[PromptKind] = INTERACTIVE
    files: tuple[WeightsFile, ...] = ()
    repository: Repository | None = None
    packages: tuple[str, ...] = ()
    install: str = ""
    is_trainable: bool = False
    is_heavy: bool = False
    focus_pays: bool = False
    has_features: bool = False
    drawn_masks: DrawnMasks = "logits"
    corrections: Corrections = "model"

    @property
    def weights(self) -> tuple[WeightsFile | Repository, ...]:
        """All that can be downloaded for it."""
        return (*self.files, self.repository) if self.repository else self.files

    @property
    def missing_packages(self) -> tuple[str, ...]:
        """The needed packages that are not installed here."""
        return missing_packages(self.packages)
