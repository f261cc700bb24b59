"""A visitor's zip to a folder of images: everything is checked before anything is written.

What is refused: too large, too many, unpacking to too much, encrypted, damaged, other compression
than deflate, names that lead elsewhere or cannot be shown, links and devices, archives within the
archive, images of too many pixels. What is left in the zip: files that are neither images nor label
tables, and what operating systems add.
"""

import io
import stat
import struct
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from hqgan.app.limits import MEGABYTE, UploadLimits
from hqgan.data.sources import IMAGE_SUFFIXES
from hqgan.data.tables import TABLE_SUFFIXES
from hqgan.errors import DataError

ARCHIVES = (
    *(".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst", ".lz", ".lzma"),
    *(".cab", ".iso", ".jar", ".npz", ".whl", ".docx", ".xlsx"),
)
SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zX")
RUBBISH = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
SMALL = 1 * MEGABYTE  # below this much, a high ratio is a white picture, not an attack
END = struct.Struct("<4s4H2LH")  # end of central directory
END_SIGNATURE = b"PK\x05\x06"
ENTRY_BYTES = 46 + 512  # of the central directory for one entry, names and extras included
UNSHOWABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, bidi marks, surrogates


@dataclass(frozen=True)
class Unpacked:
    """What came of a zip: the folder to inspect, files written, and names that were left out."""

    folder: Path
    files: int
    left_out: tuple[str, ...]


def unpack(
    file: Path,
    into: Path,
    limits: UploadLimits,
    make_room: Callable[[int], None] = lambda count: None,
) -> Unpacked:
    """Unpack a zip of class folders into the new folder `into`.

    A single folder around the class folders is taken off. Takes as long as reading the zip twice.

    Args:
        file: the zip.
        into: does not exist yet.
        limits: what it may hold.
        make_room: called with the bytes to be written before they are; what it raises is passed on.

    Raises:
        DataError: a sentence about what is wrong with it; nothing was written then.
    """
    try:
        if file.stat().st_size > limits.zip_bytes:
            raise DataError(
                f"The zip has {file.stat().st_size / MEGABYTE:,.1f} MB, but "
                f"{limits.zip_bytes / MEGABYTE:g} MB are taken at most; send fewer or smaller "
                "images."
            )
        require_few_entries(file, limits)
        with zipfile.ZipFile(file) as archive:
            entries, left_out = chosen(archive, limits)
            for info, _ in entries:
                require_readable(archive, info, limits)
            make_room(sum(info.file_size for info, _ in entries))
            into.mkdir(parents=True)
            for info, name in entries:
                target = into.joinpath(*name.parts)
                if not target.resolve().is_relative_to(into.resolve()):
                    raise DataError(f"The name {shown(str(name))} leads out of the zip.")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("xb") as out:
                    while part := source.read(MEGABYTE):
                        out.write(part)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error) as error:
        raise DataError("This is no zip, or a damaged one; pack it again and retry.") from error
    except (UnicodeError, ValueError) as error:
        raise DataError("The zip has a name or date that cannot be read; pack it again.") from error
    return Unpacked(without_wrapping(into), len(entries), tuple(left_out))


def require_few_entries(file: Path, limits: UploadLimits) -> None:
    """Refuse a list of entries that would itself fill the memory, before it is read."""
    with file.open("rb") as handle:
        size = handle.seek(0, io.SEEK_END)
        handle.seek(max(0, size - END.size - 65_535))
        tail = handle.read()
    start = len(tail) - END.size
    if not (start >= 0 and tail[start:].startswith(END_SIGNATURE) and tail[-2:] == b"\0\0"):
        start = tail.rfind(END_SIGNATURE)
    if start < 0 or len(tail) - start < END.size:
        raise DataError("This is no zip, or a damaged one; pack it again and retry.")
    _, _, _, _, count, length, _, _ = END.unpack_from(tail, start)
    if count > limits.files or length > limits.files * ENTRY_BYTES:
        seen = f"{count:,}" if count < 0xFFFF else "more than 65,000"
        raise DataError(
            f"The zip lists {seen} files and folders, but {limits.files:,} are taken at most; "
            "send fewer images."
        )


