"""What holds the rooms apart: which way imports point, what `import minibert` costs, where `kernels` can be seen from."""

import ast
import os
import re
import subprocess
import sys

import pytest
from paths import ROOT

import minibert

# From the ground up: a room imports from its own floor's list of rooms and nothing else of this project.
MAY_IMPORT = {
    "errors": set(),
    "tensors": {"errors"},
    "files": {"errors"},
    "tokenization": {"errors", "files", "hub", "ignored_arguments", "kernels", "loading", "tensors"},
    "_connection": set(),
    "_hub_cache": set(),
    "_download": {"errors", "_connection"},
    "hub": {"errors", "files", "_download", "_hub_cache"},
    "verify": {"hub", "_download"},
    "ignored_arguments": {"errors", "tensors"},
    "loading": {"errors", "files", "hub", "ignored_arguments", "tensors"},
    "config": {"errors", "files", "hub", "config_values", "loading"},
    "config_values": {"errors"},
    "kernels": {"errors", "files"},
    "stored_tensor": set(),
    "pickle_reader": {"errors"},
    "zip_directory": {"errors"},
    "torch_file": {"errors", "pickle_reader", "stored_tensor", "zip_directory"},
    "weights": {"errors", "files", "config", "stored_tensor", "torch_file"},
    "models": {"errors", "files", "config", "stored_tensor", "weights", "hub", "kernels", "loading", "tensors"},
    "families": {"errors", "config", "models"},
    "auto": {"errors", "config", "hub", "families", "kernels", "loading", "models", "tokenization"},
    "pipelines": {
        "errors",
        "tensors",
        "files",
        "config",
        "hub",
        "auto",
        "families",
        "ignored_arguments",
        "kernels",
        "loading",
        "models",
        "tokenization",
        "weights",
    },
    "training": {"errors", "config", "files", "kernels", "models", "tensors", "weights"},
    "explanation": {"errors", "files", "kernels", "models", "pipelines", "tokenization", "training"},
    "warmup": {"errors", "auto", "models"},
    "quantize": {"errors", "files", "config", "hub", "auto", "loading", "models", "pipelines"},
    "calibrate": {"errors", "files", "hub", "kernels", "pipelines", "training"},
    "convert": {"errors", "files", "config", "convert_longformer", "auto", "hub", "pipelines", "weights"},
    "convert_longformer": {"errors", "files", "config", "auto", "families", "hub", "models", "tokenization", "weights"},
    "run": {"", "errors", "files", "hub", "kernels", "pipelines"},
    "sentence_transformers": {"errors", "files", "config", "hub", "kernels", "loading", "models", "pipelines", "tensors"},
    "logging": {"errors", "_download"},
    "seed": {"errors"},
    "cli": {
        "",
        "errors",
        "files",
        "auto",
        "calibrate",
        "explanation",
        "families",
        "hub",
        "kernels",
        "loading",
        "pipelines",
        "quantize",
        "models",
        "run",
        "training",
        "verify",
        "convert",
        "convert_longformer",
        "warmup",
    },
    "__main__": {"cli"},
    "": {"errors", "families"},
}
# The same inside kernels/: from the formulas and the compiler up to the ladders, and the catalog that imports these.
KERNELS_MAY_IMPORT = {
    "registry": set(),
    "philox": set(),
    "reference": {"registry", "philox"},
    "composed": {"philox", "reference", "registry"},
    "sparse_attention": {"composed", "philox", "registry"},
    "compiler": set(),
    "simd": {"compiler"},
    "runtime": {"compiler", "simd"},
    "gemm": {"compiler", "simd", "runtime"},
    "tokenizer": {"compiler", "simd", "runtime"},
    "ops": {"registry", "philox", "reference", "composed", "compiler", "simd", "runtime", "gemm"},
    "catalog": {"registry", "reference", "composed", "sparse_attention", "compiler", "ops"},
}
OUTSIDE = {"numpy", "numba", "llvmlite", "safetensors", "huggingface_hub", "pyarrow", "ray", "fsspec", "torch", "matplotlib"}
ONLY_IN = {
    "torch": {"tensors"},
    "pyarrow": {"run"},
    "ray": {"run"},
    "fsspec": {"run"},
    "matplotlib": {"training"},
    "huggingface_hub": {"_download"},
    "safetensors": {"weights"},
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
}
# hub and tokenization name these inside the one function that needs them
WITHOUT_NUMPY = tuple(
    f"minibert{module}" for module in ("", ".tokenization", ".config", ".hub", ".auto", ".cli", ".tensors", ".logging", ".seed")
)


def sources():
    for path in sorted((ROOT / "minibert").rglob("*.py")):
        if "kernels" not in path.parts:
            yield path, path.relative_to(ROOT / "minibert")
    for path in sorted((ROOT / "kernels").rglob("*.py")):
        yield path, path.relative_to(ROOT)


