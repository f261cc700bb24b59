"""What the Hugging Face Hub's mixin does for a generator, with the classes and the card kept.

`from_pretrained` also takes a run folder, a snapshot and the name of a packaged generator, and the
network is asked only for what none of these is.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download

from hqgan.errors import HqganError, RunError, UsageError
from hqgan.models.about import ABOUT, About
from hqgan.models.card import CARD, as_card, model_card
from hqgan.pretrained import find_pretrained, pretrained_names

LONGEST = 100  # characters of a wrong name that are quoted
FILES = ("config.json", "model.safetensors", ABOUT, CARD)


class Shared(PyTorchModelHubMixin):
    """A generator that can be loaded, saved and shared.

    Attributes:
        about: what its snapshot says of it (classes, training images, origin); None for one that
            was built and not loaded.
        card: the README.md it was loaded with, which is saved with it.
    """

    about: About | None = None
    card: str | None = None

    @classmethod
    def from_pretrained(  # type: ignore[override]  # constructor arguments come from the file alone
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        map_location: str = "cpu",
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Self:
        """A trained generator in eval mode.

        Args:
            pretrained_model_name_or_path: a run folder, a snapshot, the name of a packaged
                generator, or OWNER/NAME on the Hub.
            map_location: the device it is placed on.
            revision, token, cache_dir, force_download: for the Hub, as everywhere there.
            local_files_only: do not ask the Hub, take what was downloaded before.

        Raises:
            RunError: nothing is there, it is damaged, or the Hub cannot be reached.
            UsageError: an unknown name, or a generator of another class.
        """
        from hqgan.models.generator import Generator
        from hqgan.models.snapshot import load_snapshot, load_weights

        folder = local_folder(pretrained_model_name_or_path)
        if folder is None:
            folder = downloaded(
                str(pretrained_model_name_or_path),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        alone = (folder / "config.json").is_file() and not (folder / ABOUT).is_file()
        if alone and issubclass(cls, Generator) and cls is not Generator:
            return load_weights(folder, cls).to(map_location)
        generator, about = load_snapshot(folder)
        if not isinstance(generator, cls):
            raise UsageError(
                f"{pretrained_model_name_or_path} holds a {type(generator).__name__} "
                f"({about.generator}), not a {cls.__name__}; hqgan.load takes any"
            )
        return generator.to(map_location)

    def _save_pretrained(self, save_directory: Path) -> None:
        there = [name for name in FILES if (save_directory / name).exists()]
        if there:
            raise RunError(
                f"{save_directory} holds {there[0]} already; nothing is overwritten, so choose "
                "another folder"
            )
        super()._save_pretrained(save_directory)
        if self.about is not None:
            text = json.dumps(asdict(self.about), indent=2) + "\n"
            (save_directory / ABOUT).write_text(text, encoding="utf-8")

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Write weights, config.json, hqgan.json and README.md into a folder that has none of them.

        Args:
            save_directory: made if need be.
            options: `model_card_kwargs` adds to the card, such as {"data": "HAM10000", "license":
                "CC BY-NC 4.0"}; the others are the Hub's.

        Raises:
            RunError: the folder holds such files, or cannot be written.
        """
        folder = Path(save_directory)
        # The mixin would delete a config.json before it asks.
        if (folder / "config.json").exists():
            self._save_pretrained(folder)
        try:
            return super().save_pretrained(folder, **options)
        except OSError as error:
            raise RunError(
                f"cannot write to {folder}: {error.strerror or error}; choose another folder"
            ) from error

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload what `save_pretrained` writes, and nothing else; returns the commit's address.

        Args:
            repo_id: OWNER/NAME; made if need be, open to everybody unless `private=True`.
            options: `private`, `token`, `commit_message`, `model_card_kwargs` and what else the Hub
                knows.

        Raises:
            RunError: no token, no right to write there, or no connection.
        """
        try:
            return super().push_to_hub(repo_id, **options)
        except HqganError:
            raise
        except Exception as error:  # of the network library, which differs between versions
            raise RunError(f"{repo_id} was not uploaded: {reason(error)}") from error

    def generate_model_card(self, *_: Any, **facts: Any) -> ModelCard:
        """The card it was loaded with, or one of what is known of it; `facts` see `as_card`."""
        if self.card is not None:
            return as_card(self.card, **facts)
        if self.about is not None:
            return as_card(model_card(self.about), **facts)
        return super().generate_model_card(**facts)


def local_folder(name: str | Path) -> Path | None:
    """The folder on this machine that is meant, or None for a repository of the Hub.

    UsageError, which lists the names of packaged generators, for a word that is neither.
    """
    try:
        path = Path(name).expanduser()
        there = path.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long; ~nobody
        why = getattr(error, "strerror", None) or error
        raise UsageError(f"{str(name)[:LONGEST]!r} cannot be a path or a name: {why}") from error
    if there or isinstance(name, Path):
        return path
    if name in pretrained_names() or name.count("/") == 0:
        return find_pretrained(name)
    return None if name.count("/") == 1 and not name.startswith((".", "/", "~")) else path


def downloaded(repo: str, **options: Any) -> Path:
    """The folder in the Hub's cache with a shared generator, fetched where it is not there yet.

    `options` are those of `huggingface_hub.snapshot_download`.

    Raises:
        RunError: the Hub does not have it or cannot be reached, or it is none of ours.
    """
    try:
        folder = Path(snapshot_download(repo, allow_patterns=list(FILES), **options))
    except Exception as error:  # of the network library, which differs between versions
        raise RunError(
            f"{repo} cannot be had from the Hugging Face Hub: {reason(error)}"
        ) from error
    if not (folder / "config.json").is_file():
        raise RunError(
            f"{repo} is no generator of hqgan; one is shared with "
            f"hqgan.load(RUN).push_to_hub({repo!r})"
        )
    return folder


def reason(error: Exception) -> str:
    """Why the Hub gave nothing, and what to do."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    kind = type(error).__name__
    if code == 401 or kind == "LocalTokenNotFoundError":
        return (
            "it is not known who you are, or the name is wrong. Log in with `hf auth login`, or "
            "set HF_TOKEN to a token that may write (https://huggingface.co/settings/tokens)"
        )
    if code == 403:
        return "your token does not allow it; take one that may write there"
    if kind == "RepositoryNotFoundError":
        return "there is no such repository, or it is private; `hf auth login` if it is yours"
    if kind in ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "IncompleteSnapshotError"):
        return (
            "it was not downloaded before, and the Hub was not asked or does not answer; repeat it "
            "with a connection, without HF_HUB_OFFLINE and local_files_only"
        )
    if kind == "HFValidationError":
        return "a repository is called OWNER/NAME, and a folder of this name is not here"
    first = str(error).strip().splitlines()
    return f"{first[0] if first else kind}; check the connection and repeat"
