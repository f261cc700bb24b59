"""The latents of hqgan's seeds, in numpy alone: the same seed gives the images of `hqgan sample`.

Part of hqgan, Apache-2.0; copied into this folder by `hqgan export`. Needs numpy and nothing else.
"""

import numpy as np

CLASS_STRIDE = 1_000_003  # between the seeds of two classes
LONG = 16  # numbers from which on torch draws normal ones in blocks


def latents(rule: dict, classes: np.ndarray, seed: int) -> np.ndarray:
    """Latents (n, size), float32, of class indices (n,).

    Image i of a class depends on seed, class and i alone: each class has a stream of its own, the
    Mersenne Twister seeded with seed x 1,000,003 + class, as torch.randn and torch.rand read it.

    Args:
        rule: the part `latents` of manifest.json: size, and the distribution, "normal" (standard)
            or "uniform" from 0 to `high`.
        classes: which class each image shall be of.
        seed: what `hqgan sample` calls --seed.
    """
    streams = {int(y): _Stream(seed * CLASS_STRIDE + int(y)) for y in np.unique(classes)}
    size = rule["size"]
    if rule["distribution"] == "normal":
        rows = [streams[int(y)].normal(size) for y in classes]
    else:
        rows = [np.float32(rule["high"]) * streams[int(y)].uniform(size) for y in classes]
    return np.stack(rows).astype(np.float32)


class _Stream:
    def __init__(self, seed: int):
        self.twister = np.random.RandomState(seed % 2**32)
        self.left: list[float] = []  # normal numbers are made in pairs

    def words(self, n: int) -> np.ndarray:
        return self.twister.randint(0, 2**32, size=n, dtype=np.uint32)

    def uniform(self, n: int) -> np.ndarray:
        return (self.words(n) % 2**24).astype(np.float32) * np.float32(2**-24)

    def normal(self, n: int) -> np.ndarray:
        if n < LONG:
            while len(self.left) < n:
                self.left += self._pair()
            drawn, self.left = self.left[:n], self.left[n:]
            return np.array(drawn)
        flat = self.uniform(n)
        made = np.empty(n, np.float32)
        for start in range(0, n - LONG + 1, LONG):
            made[start : start + LONG] = _box_muller(flat[start : start + LONG])
        if n % LONG:  # the last block is drawn anew, over the end of the one before
            made[-LONG:] = _box_muller(self.uniform(LONG))
        return made

    def _pair(self) -> list[float]:
        high = self.words(4).astype(np.uint64)
        joined = (high[0::2] << np.uint64(32)) | high[1::2]
        u, v = (joined % np.uint64(2**53)).astype(float) * 2.0**-53
        radius = np.sqrt(-2 * np.log1p(-v))
        return [radius * np.cos(2 * np.pi * u), radius * np.sin(2 * np.pi * u)]


def _box_muller(block: np.ndarray) -> np.ndarray:
    """Sixteen uniform numbers to sixteen normal ones: eight radii and eight angles."""
    radius = np.sqrt(-2 * np.log(1 - block[:8]))
    angle = 2 * np.pi * block[8:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