def imported(path, inside):
    """The full names that a file imports, at its top or within a function."""
    package = ["minibert", *inside.parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from (f"{module}.{alias.name}" if module == "minibert" else module for alias in node.names)


def room_of(inside):
    return "" if inside.name == "__init__.py" and len(inside.parts) == 1 else inside.parts[0].removesuffix(".py")


@pytest.mark.parametrize(("path", "inside"), [pytest.param(*pair, id=str(pair[1])) for pair in sources()])
def test_imports_point_down(path, inside):
    room = room_of(inside)
    for name in imported(path, inside):
        top, _, rest = name.partition(".")
        if top == "minibert":
            target = rest.split(".")[0]
            target = target if target in MAY_IMPORT else ""  # `from minibert import __version__`
            assert target == room or target in MAY_IMPORT[room], f"{inside} imports {name}"
        else:
            assert top in sys.stdlib_module_names or top in OUTSIDE, f"{inside} imports {name}"
            assert room in ONLY_IN.get(top, {room}), f"{inside} imports {name}"


@pytest.mark.parametrize(
    ("path", "inside"), [pytest.param(*pair, id=str(pair[1])) for pair in sources() if "kernels" in pair[1].parts]
)
def test_the_rooms_of_kernels_are_layers(path, inside):
    """Imports, within functions too, and modules that are named in strings."""
    room = inside.parts[1].removesuffix(".py")
    strings = re.findall(r"""["']minibert\.kernels\.([\w.]+)["']""", path.read_text(encoding="utf-8"))
    names = [name.removeprefix("minibert.kernels.") for name in imported(path, inside) if name.startswith("minibert.kernels.")]
    for name in [*strings, *names]:
        target = name.partition(".")[0]
        assert target == room or target in KERNELS_MAY_IMPORT[room], f"{inside} imports {name}"


@pytest.mark.parametrize("room", ["kernels", "pipelines", "run", "cli"])
def test_no_file_of_a_room_imports_itself_in_a_circle(room):
    """Imports within functions count too."""
    files = {
        str(inside.with_suffix("")).replace(os.sep, ".").removesuffix(".__init__"): (path, inside)
        for path, inside in sources()
        if room in inside.parts
    }
    imports = {
        name: {target for target in (full_name.removeprefix("minibert.") for full_name in imported(*pair)) if target in files}
        - {name}
        for name, pair in files.items()
    }
    while imports:
        leaves = [name for name, targets in imports.items() if not targets & set(imports)]
        assert leaves, f"these import each other in a circle: {sorted(imports)}"
        for name in leaves:
            del imports[name]


def test_the_rooms_of_minibert_have_an_order():
    rooms = dict(MAY_IMPORT)
    while rooms:
        lowest = [room for room, targets in rooms.items() if not targets & set(rooms)]
        assert lowest, f"these may import each other in a circle: {sorted(rooms)}"
        for room in lowest:
            del rooms[room]


def test_every_room_has_its_rule():
    rooms = {inside.parts[1].removesuffix(".py") for _, inside in sources() if "kernels" in inside.parts}
    assert rooms == set(KERNELS_MAY_IMPORT)
    assert {room_of(inside) for _, inside in sources()} - {"bundled"} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", WITHOUT_NUMPY)
def test_importing_needs_only_the_standard_library(module):
    assert loaded_by(f"import {module}").isdisjoint({*OUTSIDE, "torch", "transformers", "tokenizers"})


def test_every_public_name_is_there_and_nothing_of_torch_comes_with_them():
    code = "import minibert, minibert.sentence_transformers; [getattr(minibert, name) for name in minibert.__all__]"
    assert loaded_by(code).isdisjoint({"numba", "llvmlite", "huggingface_hub", "torch", "transformers", "tokenizers"})


def loaded_by(code):
    code = f"import sys; before = set(sys.modules); {code}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(AttributeError, match="minibert has no 'BertGenerator'; it has AdamW, AddedToken"):
        minibert.BertGenerator
    assert "pipeline" in dir(minibert)


def test_kernels_is_no_package_of_its_own():
    """At the root, `import kernels` must not find ours first: transformers looks for Hugging Face's by that name."""
    assert not (ROOT / "kernels" / "__init__.py").exists()
    assert os.readlink(ROOT / "minibert" / "kernels") == os.path.join("..", "kernels")
    code = "import kernels; raise SystemExit(kernels.__spec__.origin is not None)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_nobody_imports_kernels_by_its_folder():
    for folder in ("minibert", "kernels", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                assert not any(name.split(".")[0] == "kernels" for name in names), path


def test_a_constant_has_one_meaning_in_a_room_of_kernels():
    """Each name in capitals is defined in one file of a room; others import it."""
    homes = {}
    for path in sorted((ROOT / "kernels").rglob("*.py")):
        for name in set(re.findall(r"^([A-Z][A-Z0-9_]+)\b[^=\n]*=[^=]", path.read_text(encoding="utf-8"), re.M)):
            homes.setdefault((path.parent.name, name), []).append(path.name)
    assert not {name: files for name, files in homes.items() if len(files) > 1}