def chosen(
    archive: zipfile.ZipFile, limits: UploadLimits
) -> tuple[list[tuple[zipfile.ZipInfo, PurePosixPath]], list[str]]:
    """The files to unpack with their names, and the names of those to leave; DataError."""
    infos = archive.infolist()
    if len(infos) > limits.files:
        raise DataError(
            f"The zip has {len(infos):,} files and folders, but {limits.files:,} are taken at "
            "most; send fewer images."
        )
    total = sum(info.file_size for info in infos)
    if total > limits.unpacked_bytes:
        raise DataError(
            f"Unpacked, the zip has {total / MEGABYTE:,.0f} MB, but "
            f"{limits.unpacked_bytes / MEGABYTE:,.0f} MB are taken at most; send fewer or smaller "
            "images."
        )
    packed = sum(info.compress_size for info in infos)
    if total > SMALL and total > limits.ratio * packed:
        raise DataError(
            f"The zip unpacks to {total / max(packed, 1):,.0f} times its size, which images never "
            "do; pack the original files."
        )
    entries, left_out = [], []
    taken: set[str] = set()
    for info in infos:
        name = safe_name(info, limits)
        require_plain(info, limits)
        if info.is_dir():
            continue
        key = unicodedata.normalize("NFC", str(name)).casefold()
        if key in taken:
            raise DataError(f"The zip has two files called {shown(str(name))}; rename one.")
        taken.add(key)
        if any(part in RUBBISH or part.startswith("._") for part in name.parts):
            continue
        if name.suffix.lower() in ARCHIVES:
            raise DataError(
                f"{shown(str(name))} is an archive within the archive; unpack it first, and send "
                "the images themselves."
            )
        if name.suffix.lower() in (*IMAGE_SUFFIXES, *TABLE_SUFFIXES):
            entries.append((info, name))
        else:
            left_out.append(str(name))
    if any(str(parent).casefold() in taken for _, name in entries for parent in name.parents):
        raise DataError("The zip uses one name for a file and for a folder; rename one of them.")
    if not entries:
        raise DataError(
            f"There is no image in the zip ({', '.join(IMAGE_SUFFIXES[:4])} ...). Pack one folder "
            "for each class, with its images in it."
        )
    return entries, left_out


def safe_name(info: zipfile.ZipInfo, limits: UploadLimits) -> PurePosixPath:
    """An entry's name as a relative path; DataError where it could lead or mislead elsewhere."""
    name = info.orig_filename if isinstance(info.orig_filename, str) else info.filename
    if any(unicodedata.category(letter) in UNSHOWABLE for letter in name):
        raise DataError(
            f"A name in the zip has characters that cannot be shown: {shown(name)}; rename it."
        )
    if "\\" in name or name.startswith("/") or name[1:2] == ":":
        raise DataError(
            f"A name in the zip is a path of a whole machine: {shown(name)}; pack the folder by "
            "itself."
        )
    parts = name.rstrip("/").split("/")
    if ".." in parts:
        raise DataError(f"A name in the zip leads out of it: {shown(name)}; pack the folder anew.")
    if any(part in ("", ".") or part != part.strip() or part.endswith(".") for part in parts):
        raise DataError(f"A name in the zip is not plain: {shown(name)}; rename the file.")
    if len(name.encode()) > limits.name_bytes:
        raise DataError(f"A name in the zip is too long: {shown(name)}; shorten it.")
    return PurePosixPath(*parts)


def require_plain(info: zipfile.ZipInfo, limits: UploadLimits) -> None:
    """Refuse what is no ordinary file or folder, or unpacks to far more than it takes."""
    name = shown(info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise DataError(f"{name} in the zip is a link; pack the file that it points to.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{name} in the zip is no ordinary file; leave it out.")
    if info.flag_bits & 0x41:  # encrypted, plainly or strongly
        raise DataError(f"{name} in the zip is encrypted; pack the images without a password.")
    if info.compress_type not in KNOWN:
        raise DataError(
            f"{name} in the zip is packed in an unusual way; use ordinary zip compression."
        )
    if info.file_size > SMALL and info.file_size > limits.ratio * info.compress_size:
        raise DataError(
            f"{name} in the zip unpacks to {info.file_size / max(info.compress_size, 1):,.0f} "
            "times its size, which images never do; pack the original file."
        )


def require_readable(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limits: UploadLimits) -> None:
    """Read an entry through once, in pieces: its size, checksum, kind and pixels."""
    name = shown(info.filename)
    seen, head = 0, b""
    for part in pieces(archive, info):
        head = head or part[:16]
        seen += len(part)
        if seen > info.file_size:
            raise DataError(f"{name} in the zip is larger than it says; pack it again.")
    if head.startswith(SIGNATURES):
        raise DataError(
            f"{name} is an archive within the archive; unpack it first, and send the images "
            "themselves."
        )
    if PurePosixPath(info.filename).suffix.lower() in IMAGE_SUFFIXES:
        pixels = pixels_of(archive.read(info))
        if pixels > limits.pixels:
            raise DataError(
                f"{name} has {pixels / 1e6:,.0f} megapixels, but {limits.pixels / 1e6:g} are taken "
                "at most; send a smaller copy."
            )


def pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of an entry; what is wrong with it is a BadZipFile or RuntimeError."""
    try:
        with archive.open(info) as source:
            while part := source.read(MEGABYTE):
                yield part
    except RuntimeError as error:  # a password is wanted after all
        raise DataError(f"{shown(info.filename)} in the zip cannot be opened.") from error


def pixels_of(content: bytes) -> int:
    """Width times height as the file says them; 0 for what is no image, which inspection tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content)) as image:
                return image.width * image.height
        except Image.DecompressionBombError:
            return 2 * (Image.MAX_IMAGE_PIXELS or 0)
        except Exception:  # damaged: Pillow raises nearly anything
            return 0


def without_wrapping(folder: Path) -> Path:
    """The folder that holds the class folders, where it lies in others by itself."""
    while True:
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        if not any(child.is_dir() for child in inside[0].iterdir()):
            return folder
        folder = inside[0]


def shown(name: str) -> str:
    """A name from a zip, as it can be shown: quoted, short, nothing invisible left."""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    return f"“{plain if len(plain) <= 60 else plain[:57] + '...'}”"
