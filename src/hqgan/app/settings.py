"""What `hqgan app` was asked for."""

from dataclasses import dataclass, field
from pathlib import Path

from hqgan.app.limits import UploadLimits

LOOPBACK = ("127.0.0.1", "localhost", "::1")
DEFAULT_PORT = 7860


@dataclass(frozen=True)
class Settings:
    """One start of the page.

    Attributes:
        run: the run folder or snapshot that is shown first.
        name: what people call it.
        data: the training images, for the nearest of them; None looks where the run found its own.
        label: the column used as class, for data with several.
        host: the address to listen on; 127.0.0.1 is this machine alone.
        port: 0 takes any free one.
        accounts: user to password; empty lets everybody in.
        runs: where trainings of visitors are kept; None deletes them with the session.
        uploads: what a zip may hold.
    """

    run: Path
    name: str
    data: str | None = None
    label: str | None = None
    host: str = LOOPBACK[0]
    port: int = DEFAULT_PORT
    accounts: dict[str, str] = field(default_factory=dict, repr=False)
    runs: Path | None = None
    uploads: UploadLimits = field(default_factory=UploadLimits)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the page."""
        return self.host in LOOPBACK
