"""Figures of the benchmarks -> the READMEs' tables: `python -m benchmarks.report FILES.json... [--readme README.md]`.

The text between two markers is replaced; the rest of a README stays:

    <!-- table: engines -->
    ...
    <!-- /table -->

Each benchmark's `--json` writes a file of this form (`measuring.document` makes it):

    {"command": "python -m benchmarks.model --data FOLDER", "machine": "...", "kind": "AVX2", "threads": 2, "date": "2026-11-22",
     "tables": {"engines": {"columns": ["engine", "1×16, ms"], "rows": [["minibert fast", 31.4], ["torch", 30.8]]}}}

A marker that ends in "on" and a kind of machine, such as `engines on AVX2`, takes the files of that kind alone, and then no other
marker of this table takes them: tables of several kinds of machine stand beside each other.

A cell is text, a number (written with three digits) or null; a row's first cell is its name. A table that is in several
files is merged: rows of one name are one row, columns are joined, and a later file's cell wins. The line below a
table says how it was measured. Other keys of a file are not for a README.

The tables `kernels` and `kernels-training` need no file: they show the registry. Without files only they are written.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path

from minibert.kernels.catalog import operations
from minibert.kernels.registry import REGISTRY, TRAINING, Registry

from .measuring import markdown

ROOT = Path(__file__).resolve().parents[1]
READMES = [ROOT / "benchmarks" / "README.md", ROOT / "kernels" / "README.md"]
REGISTRIES = {"kernels": REGISTRY, "kernels-training": TRAINING}
MARKED = re.compile(r"(<!-- table: ([\w-]+)(?: on ([\w -]+?))? -->\n).*?(<!-- /table -->)", re.DOTALL)


def kernels_table(registry: Registry = REGISTRY) -> str:
    """Each operation, what it can be composed of, and its variants in rising order; without those on AMX, which not every machine
    has."""
    operations(("fast",))  # every file that registers is imported
    rows = []
    for operation, known in registry.variants.items():
        composition = registry.compositions.get(operation)
        parts = composition.parts if composition else ()
        rows.append(
            [code_list([operation]), code_list(parts, " + "), code_list(name for name in known if not name.startswith("amx"))]
        )
    return markdown(["operation", "composed of", "variants, in rising order"], rows) + "\n"


def code_list(names: Iterable[str], separator: str = ", ") -> str:
    return separator.join(f"`{name}`" for name in names)


def merge_tables(documents: Iterable[dict], name: str) -> tuple[list[str], list[list]]:
    """The columns and rows of one table, merged over all files that have it."""
    columns: dict[str, None] = {}
    rows: dict[str, dict] = {}
    for document in documents:
        if name in document["tables"]:
            table = document["tables"][name]
            columns |= dict.fromkeys(table["columns"])
            if len({row[0] for row in table["rows"]}) != len(table["rows"]):
                raise SystemExit(f"rows of the table {name} must begin with names of their own, by which files are merged")
            for row in table["rows"]:
                rows.setdefault(row[0], {}).update(zip(table["columns"], row, strict=True))
    return list(columns), [[row.get(column) for column in columns] for row in rows.values()]


def caption(documents: Iterable[dict], name: str) -> str:
    """Command, threads, machine and date of each file of the table; equal ones are written once."""
    parts: dict[tuple, list[str]] = {}
    for document in documents:
        if name in document["tables"]:
            commands = parts.setdefault((document["machine"], document["threads"], document["date"]), [])
            if document["command"] not in commands:
                commands.append(document["command"])
    lines = []
    for (machine, threads, date), commands in parts.items():
        lines.append(f"{code_list(commands)}: {machine}; {threads} thread{'s' * (threads != 1)}, {date}.")
    return "<sub>" + " ".join(lines) + "</sub>\n"


def render(text: str, documents: list[dict]) -> tuple[str, list[str]]:
    """A README's text -> the same with new tables, and their names."""
    written = []
    with_own_marker = {match.group(2, 3) for match in MARKED.finditer(text)}

    def replace(match: re.Match) -> str:
        begin, name, kind, end = match.groups()
        having = [one for one in documents if name in one["tables"]]
        mine = [one for one in having if one["kind"] == kind or kind is None and (name, one["kind"]) not in with_own_marker]
        if name in REGISTRIES:
            table = kernels_table(REGISTRIES[name])
        elif mine:
            table = markdown(*merge_tables(mine, name)) + "\n\n" + caption(mine, name)
        else:
            return match.group()
        written.append(name)
        return begin + table + end

    return MARKED.sub(replace, text), written


def read(path: Path) -> dict:
    """A benchmark's file; SystemExit if it is not one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        missing = {"command", "machine", "kind", "threads", "date", "tables"} - set(document)
    except (OSError, ValueError, TypeError) as error:
        raise SystemExit(f"{path} must be what a benchmark's --json wrote; {error}.") from None
    if missing:
        raise SystemExit(f"{path} must be what a benchmark's --json wrote; it has no {', '.join(sorted(missing))}.")
    return document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="what the benchmarks' --json wrote")
    parser.add_argument(
        "--readme", type=Path, nargs="*", default=READMES, metavar="FILE", help="those of benchmarks/ and kernels/"
    )
    options = parser.parse_args()
    documents = [read(path) for path in options.files]
    unwritten = {name for document in documents for name in document["tables"]}
    for readme in options.readme:
        text, written = render(readme.read_text(encoding="utf-8"), documents)
        readme.write_text(text, encoding="utf-8")
        unwritten -= set(written)
        print(f"written into {readme.parent.name}/{readme.name}: {', '.join(written) or 'nothing'}")
    if unwritten:
        print(f"no marker <!-- table: NAME --> for: {', '.join(sorted(unwritten))}")


if __name__ == "__main__":
    main()
