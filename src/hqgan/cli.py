"""The command line: parse, call one function, print.

Human text goes to stderr; with --json one JSON object goes to stdout. Exit codes: 0 done, 1 failed,
2 wrong usage, 130 interrupted with the state saved.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import hqgan
from hqgan import (
    cli_app,
    cli_compare,
    cli_export,
    cli_report,
    cli_sample,
    cli_study,
    completion,
)
from hqgan.cli_compare import Split, Weights, chosen_extractor
from hqgan.cli_data import (
    Assignments,
    DataPath,
    Device,
    Init,
    Json,
    Label,
    Seed,
    Size,
    data_app,
    name_built_in,
)
from hqgan.cli_hardware import hardware_app
from hqgan.cli_order import NewcomersFirst
from hqgan.console import (
    command,
    emit,
    fail,
    going_to,
    interruptible,
    last_words,
    make_room,
    propose,
    say,
    stages,
    training_progress,
)
from hqgan.errors import HqganError, RunError, UsageError, shortage

START = """\b
Start with one of these:
  hqgan demo                                              no data, no network
  hqgan sample --pretrained ham10000-64 --n 64            pictures in seconds
  hqgan data inspect PATH                                 then train --data PATH
Each command explains itself: hqgan train --help
"""

app = typer.Typer(
    name="hqgan",
    cls=NewcomersFirst,
    help="HybridQ: a hybrid classical-quantum GAN for colour skin-lesion images.",
    epilog=START,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_app, name="data")
app.add_typer(hardware_app, name="hardware")

Out = Annotated[Path, typer.Option(help="where results go")]


def show_version(asked: bool) -> None:
    """For bug reports."""
    if asked:
        print(f"hqgan {hqgan.__version__}")
        raise typer.Exit


@app.callback()
def hqgan_itself(
    version: Annotated[
        bool,
        typer.Option("--version", help="print the version", callback=show_version, is_eager=True),
    ] = False,
) -> None:
    """Options before a command."""


@app.command(epilog="Example: hqgan train --data images/ --size 64 --kimg 250 --out runs/mine")
def train(
    data: DataPath = None,
    out: Out = Path("runs/hybridq"),
    preset: Annotated[
        str | None,
        typer.Option(help="e.g. hybridq, twin-zeros, dcgan+kit", autocompletion=completion.presets),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML with any subset of the keys of config.yaml")
    ] = None,
    assignments: Assignments = None,
    size: Size = None,
    kimg: Annotated[
        float | None,
        typer.Option(
            help="thousands of real images shown to the critic; "
            "250 take about an hour on a CPU at 64 px"
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="images per step")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of everything random")] = None,
    device: Device = None,
    label: Label = None,
    init: Init = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="train under a device's noise: aer:fake_NAME (needs hqgan[quantum])",
            autocompletion=completion.noises,
        ),
    ] = None,
    logger: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="also tell tensorboard, wandb or mlflow (needs hqgan[loggers]); may be repeated",
            autocompletion=completion.among("tensorboard", "wandb", "mlflow"),
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the resolved configuration and stop")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a generator. The same command continues, with a larger --kimg it goes further."""
    from hqgan.config import load_config, to_yaml

    overrides = {
        "data.path": data,
        "data.label": label,
        "size": size,
        "kimg": kimg,
        "batch": batch,
        "seed": seed,
        "device": device,
        "init.run": init,
        "noise.device": noise,
        "loggers": [one.strip() for each in logger or () for one in each.split(",")] or None,
    }
    resolved = load_config(preset, config, overrides, assignments or ())
    if dry_run:
        if as_json:
            emit(resolved.model_dump(mode="json"))
        else:
            say(to_yaml(resolved).rstrip())
        return
    from hqgan.training import train as run_training
    from hqgan.workflows.model_card import refresh_card

    name_built_in(resolved.data.path, data)
    going_to(out)
    kept = f"what was saved before stands in {out}, and the same command goes on"
    with interruptible(kept), training_progress() as callbacks:
        result = run_training(resolved, out, callbacks=callbacks)
    refresh_card(Path(result.snapshot), say)
    rate = f", {result.images_per_second:.0f} images/s" if result.images_per_second else ""
    say(f"{result.images_seen:,} images seen{rate}")
    say(f"snapshot: {result.snapshot}\nsamples:  {out / 'samples'}")
    propose(
        command("evaluate", out),
        command("sample", out, "--per-class", 16, "--out", "images"),
        command("report", out),
    )
    if as_json:
        emit(asdict(result))


app.command(epilog="Example: hqgan sample runs/mine --per-class 100 --out synthetic")(
    cli_sample.sample
)


