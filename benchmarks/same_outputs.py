"""Compare two work folders, or two trees of folders, field by field: what a change of the code changes.

    python benchmarks/same_outputs.py BEFORE AFTER      # exits with 1 if they differ

Rows of Parquet files (all of one folder and kind together, read by pyarrow alone) and of JSON lines are matched by
their ids, and compared with their types, structs and lists down to each value; other text is compared by lines,
sound and pictures by their bytes. Each field that differs is printed once, with how often it does and one example.
"""

import argparse
import difflib
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: What two runs of the same code don't have in common; it is the same word in all strings and lines.
VARYING = {
    "caches of downloads": r"/[\w./-]{1,200}/snapshots/[^\s/]+",
    "digests of code and settings, commits": r"\b(?:[0-9a-f]{40}|[0-9a-f]{20}|[0-9a-f]{16})\b",
    "dates and times": r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?",
    "ports of this machine": r"127\.0\.0\.1:\d+",
    "how long a run took": r"(?<=[snh] in )[\d.]+ (?:s|min|h)\b(?: \([\d.]+× real time\))?",
    "how long a stage took": r"(?m)(?<=\w) {2,}\d+\.\d(?: s| +\d+\.\d{4})$",
}

#: Files, and fields of files, that are not compared.
IGNORED = {
    "journals and locks": r"(^|/)(events\.jsonl|\.publish\.lock)",
    "times of runs": r"\*\.json: (\w+\.)*(time\.|stages\[\]\.(seconds|realtime_factor)$)",
}

#: The columns that may name a row: the first that is another text in each.
IDS = ("utterance_id", "conversation_id", "recording_id", "id", "path")

#: In place of a field that only one side has.
MISSING = "(no such field)"


class Comparison:
    """Two folders, and how often they differ in each field, with the first example of each."""

    def __init__(self, before: Path, after: Path) -> None:
        self.roots = (before.resolve(), after.resolve())
        self.counts = Counter[str]()
        self.examples: dict[str, tuple[str, tuple[str, ...]]] = {}
        old, new = (groups(root) for root in self.roots)
        for name in sorted({*old, *new}):
            if name not in old or name not in new:
                self.add(f"{name}: only {'before' if name in old else 'after'}")
            elif name.endswith(".parquet"):
                self.compare_tables(name, old[name], new[name])
            else:
                self.compare_files(name, old[name][0].read_bytes(), new[name][0].read_bytes())

    def add(self, place: str, row: str = "", values: tuple[str, ...] = (), times: int = 1) -> None:
        if not any(re.search(pattern, place) for pattern in IGNORED.values()):
            self.counts[place] += times
            self.examples.setdefault(place, (row, values))

    def compare_tables(self, name: str, before: list[Path], after: list[Path]) -> None:
        tables = [pa.concat_tables(map(pq.read_table, paths)) for paths in (before, after)]
        columns = [{field.name: types(field.type) for field in table.schema} for table in tables]
        self.compare(f"{name}: type of ", "", *columns)
        self.compare(f"{name}: feature of ", "", *(features(table) for table in tables))
        shared = [column for column in columns[0] if column in columns[1]]
        self.compare_rows(name, *(table.select(shared).to_pylist() for table in tables))

    def compare_files(self, name: str, before: bytes, after: bytes) -> None:
        old, new = content(name, before), content(name, after)
        if isinstance(old, bytes) or isinstance(new, bytes):
            if before != after:
                self.add(f"{Path(name).parent}/*{Path(name).suffix}: bytes", name, shown(before, after))
        elif isinstance(old, str) or isinstance(new, str):
            texts = (before.decode("utf-8", "replace"), after.decode("utf-8", "replace"))
            lines = [self.constant(text, side).splitlines() for side, text in enumerate(texts)]
            changed = list(difflib.unified_diff(lines[0], lines[1], n=0, lineterm=""))[2:]
            gone, added = ([line[1:] for line in changed if line[0] == sign] for sign in "-+")
            if changed:
                examples = shown("".join(gone[:1]), "".join(added[:1]))
                self.add(f"{name}: lines", "", examples, max(len(gone), len(added)))
        elif name.endswith(".jsonl"):
            self.compare_rows(name, old, new)
        else:
            self.compare(f"{Path(name).parent}/*.json: ", name, old, new)

    def compare_rows(self, name: str, before: list[Any], after: list[Any]) -> None:
        old, new = by_id(before), by_id(after)
        for row in {**old, **new}:
            if row in old and row in new:
                self.compare(f"{name}: ", str(row), old[row], new[row])
            else:
                self.add(f"{name}: rows only {'before' if row in old else 'after'}", str(row))
        if old.keys() == new.keys() and [*old] != [*new]:
            self.add(f"{name}: order of rows", "", shown(str([*old]), str([*new])))

    def compare(self, place: str, row: str, before: Any, after: Any) -> None:
        """Compare two values; `place` ends as the names of their fields begin."""
        if isinstance(before, dict) and isinstance(after, dict):
            for name in {**before, **after}:
                inner = f"{place}{'' if place.endswith(' ') else '.'}{name}"
                self.compare(inner, row, before.get(name, MISSING), after.get(name, MISSING))
            if before.keys() == after.keys() and [*before] != [*after]:
                self.add(f"{place.rstrip()} (order of fields)", row, shown(str([*before]), str([*after])))
        elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
            for items in zip(before, after, strict=True):
                self.compare(f"{place}[]", row, *items)
        elif type(before) is not type(after) or self.constant(before, 0) != self.constant(after, 1):
            self.add(place, row, shown(before, after))

    def constant(self, value: Any, side: int) -> Any:
        """The value without what varies between two runs; NaN, which equals nothing, as a word."""
        if isinstance(value, str):
            value = value.replace(str(self.roots[side]), "(folder)")
            for name, pattern in VARYING.items():
                value = re.sub(pattern, f"({name})", value)
        return "NaN" if value != value else value

    def print(self) -> None:
        for what, pattern in VARYING.items():
            print(f"not compared: {what}, in any text ({pattern})")
        for what, pattern in IGNORED.items():
            print(f"not compared: {what} ({pattern})")
        for place, times in self.counts.items():
            row, values = self.examples[place]
            print(f"{place}: {times}" + (f", as in {row}" if row else ""))
            for side, value in zip(("before", "after"), values, strict=False):
                print(f"  {side:6} {value}")
        print(f"\n{self.counts.total()} differences in {len(self.counts)} fields" if self.counts else "\nsame")


