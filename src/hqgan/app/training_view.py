"""What the page says of a training: how far, how fast, how long still, and what to do next."""

import time
from html import escape

from hqgan.app.pictures import code, loss_chart, sentences
from hqgan.app.training_jobs import Job, Stage
from hqgan.durations import duration
from hqgan.report.pieces import data_uri

FIRST_NUMBERS = "The first numbers come after 1,000 images."
STEPS, COMPILING = "training hybridq", "compiling the circuit kernel"


def job_html(job: Job, ahead: int = 0) -> str:
    """The state of a job as a bar, a sentence, the losses and the newest samples."""
    records = job.records()
    parts = [bar(job, records), sentences([words(job, records, ahead)])]
    if job.problem:
        parts.append(sentences([job.problem], "hq-warning"))
    if job.stage is Stage.STOPPED and job.is_kept:
        parts.append(code(command(job), "Command that goes on"))
    parts.append(loss_chart(records))
    parts.append(grid_html(job))
    return "".join(parts)


def seen_now(job: Job, records: list[dict]) -> tuple[int, bool]:
    """Images seen by now, and whether that is an estimate: numbers come every 1,000 images."""
    if job.stage is Stage.DONE:
        return job.goal, False
    if not records:
        return 0, False
    last = records[-1]
    seen = int(last["images_seen"])
    if job.stage is not Stage.RUNNING:
        return min(seen, job.goal), False
    further = min(999.0, job.since_record() * float(last["images_per_second"]))
    return min(int(seen + further), job.goal), further > 0


def bar(job: Job, records: list[dict]) -> str:
    """The progress bar; one without an end before the first numbers."""
    if job.stage is Stage.WAITING or (job.stage.is_over and job.stage is not Stage.DONE):
        return ""
    seen, _ = seen_now(job, records)
    value = f'value="{seen}"' if seen else ""
    label = f"{seen:,} of {job.goal:,} images" if seen else "preparing"
    return (
        f'<progress class="hq-progress" max="{job.goal}" {value} aria-label="Training: '
        f'{escape(label)}">{escape(label)}</progress>'
    )


def words(job: Job, records: list[dict], ahead: int = 0) -> str:
    """The state of a job in a sentence or two."""
    if job.stage is Stage.WAITING:
        return f"Waiting: {ahead} training{'s' if ahead != 1 else ''} before this one."
    if job.stage is Stage.FAILED:
        return "The training failed."
    if job.stage is Stage.STOPPING:
        return "Stopping; the state is being saved."
    if job.stage is Stage.STOPPED and not job.is_kept:
        return "Stopped before the first step; there is nothing to save."
    if job.stage is Stage.STOPPED:
        after = f" after about {records[-1]['images_seen']:,} images" if records else ""
        return (
            f"Stopped{after}. What was reached is saved: download the run, unzip it, and go on "
            "with the folder of your images:"
        )
    if job.stage is Stage.DONE:
        took = max(0.0, job.ended - job.began)
        return (
            f"Finished: {job.goal:,} images in {duration(took)}. Use the generator or take it; "
            "the next training replaces it."
        )
    seen, estimated = seen_now(job, records)
    if not records:
        passed, said = duration(time.monotonic() - job.began), job.said()
        if STEPS not in said:
            return f"Preparing for {passed}: the images are read."
        why = " Its circuits are compiled, once on a machine." if COMPILING in said else ""
        return f"Running for {passed}. {FIRST_NUMBERS}{why}"
    rate = float(records[-1]["images_per_second"])
    left = (job.goal - seen) / max(rate, 1e-9)
    about = "about " if estimated else ""
    return (
        f"{about}{seen:,} of {job.goal:,} images, {rate:,.0f} images/s, {duration(left)} left."
    ).capitalize()


def command(job: Job, times: float = 1) -> str:
    """What continues a run elsewhere, to so many times as many images as it was to see here."""
    return (
        "hqgan train --config run/config.yaml --data YOUR-IMAGES --out run "
        f"--kimg {times * job.wish.kimg:g}"
    )


def grid_html(job: Job) -> str:
    """The newest sheet of samples."""
    grid = job.grid()
    if grid is None:
        return ""
    try:
        content = grid.read_bytes()
    except OSError:  # the session ends
        return ""
    kimg = float(grid.stem)
    text = f"Samples after {1000 * kimg:,.0f} images, one row a class"
    return (
        f'<figure class="hq-chart"><img class="hq-grid" src="{data_uri(content)}" '
        f'alt="{escape(text)}"><figcaption>{escape(text)}</figcaption></figure>'
    )


def run_card(job: Job, licence: str) -> str:
    """README.md of a downloaded run."""
    return f"""# A run of hqgan, trained on images that were uploaded to its page

Every image it makes is **synthetic, for research, not for diagnosis**.

- Sample: `hqgan sample run --per-class 16 --out images`
- Go on, with the images you uploaded in folder YOUR-IMAGES, the one that holds the class folders,
  and a larger number of thousands of images:
  `{command(job, 2)}`

## Licence
{licence}
"""
