"""For notebooks and programs: `from hqgan import load, train, evaluate, sample`.

Each is what the command of its name does, through the same functions; the results show themselves
as tables and pictures.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqgan.console import counter, stages, training_progress
from hqgan.models import Generator, find_snapshot
from hqgan.models.sharing import downloaded, local_folder
from hqgan.training import Callbacks, Result
from hqgan.workflows import Sampled

if TYPE_CHECKING:
    from hqgan.evaluation.run import Measurement

AnyPath = str | PathLike[str]


@dataclass(frozen=True, repr=False)
class Trained(Result):
    """A finished training. It stands for its run folder wherever a path is taken."""

    run: str

    def __fspath__(self) -> str:
        return self.run

    def load(self) -> Generator:
        """Its newest generator."""
        return load(self)

    @property
    def picture(self) -> Path | None:
        """The newest sample grid, one row a class."""
        return max(Path(self.run, "samples").glob("*.png"), default=None)

    def __repr__(self) -> str:
        return (
            f"Trained({self.run!r}: {self.images_seen:,} images seen, "
            f"{self.images_per_second:.0f} images/s, "
            f"{self.generator_parameters:,} generator parameters)"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{shown(self.picture, 'generated, one row a class')}"


@dataclass(frozen=True, repr=False)
class Drawn(Sampled):
    """Images that were written."""

    def __fspath__(self) -> str:
        return self.out

    def __repr__(self) -> str:
        what = self.origin.credit() if self.origin else "synthetic images"
        return f"{self.files:,} images in {self.out}: {what}, not for diagnosis"

    def _repr_html_(self) -> str:
        rows = f"synthetic, one row each: {', '.join(k for k, n in self.per_class.items() if n)}"
        return f"<p>{escape(repr(self))}<br>{escape(rows)}</p>{shown(Path(self.grid), rows)}"


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Measurements of one run; `result["kid768"]` is the record of a recipe over all classes.

    `measurements` are several where a curve was asked for.
    """

    measurements: tuple["Measurement", ...]
    extractor: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Of the last snapshot, one a recipe and class, as `hqgan evaluate --json` gives them."""
        return self.measurements[-1].records

    def __getitem__(self, recipe: str) -> dict[str, Any]:
        for record in self.records:
            if record["recipe"] == recipe and record["class"] is None:
                return record
        known = dict.fromkeys(record["recipe"] for record in self.records)
        raise KeyError(f"{recipe!r} was not measured; measured were {', '.join(known)}")

    def __repr__(self) -> str:
        from hqgan.evaluation.meanings import measured_in

        lines = []
        for one in self.measurements:
            lines += [
                f"{one.snapshot} ({one.images_seen:,} images), {measured_in(self.extractor)}",
                *one.lines(),
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from hqgan.evaluation.meanings import measured_in

        features = escape(measured_in(self.extractor))
        return "".join(map(as_table, self.measurements)) + f"<p>{features}</p>"


def load(source: AnyPath, **options: Any) -> Generator:
    """A trained generator in eval mode, called as G(z, y); `G.about.classes` names its classes.

    Args:
        source: a run folder, a snapshot, the name of a packaged generator (`ham10000-64`), or
            OWNER/NAME on the Hugging Face Hub.
        options: see `HybridQGenerator.from_pretrained`.

    Raises:
        HqganError: nothing is there, or it is damaged.
    """
    from hqgan.workflows.model_card import run_card

    generator = Generator.from_pretrained(named(source), **options)
    folder = local_folder(named(source))
    if folder is not None:
        generator.card = run_card(find_snapshot(folder))
    return generator


def train(
    data: AnyPath | None = None,
    out: AnyPath = "runs/hybridq",
    *,
    preset: str = "hybridq",
    size: int | None = None,
    kimg: float | None = None,
    seed: int | None = None,
    init: AnyPath | None = None,
    loggers: str | Sequence[str] = (),
    quiet: bool = False,
    **settings: Any,
) -> Trained:
    """Train a generator, or continue the run in folder `out`.

    Args:
        data: folder, csv or npz of images, or "embedded"; None is HQGAN_DATA, else "embedded".
        out: the run folder.
        preset: "hybridq", "dcgan+kit", "twin-zeros" and so on; `hqgan.config.preset_names()`.
        size: edge of the images, 32, 64 or 128 pixels.
        kimg: thousands of real images shown to the critic.
        seed: of everything random.
        init: fine-tune from this run, snapshot or packaged generator.
        loggers: "tensorboard", "wandb", "mlflow"; one, or several in a list.
        quiet: show no progress.
        settings: further keys of config.yaml, with two underscores for each dot:
            `generator__qubits=8, batch=32, device="cpu"`.

    Raises:
        HqganError: as `hqgan.training.train` and `hqgan.config.load_config` do. An interrupt is an
            `Interrupted`, the state is saved, and the same call continues.
    """
    from hqgan.config import load_config
    from hqgan.training import train as run_training
    from hqgan.workflows.model_card import refresh_card

    overrides: dict[str, Any] = {
        "data.path": None if data is None else fspath(data),
        "size": size,
        "kimg": kimg,
        "seed": seed,
        "init.run": None if init is None else fspath(init),
        "loggers": [loggers] if isinstance(loggers, str) else list(loggers) or None,
        **{key.replace("__", "."): value for key, value in settings.items()},
    }
    config = load_config(preset, overrides=overrides)
    with telling(quiet) as callbacks:
        result = run_training(config, Path(out), callbacks=callbacks)
        refresh_card(Path(result.snapshot), callbacks.message)
    return Trained(**asdict(result), run=str(out))


def evaluate(
    run: AnyPath,
    data: AnyPath | None = None,
    *,
    split: str | None = None,
    final: bool = False,
    n: int | None = None,
    curve: bool = False,
    seed: int = 0,
    label: str | None = None,
    inception_weights: str | None = None,
    quiet: bool = False,
) -> Evaluation:
    """Measure a run's newest generator, each number beside its floor, and keep it in the run.

    Args:
        run: a run folder or a snapshot, or what `train` returned.
        data: what it was trained on; None is where the run found it.
        split: "val", or "test" together with `final`; None is the one that `final` says.
        final: opens the test split; recorded.
        n: generated images; None takes as many as the split has.
        curve: measure every snapshot, with 500 images each.
        seed: of latents, bootstrap and floor.
        label: the column used as class.
        inception_weights: a file, or "download"; None is HQGAN_INCEPTION, else a download made
            before, else the small network of fd_tiny.
        quiet: show no progress.

    Raises:
        HqganError: as `hqgan.evaluation.run.evaluate_run` does.
    """
    from hqgan.evaluation import load_extractor
    from hqgan.evaluation.run import data_of, evaluate_run
    from hqgan.workflows.model_card import refresh_card

    path = Path(run)
    download = inception_weights == "download"
    with stages(quiet) as progress:
        extractor = load_extractor(
            None if download else inception_weights,
            download=download,
            progress=lambda done, total: progress("weights", done, total),
        )
        where, column = (fspath(data), None) if data is not None else data_of(path)
        measured = evaluate_run(
            path,
            where,
            extractor,
            split=split,
            final=final,
            n=n,
            seed=seed,
            curve=curve,
            label=label or column,
            progress=progress,
        )
    refresh_card(measured[-1].snapshot)
    return Evaluation(tuple(measured), str(extractor))


def sample(
    source: AnyPath,
    out: AnyPath = "samples",
    *,
    per_class: int | None = None,
    n: int | None = None,
    like: AnyPath | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> Drawn:
    """Write synthetic images as OUT/<class>/*.png and OUT/grid.png.

    Args:
        source: as for `load`.
        out: a folder that is absent or empty.
        per_class: images of every class, 8 where neither this nor n is given; or
        n: images in all, in the class mix of the training data or of
        like: these data.
        seed: of the latents.
        quiet: show no progress.

    Raises:
        HqganError: as `hqgan.workflows.sample` does.
    """
    from hqgan.workflows import sample as write_samples

    folder = local_folder(named(source)) or downloaded(fspath(source))
    with counter("sampling", quiet) as progress:
        written = write_samples(
            folder,
            Path(out),
            per_class=per_class,
            n=n,
            like=None if like is None else fspath(like),
            seed=seed,
            progress=progress,
        )
    return Drawn(**{name: getattr(written, name) for name in Sampled.__dataclass_fields__})


def named(source: AnyPath) -> str | Path:
    """A path as a path, a word as a word, which may be a name."""
    return source if isinstance(source, str) else Path(source)


@contextmanager
def telling(quiet: bool) -> Iterator[Callbacks]:
    """Progress on standard error, or none."""
    if quiet:
        yield Callbacks()
        return
    with training_progress() as callbacks:
        yield callbacks


def shown(picture: Path | None, caption: str) -> str:
    """A picture as part of a notebook."""
    from hqgan.report.pieces import data_uri

    if picture is None or not picture.is_file():
        return ""
    return f'<img alt="{escape(caption)}" src="{data_uri(picture.read_bytes())}">'


def as_table(one: "Measurement") -> str:
    """A snapshot's numbers, for a notebook."""
    from hqgan.report.pieces import table
    from hqgan.report.run_metrics import HEADS, line

    lines = [[r["recipe"], r["class"] or "all", *line(r)[1:]] for r in one.records]
    caption = f"{one.snapshot} ({one.images_seen:,} images seen)"
    return table(caption, (HEADS[0], "class", *HEADS[1:]), lines)