def groups(root: Path) -> dict[str, list[Path]]:
    """The files of a folder by their name in it; Parquet files whose names differ in numbers as one."""
    files: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".parquet":
            name = re.sub(r"[0-9a-f]{16}|\d{5}-of-\d{5}", "*", name)
        if path.is_file():
            files.setdefault(name, []).append(path)
    return files


def content(name: str, data: bytes) -> Any:
    """A file as JSON, as one value a line, as text, or as bytes, by its name and what it can be."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return data
    try:
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in text.splitlines()]
        return json.loads(text) if name.endswith(".json") else text
    except ValueError:
        return text


def types(kind: pa.DataType) -> Any:
    """A type of Arrow, its structs as fields by name."""
    if pa.types.is_struct(kind):
        return {field.name: types(field.type) for field in kind}
    return [types(kind.value_type)] if pa.types.is_list(kind) else str(kind)


def features(table: pa.Table) -> Any:
    """What `datasets` wrote of the columns of a table."""
    return json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))


def by_id(rows: list[Any]) -> dict[Any, Any]:
    """Rows by what names them, or by their number."""
    for name in IDS:
        names = [row.get(name) for row in rows if isinstance(row, dict)]
        if len({name for name in names if isinstance(name, str)}) == len(rows):
            return dict(zip(names, rows, strict=True))
    return dict(enumerate(rows))


def shown(before: Any, after: Any) -> tuple[str, str]:
    """Both in a line each, from shortly before the first character that differs."""
    texts = [f"{len(value):,} bytes" if isinstance(value, bytes) else repr(value) for value in (before, after)]
    start = max(0, next((at for at, pair in enumerate(zip(*texts, strict=False)) if pair[0] != pair[1]), 40) - 40)
    before, after = (("… " if start else "") + text[start : start + 120] for text in texts)
    return before, after


def main() -> None:
    """Compare two folders; exit with 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    for folder in (options.before, options.after):
        if not folder.is_dir() or not any(folder.iterdir()):
            parser.error(f"{folder} is no folder with files")
    comparison = Comparison(options.before, options.after)
    comparison.print()
    sys.exit(bool(comparison.counts))


if __name__ == "__main__":
    main()
