"""HybridQ: a hybrid classical-quantum GAN for small, imbalanced sets of colour skin images.

Source: arXiv 2506.21015.
"""

__version__ = "0.1.0"
