"""Can synthetic images be told from real ones? A control: a texture of the generator is a shortcut.

Where only rare classes have synthetic images, a classifier may learn "synthetic is rare" instead
of the disease. The easier the two are told apart, the more that is to be feared.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hqgan.evaluation.metrics import MIN_GROUPS, Array, as_features

FOLDS = 5
STRENGTH = 0.1  # inverse of the penalty on the weights: features are many, images few


def detectability(
    real: Array, fake: Array, groups: NDArray[np.generic], seed: int = 0
) -> float | None:
    """Area under the ROC curve of a linear classifier of features: 0.5 none, 1 all told apart.

    Mean over five folds that were held out, all images of a lesion in one of them. A linear
    classifier on features that were not made for the task finds less than a network trained to
    detect would.

    Args:
        real: (M, d), of images that the generator has not seen.
        fake: (N, d), in the class mix of `real`.
        groups: (M,) lesions of the real images.
        seed: of the folds.

    Returns None below 5 lesions or 5 fakes.
    """
    real, fake = as_features(real, "real"), as_features(fake, "fake")
    if min(len(np.unique(groups)), len(fake)) < MIN_GROUPS:
        return None
    features = np.concatenate([real, fake])
    labels = np.repeat([0, 1], [len(real), len(fake)])
    alone = [f"fake {i}" for i in range(len(fake))]
    lesions = np.concatenate([np.char.add("real ", np.asarray(groups).astype(str)), alone])
    areas = []
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fit, held_out in folds.split(features, labels, lesions):
        model.fit(features[fit], labels[fit])
        areas.append(roc_auc_score(labels[held_out], model.decision_function(features[held_out])))
    return float(np.mean(areas))
