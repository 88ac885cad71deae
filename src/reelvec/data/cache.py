"""Decoded short videos kept in memory: a small data set is decoded in the first epoch and only sliced from then on."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np


class DecodedCache:
    """Whole videos, a stream each under its own key, until the budget is full; nothing is thrown out again.

    A run goes through all videos in every epoch. Throwing out what was used longest ago would each time throw out what
    is needed next; keeping what came first serves the same share of all reads as fits into memory.
    """

    def __init__(self, budget_bytes: int, longest_frames: int = 300) -> None:
        """Keep at most `budget_bytes`, and only videos of up to `longest_frames` frames.

        Of a longer video a clip is a small part, and decoding all of it for the sake of later epochs would take long.
        """
        self.budget_bytes, self.longest_frames = budget_bytes, longest_frames
        self.used_bytes = 0
        self._streams: dict[Hashable, np.ndarray] = {}

    def __len__(self) -> int:
        """Number of streams kept."""
        return len(self._streams)

    def fetch(
        self,
        frames: int,
        bytes_by_key: dict[Hashable, int],
        read: Callable[[Sequence[Hashable]], dict[Hashable, np.ndarray]],
    ) -> dict[Hashable, np.ndarray] | None:
        """Return the streams of one video under the keys of `bytes_by_key`; what is absent is read in one go and kept.

        Returns None where the video is too long or what is absent does not fit. Arrays are read-only.
        """
        missing = [key for key in bytes_by_key if key not in self._streams]
        if missing:
            fits = self.used_bytes + sum(bytes_by_key[key] for key in missing) <= self.budget_bytes
            if frames > self.longest_frames or not fits:
                return None
            for key, stream in read(missing).items():
                stream.setflags(write=False)
                self._streams[key] = stream
                self.used_bytes += stream.nbytes
        return {key: self._streams[key] for key in bytes_by_key}
