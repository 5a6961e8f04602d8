"""Bodies of HTTP answers: read within a deadline, decoded, and bounded before and after decoding."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Mapping

from sam_backend.labelstudio.connections import FetchDeadline, TransportError
from sam_backend.safe_text import escape_unprintable

_CHUNK = 2**16


def read_body(chunks: Iterable[bytes], headers: Mapping[str, str], deadline: FetchDeadline, max_bytes: int) -> bytes:
    """Read and decode a body.

    Raises
    ------
    TransportError
        If it is larger than `max_bytes`, before or after decoding, or its encoding is unknown.
    """
    too_large = TransportError(f"is larger than {max_bytes >> 20} MiB")
    length = headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 18 or int(length) > max_bytes):
        raise too_large
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise TransportError(f"comes in the encoding {escape_unprintable(coding)[:20]!r}, which was not asked for")
    decoder = None if coding in ("identity", "") else zlib.decompressobj(47)
    body = io.BytesIO()
    for chunk in chunks:
        deadline.remaining()
        pending = chunk
        while pending:
            if decoder is None:
                piece, pending = pending, b""
            else:
                try:
                    piece = decoder.decompress(pending, _CHUNK)
                except zlib.error:
                    raise TransportError("comes in a broken encoding") from None
                pending = decoder.unconsumed_tail
                if not piece and not pending:
                    break
            body.write(piece)
            if body.tell() > max_bytes:
                raise too_large
    if decoder is not None and not decoder.eof:
        raise TransportError("broke off while it was sent")
    return body.getvalue()
