"""One run of a study's classifier: images/s, minutes, and the balanced accuracy it reaches on val.

    OMP_NUM_THREADS=1 python benchmarks/classifier.py [--data PATH] [--epochs 20] [--json]

The bar (2 cores): the small ResNet on HAM10000 at 64 px, 5,992 images, 20 epochs, with standard
augmentation and oversampling, in less than 4 minutes, so at 500 images/s and more. Ten looks at val
are in the time; loading the images is not. With one thread it computes in bfloat16 where the
processor can, and a second run has the other core; with two, in float32.
"""

import argparse
import json
import os
import time

import numpy as np
from machine import describe, peak_memory_mib

from hqgan.data import load_dataset
from hqgan.models.registry import parameter_count
from hqgan.training.classification import ClassifierRecipe, fit_classifier

BAR_MINUTES = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("HQGAN_DATA", "embedded"))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=float, default=20)
    parser.add_argument("--name", default="resnet-small")
    parser.add_argument("--weights", help="safetensors file of a pretrained classifier")
    parser.add_argument("--balance", default="oversampling")
    parser.add_argument("--learning-rate", type=float, help="default: its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    train, val = (load_dataset(options.data, split, options.size) for split in ("train", "val"))
    recipe = ClassifierRecipe(
        name=options.name,
        steps=round(options.epochs * len(train) / ClassifierRecipe.batch),
        learning_rate=options.learning_rate,
        augmentation="standard",
        balance=options.balance,
        weights=options.weights,
    )
    machine = describe()
    started = time.perf_counter()
    fitted = fit_classifier(recipe, train.images, train.labels, val, options.seed)
    seconds = time.perf_counter() - started
    selected = next(look for look in fitted.curve if look["step"] == fitted.step)
    report = {
        "classifier": recipe.name,
        "size": options.size,
        "images": len(train),
        "steps": recipe.steps,
        "batch": recipe.batch,
        "minutes": round(seconds / 60, 2),
        "images_per_second": round(recipe.steps * recipe.batch / seconds, 1),
        "balanced_accuracy": round(selected["balanced_accuracy"], 4),
        "log_loss": round(selected["log_loss"], 4),
        "selected_step": fitted.step,
        "curve": np.round([look["balanced_accuracy"] for look in fitted.curve], 3).tolist(),
        "parameters": parameter_count(fitted.classifier),
        "peak_memory_mib": round(peak_memory_mib()),
        "machine": machine,
    }
    if options.json:
        print(json.dumps(report))
        return
    print(
        f"{recipe.name}, {options.size} px, {len(train)} images, {options.epochs:g} epochs: "
        f"{report['minutes']} minutes, {report['images_per_second']} images/s"
    )
    print(f"bar: {BAR_MINUTES} minutes; {machine['gemm_float32']:.0f} GFLOP/s float32 before it")
    print(
        f"balanced accuracy on val {selected['balanced_accuracy']:.3f} at step {fitted.step} "
        f"of {recipe.steps}; all looks {report['curve']}"
    )


if __name__ == "__main__":
    main()
