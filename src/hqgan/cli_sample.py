"""The commands that make pictures at once: `hqgan sample` and `hqgan demo`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hqgan.cli_data import Json, Pretrained, Seed
from hqgan.console import (
    command,
    counter,
    emit,
    going_to,
    interruptible,
    propose,
    say,
    training_progress,
)


def sample(
    run: Annotated[Path | None, typer.Argument(help="run folder or snapshot")] = None,
    pretrained: Pretrained = None,
    out: Annotated[Path, typer.Option(help="where results go")] = Path("samples"),
    per_class: Annotated[
        int | None, typer.Option(help="images of every class (default: 8, without --n)")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="images in all, in the class mix of the training data")
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="take the class mix of these data instead")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write synthetic images as OUT/<class>/*.png and OUT/grid.png."""
    from hqgan.pretrained import chosen
    from hqgan.workflows import sample as run_sampling

    source = chosen(run, pretrained)
    going_to(out)
    begun = f"what {out} holds is whole; the same command with another --out starts again"
    with interruptible(begun), counter("sampling") as progress:
        result = run_sampling(
            source, out, per_class=per_class, n=n, like=like, seed=seed, progress=progress
        )
    say(f"{result.files} images in {result.out}, overview in {result.grid}")
    if result.origin:
        credit = f"{result.origin.name}: {result.origin.credit()}"
        say(f"{credit}, not for diagnosis; terms in {Path(result.out) / 'README.md'}")
    if as_json:
        emit(asdict(result))


def demo(
    out: Annotated[Path, typer.Option(help="where results go")] = Path("runs/demo"),
    kimg: Annotated[float | None, typer.Option(help="thousands of images to train on")] = None,
    as_json: Json = False,
) -> None:
    """Train a few minutes on built-in synthetic lesions. Needs no data and no network."""
    from hqgan.report import sample_sheet
    from hqgan.workflows import demo as run_demo

    going_to(out)
    kept = f"what is trained is kept in {out}, and the same command continues"
    with interruptible(kept), training_progress() as callbacks:
        result = run_demo(out, **({} if kimg is None else {"kimg": kimg}), callbacks=callbacks)
        picture = sample_sheet(out, "embedded", split="train")
    say(f"\npicture:  {picture}  (left embedded images, right generated ones)")
    say(f"metrics:  {result.metrics}")
    say(
        f"          {result.recipe} {result.value:.4g} against the embedded validation images; "
        f"real images score {result.floor:.4g}"
    )
    say(f"run:      {result.run}")
    for one in result.finished:
        say(f"finished: {one.line()}")
    say("")
    propose(
        command("report", out),
        command("sample", "--pretrained", "ham10000-64", "--n", 64, "--out", "synthetic"),
    )
    say("\nOn your own images (PATH: one folder a class, or a csv):")
    mine = "runs/mine"
    for words in (
        ("data", "inspect", "PATH"),
        ("train", "--data", "PATH", "--size", 64, "--kimg", 250, "--out", mine),
        ("evaluate", mine),
        ("sample", mine, "--per-class", 100, "--out", "synthetic-mine"),
    ):
        say(f"  {command(*words)}")
    if as_json:
        emit({**asdict(result), "picture": str(picture)})
