"""A trained generator on noisy and real quantum computers, with a journal of paid jobs.

| step | file |
| --- | --- |
| which circuits, with which angles; their values put back | capture.py |
| what is asked of a backend, and its files | plan.py, arrays.py |
| jobs: noted, sent, found again, fetched | journal.py, jobs.py |
| values and images of each source against exact ones | results.py, judging.py |
| `hqgan hardware sample`, `collect`, `study` | sample.py, collect.py, study.py |
"""

from hqgan.workflows.hardware.asked import Settings as Settings
from hqgan.workflows.hardware.collect import collect as collect
from hqgan.workflows.hardware.jobs import require_affordable as require_affordable
from hqgan.workflows.hardware.journal import JOBS as JOBS
from hqgan.workflows.hardware.judging import reference_of as reference_of
from hqgan.workflows.hardware.plan import folder_of as folder_of
from hqgan.workflows.hardware.plan import plan as plan
from hqgan.workflows.hardware.results import Source as Source
from hqgan.workflows.hardware.sample import Hardware as Hardware
from hqgan.workflows.hardware.sample import sample as sample
from hqgan.workflows.hardware.study import NoiseStudy as NoiseStudy
from hqgan.workflows.hardware.study import study as study
