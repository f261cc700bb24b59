"""Pages for people: a figure, its numbers, and sentences that say what was done."""

from hqgan.report.circuit_figure import circuit_figure as circuit_figure
from hqgan.report.comparison import comparison_page as comparison_page
from hqgan.report.folders import Report as Report
from hqgan.report.folders import report as report
from hqgan.report.hardware import hardware_page as hardware_page
from hqgan.report.hardware_study import hardware_study_page as hardware_study_page
from hqgan.report.probe import probe_page as probe_page
from hqgan.report.sheet import sample_sheet as sample_sheet
from hqgan.report.study import study_page as study_page
