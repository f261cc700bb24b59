"""A module of torch as one ONNX file, by torch's exporter; and ONNX files run, by ONNX Runtime."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqgan.errors import MissingExtra, UsageError

OPSETS = range(18, 24)
OPSET = 20  # of September 2023; read by ONNX Runtime from 1.17 on
BATCH = "batch"


def require_packages() -> None:
    """MissingExtra where a package of the extra `export` is absent."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra(package, "export", "hqgan export") from error


def require_opset(opset: int) -> None:
    """UsageError for a version of the operators that is not offered."""
    if opset not in OPSETS:
        raise UsageError(
            f"opset is {opset}, but must lie from {OPSETS[0]} to {OPSETS[-1]}; {OPSET} is the "
            "default"
        )


def write_onnx(
    module: nn.Module,
    examples: Mapping[str, Tensor],
    output: str,
    file: Path,
    *,
    opset: int,
    metadata: Mapping[str, str],
) -> None:
    """Write a module as one file, weights inside, for batches of any size.

    Args:
        module: in eval mode.
        examples: what its arguments are called in the file, with an example of two or more rows
            each; the first dimension is the batch.
        output: what its one result is called.
        file: where to.
        opset: version of ONNX's operators.
        metadata: what the file says of itself.

    Cost: some seconds for each file.
    """
    import onnx

    batch = torch.export.Dim(BATCH)
    with quiet(), torch.no_grad():
        program = torch.export.export(
            module, tuple(examples.values()), dynamic_shapes=tuple({0: batch} for _ in examples)
        )
        written = torch.onnx.export(
            program,
            (),
            dynamo=True,
            input_names=list(examples),
            output_names=[output],
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    if written is None:
        raise TypeError("torch's exporter returned nothing")
    model = written.model_proto
    anonymous(model)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    model.producer_name = "hqgan"
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def anonymous(model: Any) -> None:
    """Take out what torch notes of each node: stack traces, with paths of this machine."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
    for part in graph.initializer:
        del part.metadata_props[:]
    del graph.value_info[:]  # shapes of intermediate maps: inferred anew by whoever reads it


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's remarks about torchvision, and about its own use of its own functions."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*treespec, LeafSpec", FutureWarning)
            yield
    finally:
        log.setLevel(level)


class OnnxFile:
    """An ONNX file, opened by ONNX Runtime on the CPU; called with arrays in the file's order."""

    def __init__(self, file: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [value.name for value in self.session.get_inputs()]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return self.session.run(None, dict(zip(self.inputs, arrays, strict=True)))[0]

    def in_batches(self, sizes: Sequence[int], *arrays: np.ndarray) -> np.ndarray:
        """The same rows, so many at a time."""
        cuts = np.cumsum(sizes)[:-1]
        parts = [np.split(array, cuts) for array in arrays]
        return np.concatenate([self(*rows) for rows in zip(*parts, strict=True)])
