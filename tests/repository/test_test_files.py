"""The tests' own rooms: every path that is named exists, a name has one file, and no test imports from another."""

import ast
import re
import sys
from collections import Counter

from paths import ROOT, SUPPORT

TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("*.py"))
NAMES = Counter(path.name for path in FILES if path.name != "conftest.py")
SOURCES = [
    ROOT / "README.md",
    ROOT / "pyproject.toml",
    ROOT / ".ci" / "run",
    *(
        path
        for folder in ("minibert", "kernels", "tests", "benchmarks")
        for ending in ("*.py", "*.md")
        for path in sorted((ROOT / folder).rglob(ending))
    ),
]
PLACEHOLDERS = {"test_NAME.py", "test_x.py"}


def test_every_test_file_that_is_named_exists():
    missing = []
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        missing += [(path, name) for name in re.findall(r"\btests/[\w/]+\.\w+\b", text) if not (ROOT / name).is_file()]
        names = set(re.findall(r"(?<![\w/])test_\w+\.py\b", text)) - PLACEHOLDERS
        missing += [(path, name) for name in names if name not in NAMES]
    assert not missing


def test_a_name_has_one_file_in_all_rooms():
    """pytest imports test files by their names alone, and support/ is on the path of all.

    An `__init__.py` would make a room a package: `kernels` would shadow Hugging Face's.
    """
    assert [name for name, count in NAMES.items() if count > 1] == []
    assert not {name.removesuffix(".py") for name in NAMES} & sys.stdlib_module_names
    assert list(TESTS.rglob("__init__.py")) == []


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_what_tests_share_is_in_support_or_in_a_conftest():
    for path in FILES:
        assert path.name.startswith("test_") or path.name == "conftest.py" or path.parent == SUPPORT, path
        assert not [name for name in imported(path) if name.startswith(("test_", "conftest", "tests."))], path


def test_the_contributors_guide_lists_every_room():
    guide = (TESTS / "README.md").read_text(encoding="utf-8")
    rooms = {f"{path.parent.relative_to(TESTS).as_posix()}/" for path in FILES} - {"./"}
    assert set(re.findall(r"^([a-z/]+/) ", guide, re.M)) == rooms
