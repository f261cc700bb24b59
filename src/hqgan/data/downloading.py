"""Public data sets by name: licence first, then a download that resumes and is checked by hash."""

import errno
import hashlib
import http.client
import os
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hqgan.errors import DataError, UsageError
from hqgan.fetching import OPENER, Oversize, chunks, length_of, require_safe

TIMEOUT = 60.0  # seconds without a byte
SLACK = 2  # a file has at most so many times the bytes that are announced for it
FRUITLESS_ATTEMPTS = 3  # connections in a row that brought nothing
DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)
LARGEST_UNPACKED = 64 << 30  # bytes; a zip that claims more is refused

DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile"
ZENODO = "https://zenodo.org/records/10519652/files"


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch: `md5` is its publisher's; an `unpack`ed zip becomes a folder."""

    name: str
    url: str
    md5: str
    megabytes: int
    unpack: bool = False


@dataclass(frozen=True)
class RemoteDataset:
    """A published data set: what it is, under which terms, and its files."""

    title: str
    licence: str
    source: str
    files: tuple[RemoteFile, ...]

    def terms(self) -> str:
        """What a user has to read before agreeing to the download."""
        size = sum(file.megabytes for file in self.files)
        names = ", ".join(file.name for file in self.files)
        return (
            f"{self.title}\nLicence: {self.licence}\nSource: {self.source}\n"
            f"Files: {names} (about {size:,} MB)"
        )


def _dermamnist(name: str, md5: str, megabytes: int) -> RemoteDataset:
    return RemoteDataset(
        title="DermaMNIST (MedMNIST v2): HAM10000 as small squares, 10,015 images, 7 classes",
        licence="CC BY-NC 4.0 (attribution, non-commercial); cite Yang et al., doi:10.1038/"
        "s41597-022-01721-8, and Tschandl et al., doi:10.1038/sdata.2018.161",
        source="Zenodo, doi:10.5281/zenodo.10519652",
        files=(RemoteFile(name, f"{ZENODO}/{name}?download=1", md5, megabytes),),
    )


CATALOGUE: dict[str, RemoteDataset] = {
    "ham10000": RemoteDataset(
        title="HAM10000: 10,015 dermatoscopic images of pigmented skin lesions, 7 classes",
        licence="CC BY-NC 4.0 (attribution, non-commercial); cite Tschandl, Rosendahl and Kittler, "
        "doi:10.1038/sdata.2018.161",
        source="Harvard Dataverse, doi:10.7910/DVN/DBW86T",
        files=(
            # Dataverse re-exports tables with other quotes; its hash is that of the original.
            RemoteFile(
                "HAM10000_metadata.csv",
                f"{DATAVERSE}/4338392?format=original",
                "8f85fb1aa29d80a2797247e434deb79d",
                1,
            ),
            RemoteFile(
                "HAM10000_images_part_1.zip",
                f"{DATAVERSE}/3172585",
                "4639bfa73ab251610530a97c898e6e46",
                1367,
                unpack=True,
            ),
            RemoteFile(
                "HAM10000_images_part_2.zip",
                f"{DATAVERSE}/3172584",
                "da43d6cc50f6613013be07e8986b384b",
                1404,
                unpack=True,
            ),
        ),
    ),
    "dermamnist": _dermamnist("dermamnist.npz", "0744692d530f8e62ec473284d019b0c7", 20),
    "dermamnist-64": _dermamnist("dermamnist_64.npz", "b70a2f5635c6199aeaa28c31d7202e1f", 100),
    "dermamnist-128": _dermamnist("dermamnist_128.npz", "2defd784463fa5243564e855ed717de1", 350),
    "dermamnist-224": _dermamnist("dermamnist_224.npz", "8974907d8e169bef5f5b96bc506ae45d", 1000),
}


