"""On which side of a split an image stands."""

from __future__ import annotations

import hashlib

from sam_evaluation.exports.writer import TRAIN, VAL


class Split:
    """Divides groups of images by a hash, so that later images move no earlier one.

    The side of a group depends on its name alone. Only where its first image is, byte by byte, in an earlier group, it
    stands on the side of that one.

    Parameters
    ----------
    share : float, the part of the groups that is for training, above 0 and at most 1.
    seed : int, another seed is another split.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._seed = share, seed
        self._groups: dict[str, str] = {}
        self._contents: dict[bytes, str] = {}

    def side(self, group: str, content: bytes) -> str:
        """Return `TRAIN` or `VAL`.

        Parameters
        ----------
        group : str, what stays together, for example the task's id.
        content : bytes, a digest of the image.
        """
        side = self._groups.get(group) or self._contents.get(content) or self._of_hash(group)
        self._groups[group] = side
        self._contents.setdefault(content, side)
        return side

    def _of_hash(self, group: str) -> str:
        digest = hashlib.blake2b(f"{self._seed}:{group}".encode(errors="surrogatepass"), digest_size=8).digest()
        return TRAIN if int.from_bytes(digest, "big") / 2**64 < self._share else VAL
