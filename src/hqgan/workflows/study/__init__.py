"""A controlled study of whether synthetic images help a classifier."""

from importlib import resources

from hqgan.workflows.study.plan import Plan as Plan
from hqgan.workflows.study.plan import plan as plan
from hqgan.workflows.study.results import StudyResult as StudyResult
from hqgan.workflows.study.study import study as study

EXAMPLE = resources.files("hqgan.workflows.study").joinpath("example.yaml")