def download(
    name: str,
    target: str | Path,
    *,
    ask: Callable[[str], bool],
    base_url: str | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> Path:
    """Fetch a data set of the catalogue into a folder and return the path to give to --data.

    An interrupted download is continued by the same command: bytes are kept in NAME.part, the
    final name appears only after the hash was right, and a finished file is not fetched again.

    Args:
        ask: shown the licence, source and size; nothing is fetched unless it returns True.
        base_url: fetch base_url/FILE instead of the publisher's address (a mirror).
        progress: called as progress(file name, bytes so far, bytes in all or `None`).

    Raises:
        UsageError: unknown name, or an address that is neither https nor on this machine.
        DataError: refused licence, no connection, wrong hash, an unsafe archive, another file in
            the way.
    """
    if name not in CATALOGUE:
        raise UsageError(f"Unknown data set {name!r}; expected one of {', '.join(CATALOGUE)}.")
    dataset, target = CATALOGUE[name], Path(target).expanduser()
    if not ask(dataset.terms()):
        raise DataError(f"Nothing was downloaded: the terms of {name} were not accepted.")
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in dataset.files:
            address = file.url if base_url is None else f"{base_url.rstrip('/')}/{file.name}"
            _obtain(file, address, target, progress)
    except OSError as problem:
        raise DataError(f"Cannot write to {target}: {problem}.") from problem
    return target if len(dataset.files) > 1 else target / dataset.files[0].name


def _obtain(
    file: RemoteFile,
    address: str,
    target: Path,
    progress: Callable[[str, int, int | None], None] | None,
) -> None:
    final = target / file.name
    folder = target / Path(file.name).stem
    if file.unpack and folder.is_dir():
        return
    if not final.exists():
        partial = target / f"{file.name}.part"
        report = None if progress is None else lambda done, total: progress(file.name, done, total)
        if partial.is_symlink():  # somebody's, which would lead what is written elsewhere
            partial.unlink()
        _fetch(address, partial, SLACK * file.megabytes << 20, report)
        seen = _md5(partial)
        if seen != file.md5:
            partial.unlink()
            raise DataError(
                f"{address} arrived with md5 {seen}, but {file.md5} was published; the file was "
                "deleted. Run the same command again; if it happens again, the address has changed."
            )
        partial.replace(final)
    elif _md5(final) != file.md5:
        raise DataError(
            f"{final} exists and is not the published file (md5 {file.md5}); it was left alone. "
            "Move it away or choose another folder."
        )
    if file.unpack:
        _unpack(final, folder)
        final.unlink()  # the folder holds all of it


def _fetch(
    address: str, partial: Path, most: int, report: Callable[[int, int | None], None] | None
) -> None:
    """Append to `partial` until the server has no more, over as many connections as it takes.

    At most `most` bytes: a server that sends more sends another file.
    """
    require_safe(address)
    fruitless = 0
    while fruitless < FRUITLESS_ATTEMPTS:
        before = partial.stat().st_size if partial.exists() else 0
        trouble: object = "the connection was closed early"
        try:
            if _stream(address, partial, before, most, report):
                return
        except ValueError as problem:  # it leads to an address that is none
            raise DataError(_unavailable(address, problem, partial)) from problem
        except urllib.error.HTTPError as problem:
            problem.close()  # it holds the connection
            if problem.code == 416 and before:  # nothing after the last byte: it is all here
                return
            raise DataError(_unavailable(address, f"HTTP {problem.code}", partial)) from problem
        except Oversize as problem:
            partial.unlink(missing_ok=True)
            raise DataError(f"{address} is not the file that was published: {problem}.") from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as problem:
            if getattr(problem, "errno", None) in DISK_FAILURES:
                raise
            trouble = getattr(problem, "reason", None) or problem
        after = partial.stat().st_size if partial.exists() else 0
        fruitless = 0 if after > before else fruitless + 1
    raise DataError(_unavailable(address, trouble, partial))


def _stream(
    address: str,
    partial: Path,
    start: int,
    most: int,
    report: Callable[[int, int | None], None] | None,
) -> bool:
    """Read one connection to its end; True when that is also the end of the file."""
    request = urllib.request.Request(address, headers={"User-Agent": "hqgan"})  # noqa: S310
    if start:
        request.add_header("Range", f"bytes={start}-")
    with OPENER.open(request, timeout=TIMEOUT) as response:
        resumed = start > 0 and response.status == 206
        length = length_of(response)
        done = start if resumed else 0
        total = None if length is None else done + length
        with partial.open("ab" if resumed else "wb") as stream:
            for chunk in chunks(response, max(most - done, 0)):
                stream.write(chunk)
                done += len(chunk)
                if report is not None:
                    report(done, total)
    return total is None or done >= total


def _unavailable(address: str, trouble: object, partial: Path) -> str:
    kept = partial.stat().st_size if partial.exists() else 0
    return (
        f"Cannot download {address}: {trouble}. {kept:,} bytes are kept in {partial}; the same "
        "command continues from there. Or fetch the file with a browser into that folder."
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Extract a zip into a new folder, which appears only when it is complete."""
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with zipfile.ZipFile(archive) as contents:
            members = contents.infolist()
            for member in members:
                _require_inside(member, archive)
            if sum(member.file_size for member in members) > LARGEST_UNPACKED:
                raise DataError(f"{archive} unpacks to over {LARGEST_UNPACKED:,} bytes: refused.")
            contents.extractall(staging)
        os.chmod(staging, 0o755)  # noqa: S103  # mkdtemp makes it private
        staging.replace(folder)
    except (
        *(zipfile.BadZipFile, zipfile.LargeZipFile, EOFError),
        *(zlib.error, RuntimeError, NotImplementedError, ValueError),  # encrypted, of no known kind
    ) as problem:
        raise DataError(f"{archive} cannot be unpacked: {problem}.") from problem
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _require_inside(member: zipfile.ZipInfo, archive: Path) -> None:
    parts = member.filename.replace("\\", "/").split("/")
    link = stat.S_ISLNK(member.external_attr >> 16)
    if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in parts[0] or link:
        raise DataError(
            f"{archive} holds {member.filename!r}, which would be written outside its folder; "
            "nothing was unpacked."
        )


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
