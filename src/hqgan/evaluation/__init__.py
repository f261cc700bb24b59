"""How good are the images: features, distances, and the recipes that make a number comparable."""

from hqgan.evaluation.curves import flattened as flattened
from hqgan.evaluation.curves import images_to_reach as images_to_reach
from hqgan.evaluation.curves import within as within
from hqgan.evaluation.features import EXTRACTORS as EXTRACTORS
from hqgan.evaluation.features import Extractor as Extractor
from hqgan.evaluation.features import load_extractor as load_extractor
from hqgan.evaluation.manifold import Manifold as Manifold
from hqgan.evaluation.manifold import (
    precision_recall_density_coverage as precision_recall_density_coverage,
)
from hqgan.evaluation.metrics import TooFewImages as TooFewImages
from hqgan.evaluation.metrics import frechet_distance as frechet_distance
from hqgan.evaluation.metrics import kid as kid
from hqgan.evaluation.metrics import kid_bootstrap as kid_bootstrap
from hqgan.evaluation.metrics import kid_interval as kid_interval
from hqgan.evaluation.recipes import RecipeResult as RecipeResult
from hqgan.evaluation.recipes import evaluate_images as evaluate_images
from hqgan.evaluation.recipes import reference_class_mix as reference_class_mix
from hqgan.evaluation.statistics import Difference as Difference
from hqgan.evaluation.statistics import Reference as Reference
from hqgan.evaluation.statistics import SeedMean as SeedMean
from hqgan.evaluation.statistics import kid_difference as kid_difference
from hqgan.evaluation.statistics import mean_over_seeds as mean_over_seeds