@app.command(epilog="Example: hqgan evaluate runs/mine --curve")
def evaluate(
    run: Annotated[Path, typer.Argument(help="run folder or snapshot")],
    data: DataPath = None,
    split: Split = None,
    final: Annotated[bool, typer.Option("--final", help="open the test split; recorded")] = False,
    n: Annotated[
        int | None, typer.Option("--n", help="generated images (default: as many as the split has)")
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="measure every snapshot with 500 images")
    ] = False,
    privacy: Annotated[
        bool,
        typer.Option("--privacy", help="also look for copies of training images, in RUN/privacy"),
    ] = False,
    inception_weights: Weights = None,
    label: Label = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure a generator on val, each number beside its floor. On test once, at the end."""
    from hqgan.evaluation.meanings import measured_in
    from hqgan.evaluation.run import RECORDS, chosen_split, data_of, evaluate_run
    from hqgan.models import find_snapshot
    from hqgan.report import sample_sheet
    from hqgan.workflows.model_card import refresh_card

    split = chosen_split(split, final)
    if privacy:
        from hqgan.workflows.privacy import privacy as look_for_copies
        from hqgan.workflows.privacy import require_enough

        require_enough(n)
    record = find_snapshot(run).parent / RECORDS
    going_to(record.parent)
    before = record.stat().st_size if record.is_file() else 0

    def kept() -> str:
        now = record.stat().st_size if record.is_file() else 0
        done = f"what was measured stands in {record}" if now > before else "nothing was written"
        return f"{done}; the same command starts again"

    with interruptible(kept):
        with stages() as progress:
            extractor = chosen_extractor(inception_weights, progress)
            path, column = (data, None) if data else data_of(run)
            measured = evaluate_run(
                run,
                path,
                extractor,
                split=split,
                final=final,
                n=n,
                seed=seed,
                curve=curve,
                label=label or column,
                progress=progress,
            )
        for one in measured:
            said = f"{one.snapshot} ({one.images_seen:,} images)"
            say(f"\n{said}, {measured_in(str(extractor))}")
            for line in one.lines():
                say(line)
        sheet = None
        try:
            sheet = sample_sheet(
                measured[-1].snapshot, path, split=split, label=label or column, seed=seed
            )
            say(f"\npicture: {sheet} (half of it real images: share it as you may share those)")
        except RunError as error:  # numbers are not lost to a picture
            say(f"\nno picture: {error}")
        copies = None
        if privacy:
            with stages() as progress:
                copies = look_for_copies(
                    run, path, extractor, split=split, final=final, n=n, seed=seed,
                    label=label or column, progress=progress,
                )  # fmt: skip
            for line in copies.lines():
                say(line)
    refresh_card(measured[-1].snapshot, say)
    propose(command("report", run))
    if as_json:
        recipes = measured[-1].records
        points = [{"images_seen": m.images_seen, "recipes": m.records} for m in measured]
        found = {"privacy": copies.as_json()} if copies else {}
        more = {"curve": points} if curve else {}
        emit({"recipes": recipes, "picture": sheet and str(sheet), **more, **found})


app.command(epilog="Example: hqgan demo --out runs/demo")(cli_sample.demo)


@app.command(epilog="Example: hqgan doctor")
def doctor(as_json: Json = False) -> None:
    """Say what this machine offers and lacks. Names the command that mends it."""
    from hqgan.doctor import examine

    findings = examine()
    for finding in findings:
        say(f"{'ok ' if finding.ok else 'BAD'} {finding.name:18} {finding.state}")
        if finding.remedy:
            say(f"    {'':18} -> {finding.remedy}")
    if as_json:
        emit({"findings": [asdict(f) for f in findings]})
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


app.command(epilog="Example: hqgan compare --data images/ --models hybridq,dcgan+kit --kimg 50")(
    cli_compare.compare
)
app.command(epilog="Example: hqgan probe runs/mine --against runs/twin-zeros")(cli_compare.probe)
app.command(epilog="Example: hqgan reproduce ham10000-64 --data images/ --row dcgan")(
    cli_compare.reproduce
)
app.command(epilog="Example: hqgan augment --data images/ --out augmented")(cli_study.augment)
app.command(epilog="Example: hqgan study study.yaml --dry-run")(cli_study.study)
app.command(epilog="Example: hqgan export --pretrained ham10000-64 --out exported")(
    cli_export.export
)
app.command(epilog="Example: hqgan report runs/mine")(cli_report.report)
app.command(epilog="Example: hqgan app runs/mine --data images/")(cli_app.app)


def main() -> None:
    """Entry point: every failure a user can cause is one paragraph and an exit code."""
    try:
        code = app(prog_name="hqgan", standalone_mode=False)
    except HqganError as error:
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted; the same command starts again", 130)
    except Exception as error:
        make_room()
        if words := shortage(error):
            last_words(words, HqganError.exit_code)
        shown = getattr(error, "format_message", None)  # click's own usage errors
        if shown is None:
            raise
        fail(f"{shown()} (see hqgan --help)", UsageError.exit_code)
    if code == 130:  # what typer itself makes of Ctrl-C
        fail("interrupted; the same command starts again", 130)
    sys.exit(code)


if __name__ == "__main__":
    main()
