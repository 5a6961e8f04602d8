"""One answer to a prompt, as the next click needs it, and its form on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from sam_backend.core.clicks import Clicks
from sam_backend.labelstudio.brush_text import BrushText
from sam_backend.labelstudio.mask_runs import MaskRuns
from sam_backend.labelstudio.page_regions import PageRegion

_OVERHEAD = 2_000
"""Bytes of an answer beside its regions and masks."""

_BRUSH = 1
"""Marks the numbers of a brush in a packed answer, which nobody has parsed."""


@dataclass(frozen=True, eq=False)
class Start:
    """What a correction started from.

    Attributes
    ----------
    region : PageRegion, the region as it was.
    mask : MaskRuns, its mask.
    clicks : Clicks, the earlier clicks on this region that its mask fulfils.
    """

    region: PageRegion
    mask: MaskRuns
    clicks: Clicks


@dataclass(frozen=True, eq=False)
class Answered:
    """A region that was answered.

    Attributes
    ----------
    region : PageRegion, as answered.
    mask : MaskRuns, its mask.
    clicks : Clicks, all that led to it.
    start : Start, what was corrected; None for a new region.
    ids : the ids of the drawn prompts.
    drawn : Clicks, of the prompt, so that the next click of the same suggestion is known; None for a further piece.
    saved : str, `Page.saved` of the request.
    """

    region: PageRegion
    mask: MaskRuns
    clicks: Clicks
    start: Start | None
    ids: tuple[str, ...]
    drawn: Clicks | None
    saved: str

    @cached_property
    def nbytes(self) -> int:
        """Bytes held, about."""
        before = self.start.region.nbytes + self.start.mask.nbytes if self.start else 0
        return _OVERHEAD + self.region.nbytes + self.mask.nbytes + before


def pack(answer: Answered) -> bytes:
    """Return an answer as MessagePack, which `unpack` reads."""
    start, drawn = answer.start, answer.drawn
    return msgspec.msgpack.encode(
        (
            _region(answer.region),
            _mask(answer.mask),
            _clicks(answer.clicks),
            start and (_region(start.region), _mask(start.mask), _clicks(start.clicks)),
            answer.ids,
            None if drawn is None else _clicks(drawn),
            answer.saved,
        )
    )


def unpack(content: bytes) -> Answered:
    """Return the answer that `pack` wrote; raise ValueError or TypeError for anything else."""
    region, mask, clicks, start, ids, drawn, saved = _decoder.decode(content)
    return Answered(
        _read_region(*region),
        _read_mask(*mask),
        _read_clicks(*clicks),
        Start(_read_region(*start[0]), _read_mask(*start[1]), _read_clicks(*start[2])) if start else None,
        tuple(ids),
        None if drawn is None else _read_clicks(*drawn),
        saved,
    )


def _region(region: PageRegion) -> tuple[object, ...]:
    return region.id, [_plain(entry) for entry in region.entries], region.labels


def _mask(mask: MaskRuns) -> tuple[object, ...]:
    return mask.size, mask.starts.tobytes(), mask.stops.tobytes()


def _clicks(clicks: Clicks) -> tuple[object, ...]:
    return clicks.points.astype(np.float32).tobytes(), clicks.labels.astype(np.int64).tobytes()


def _plain(value: object) -> object:
    """Return a value of Label Studio's JSON with the numbers of brushes marked."""
    if isinstance(value, BrushText):
        return msgspec.msgpack.Ext(_BRUSH, value.text)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    # The numbers of a brush are many, and need no look.
    if isinstance(value, list) and value and not isinstance(value[0], int):
        return [_plain(item) for item in value]
    return value


def _read_region(id_: str, entries: list[dict[str, Any]], labels: list[str]) -> PageRegion:
    return PageRegion(id_, tuple(entries), tuple(labels))


def _read_mask(size: list[int], starts: bytes, stops: bytes) -> MaskRuns:
    height, width = size
    mask = MaskRuns((height, width), np.frombuffer(starts, np.int64), np.frombuffer(stops, np.int64))
    if len(mask.starts) != len(mask.stops):
        raise ValueError("a run of its mask has no end")
    return mask


def _read_clicks(points: bytes, labels: bytes) -> Clicks:
    clicks = Clicks(np.frombuffer(points, np.float32).reshape(-1, 2), np.frombuffer(labels, np.int64))
    if len(clicks.points) != len(clicks.labels):
        raise ValueError("a click has no label")
    return clicks


def _read_brush(code: int, text: memoryview) -> BrushText:
    if code != _BRUSH:
        raise ValueError(f"{code} marks nothing in an answer")
    return BrushText(bytes(text))


_decoder = msgspec.msgpack.Decoder(ext_hook=_read_brush)
