"""An extractor that takes no time, called like Inception's."""

import numpy as np


class Pixels:
    """A few random projections of the pixels, in the place of the 768 features."""

    name = "inception768"

    def narrower(self) -> None:
        return None

    def __call__(self, images: np.ndarray, progress: object = None) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(np.float32) / 127.5 - 1.0
        directions = np.random.default_rng(0).standard_normal((flat.shape[1], 8))
        return (flat @ directions / flat.shape[1] ** 0.5).astype(np.float32)

    def __str__(self) -> str:
        return "random projections"
