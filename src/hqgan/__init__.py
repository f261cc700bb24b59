"""hqgan: the hybrid classical-quantum GAN HybridQ (arXiv 2506.21015) for small, imbalanced sets of colour skin images."""

__version__ = "0.1.0"
