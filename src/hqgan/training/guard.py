"""The guard: stops a training that has collapsed, and warns of one that does not learn.

It judges means over 1,000 images: a generator whose images hardly differ or a critic at its
no-information value must stay so for a while, since both happen in passing. (Numbers that are no
numbers stop a training at once: `Trainer.step`.)
"""

from collections.abc import Mapping

from hqgan.errors import TrainingStopped
from hqgan.training.losses import NO_INFORMATION

COLLAPSED = 0.05  # share of the spread of the reals below which the fakes are one picture
COLLAPSE_PATIENCE = 5  # thousand images
WARM_UP = 2  # thousand images in which anything may happen
UNINFORMED = 0.005  # relative distance of the critic's loss to its no-information value
UNINFORMED_PATIENCE = 20  # thousand images


class Guard:
    """Watches one run; its counters belong to the state that a resumed run restores."""

    def __init__(self, loss: str):
        self.no_information = NO_INFORMATION.get(loss)
        self.collapsed_kimg = 0
        self.uninformed_kimg = 0

    def check(self, record: Mapping[str, float]) -> str | None:
        """Judge one line of metrics.jsonl; return a warning to show, if there is one.

        Raises:
            TrainingStopped: the images have been one picture for too long.
        """
        # A diffusion model has neither critic nor, while it trains, images.
        diversity = record.get("diversity", 1.0)
        collapsed = diversity < COLLAPSED and record["images_seen"] > 1000 * WARM_UP
        self.collapsed_kimg = self.collapsed_kimg + 1 if collapsed else 0
        if self.collapsed_kimg >= COLLAPSE_PATIENCE:
            raise TrainingStopped(
                f"the generator has collapsed: for {COLLAPSE_PATIENCE},000 images its pictures "
                f"differ by less than {COLLAPSED:.0%} of what real ones do (now "
                f"{diversity:.1%}). Try a lower generator_training.learning_rate, "
                "augmentation.strength=1 or another seed, with another --out; the last good "
                "snapshot is kept."
            )
        if self.no_information is None:
            return None
        return self._uninformed(record["critic_loss"], self.no_information)

    def _uninformed(self, loss: float, no_information: float) -> str | None:
        near = abs(loss / no_information - 1) < UNINFORMED
        self.uninformed_kimg = self.uninformed_kimg + 1 if near else 0
        if self.uninformed_kimg and self.uninformed_kimg % UNINFORMED_PATIENCE == 0:
            return (
                f"the critic's loss has sat at its no-information value {no_information:.3f} "
                f"for {self.uninformed_kimg},000 images. If the sample grid is mush, the critic "
                "does not learn: lower loss.r1_gamma or augmentation.strength. If the grid is "
                "good, real and fake are simply hard to tell apart."
            )
        return None

    def state_dict(self) -> dict[str, int]:
        return {"collapsed_kimg": self.collapsed_kimg, "uninformed_kimg": self.uninformed_kimg}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.collapsed_kimg = state["collapsed_kimg"]
        self.uninformed_kimg = state["uninformed_kimg"]
