"""The commands `hqgan hardware ...`: a trained generator on noise models and quantum computers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hqgan import completion
from hqgan.cli_compare import Weights, chosen_extractor
from hqgan.cli_data import DataPath, Json, Label, Pretrained, Seed
from hqgan.console import NOTHING_WRITTEN, command, emit, going_to, interruptible, say, stages
from hqgan.errors import UsageError

if TYPE_CHECKING:
    from hqgan.workflows.hardware import Hardware

hardware_app = typer.Typer(
    help="Run the circuits of a trained generator on noise models and quantum computers.",
    no_args_is_help=True,
)

Run = Annotated[Path | None, typer.Argument(help="run folder or snapshot")]


@hardware_app.command(
    epilog="Example: hqgan hardware sample runs/mine --backend fake:marrakesh --n 4"
)
def sample(
    run: Run = None,
    pretrained: Pretrained = None,
    backend: Annotated[
        str,
        typer.Option(
            help="exact, shots:N, noise:fake_NAME, aer:fake_NAME, fake:NAME, ibm:NAME, "
            "ibm:least_busy or python:PKG.MODULE:FACTORY",
            autocompletion=completion.backends,
        ),
    ] = "noise:fake_marrakesh",
    n: Annotated[int, typer.Option("--n", help="images")] = 16,
    shots: Annotated[
        int | None,
        typer.Option(help="of each circuit in each basis (default: 4096 on a device, else exact)"),
    ] = None,
    mitigation: Annotated[
        str,
        typer.Option(
            help="none, or some of trex, dd, twirling and zne, joined by +",
            autocompletion=completion.among("none", "trex", "dd", "twirling", "zne"),
        ),
    ] = "none",
    no_pack: Annotated[
        bool, typer.Option("--no-pack", help="one circuit at a time, not many side by side")
    ] = False,
    noise_model: Annotated[
        str | None,
        typer.Option(
            help="compare with this model of the noise, e.g. aer:fake_fez",
            autocompletion=completion.backends,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the bill and stop")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="send jobs that may cost; without it, only the bill")
    ] = False,
    max_qpu_seconds: Annotated[
        float,
        typer.Option(help="hard ceiling on QPU time, earlier jobs included", min=0),
    ] = 500.0,
    images_per_job: Annotated[
        int | None, typer.Option(help="send several jobs, of so many images each")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="send again what failed or was cancelled")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="do not wait in the queue; collect later")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="where results go (default: RUN/hardware/NAME)")
    ] = None,
    data: DataPath = None,
    label: Label = None,
    inception_weights: Weights = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Images of the same latents by exact values, shots, a noise model and a device. The same
    command continues; jobs that are paid are noted before they are sent, and never sent twice."""
    from hqgan.pretrained import chosen
    from hqgan.workflows.hardware import JOBS, Settings, plan, reference_of, require_affordable
    from hqgan.workflows.hardware import sample as run_sampling

    settings = Settings(
        backend=backend,
        n=n,
        shots=shots,
        mitigation=mitigation,
        pack=not no_pack,
        noise_model=noise_model,
        images_per_job=images_per_job,
        seed=seed,
        data=data,
        label=label,
    )
    source = chosen(run, pretrained)
    reference = reference_of(source, n, data, label)
    ready = plan(source, settings, reference.mix(n), out)
    for line in ready.lines():
        say(line)
    if ready.pays and not ready.saved:
        require_affordable(ready, max_qpu_seconds)
    if no_wait and not ready.lasting:
        raise UsageError(
            f"a job of {backend} ends with the command that sent it; leave out --no-wait"
        )
    if dry_run or (ready.pays and not yes and not ready.saved):
        if not dry_run:
            say("nothing was sent; repeat with --yes to send and pay")
        if as_json:
            emit({**ready.as_json(), "sent": False})
        return
    going_to(ready.folder)
    noted = f"what was computed or sent is noted in {ready.folder}, and the same command continues"
    with interruptible(noted), stages() as progress:
        extractor = chosen_extractor(inception_weights, progress) if reference.images else None
        found = run_sampling(
            ready,
            reference,
            extractor,
            submit=yes or not ready.pays,
            retry=retry,
            wait=not no_wait,
            ceiling=max_qpu_seconds,
            message=say,
            progress=progress,
        )
    if found is not None:
        show(found, as_json)
        return
    again = ("--backend", backend) if backend.startswith("python:") else ()
    say(f"not all is there yet; later: {command('hardware', 'collect', ready.folder, *again)}")
    if ready.pays and not yes:
        say("jobs that were never sent, or failed, are sent with --yes")
    if as_json:
        emit({**ready.as_json(), "sent": (ready.folder / JOBS).is_file()})


@hardware_app.command(epilog="Example: hqgan hardware collect runs/mine")
def collect(
    run: Annotated[Path, typer.Argument(help="run folder, or a folder of results in it")],
    backend: Annotated[
        str | None,
        typer.Option(help="of orders from python:PKG.MODULE:FACTORY: run that code again"),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="do not wait for jobs in the queue")
    ] = False,
    inception_weights: Weights = None,
    as_json: Json = False,
) -> None:
    """Fetch what jobs gave, after a crash or a long queue. Sends nothing, pays nothing."""
    from hqgan.workflows.hardware import collect as run_collecting

    collected = []
    kept = "jobs and what they gave are kept; the same command continues"
    with interruptible(kept), stages() as progress:
        extractor = chosen_extractor(inception_weights, progress)
        for found in run_collecting(
            run, extractor, backend=backend, wait=not no_wait, message=say, progress=progress
        ):
            show(found, False)
            collected.append(found.as_json())
    if as_json:
        emit({"collected": collected})


def show(found: "Hardware", as_json: bool) -> None:
    """Write the page and say what is on it."""
    from hqgan.report import hardware_page

    page = hardware_page(found)
    for line in found.lines():
        say(line)
    say(f"images: {found.folder / 'images.png'}\npage:   {page}")
    if as_json:
        emit(found.as_json())


@hardware_app.command(
    epilog="Example: hqgan hardware study runs/mine --against runs/noise-aware --n 200"
)
def study(
    run: Run = None,
    pretrained: Pretrained = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="hold another run against it, e.g. a noise-aware one")
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help="whose noise is made weaker and stronger: noise:fake_NAME",
            autocompletion=completion.backends,
        ),
    ] = "noise:fake_marrakesh",
    n: Annotated[int, typer.Option("--n", help="images behind each number")] = 64,
    out: Annotated[
        Path | None, typer.Option(help="where the page goes (default: RUN/hardware)")
    ] = None,
    data: DataPath = None,
    label: Label = None,
    inception_weights: Weights = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Quality over noise strength and shots, with and without mitigation. All simulated here."""
    from hqgan.pretrained import chosen
    from hqgan.report import hardware_study_page
    from hqgan.workflows.hardware import folder_of, reference_of
    from hqgan.workflows.hardware import study as run_study

    source = chosen(run, pretrained)
    folder = folder_of(source, out)
    reference = reference_of(source, n, data, label)
    going_to(folder)
    with interruptible(NOTHING_WRITTEN), stages() as progress:
        extractor = chosen_extractor(inception_weights, progress) if reference.images else None
        found = run_study(
            source,
            reference,
            extractor,
            backend=backend,
            against=against or (),
            n=n,
            seed=seed,
            progress=progress,
        )
    page = hardware_study_page(found, folder)
    for line in found.lines():
        say(line)
    say(f"page: {page}")
    if as_json:
        emit({**found.as_json(), "page": str(page)})
