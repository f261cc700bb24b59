"""Images, labels and splits; knows no model."""

from hqgan.data.dataset import SPLITS, Dataset, Record, Skipped, Source, require_trainable
from hqgan.data.downloading import CATALOGUE, RemoteDataset, RemoteFile, download
from hqgan.data.inspection import Inspection, inspect
from hqgan.data.loading import cache_folder, load_dataset
from hqgan.data.pixels import save_grid, save_png, to_float, to_uint8
from hqgan.data.preparing import Prepared, class_folders, prepare
from hqgan.data.sources import EMBEDDED, open_source

__all__ = [
    "CATALOGUE",
    "EMBEDDED",
    "SPLITS",
    "Dataset",
    "Inspection",
    "Prepared",
    "Record",
    "RemoteDataset",
    "RemoteFile",
    "Skipped",
    "Source",
    "cache_folder",
    "class_folders",
    "download",
    "inspect",
    "load_dataset",
    "open_source",
    "prepare",
    "require_trainable",
    "save_grid",
    "save_png",
    "to_float",
    "to_uint8",
]
