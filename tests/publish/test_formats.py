from itertools import groupby
from pathlib import Path

from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import ExportFormat

PAGE = Path("docs/formats.md").read_text(encoding="utf-8")

#: The libraries that read exports back in the tests, as the formats name them.
LIBRARIES = ("datasets", "lhotse", "pandas", "Praat", "pympi", "pysubs2", "sphn", "webdataset")


def content(form: ExportFormat) -> tuple[str, str]:
    return form.holds, form.loses


def test_page_of_formats_says_what_the_table_says() -> None:
    rows = []
    for (holds, loses), group in groupby(FORMATS.values(), content):  # neighbours of one content share a row
        forms = [*group]
        names = ", ".join(f"`{form.name}`" for form in forms)
        readers = ", ".join(dict.fromkeys(form.reader for form in forms))
        rows.append(f"| {names} | {readers} | {holds} | {loses} |")
    listed = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert [line for line in listed if "--format" not in line] == rows


def test_page_of_formats_names_what_reads_exports_back() -> None:
    _, _, tests = PAGE.partition("- **Tests**")
    checks = [form.checked for form in FORMATS.values()]
    for library in LIBRARIES:
        assert library in tests
        assert any(library in check for check in checks)
    for check in checks:
        known = ("its source", "its README", "its chat template", "our reader", "a reader of labels", *LIBRARIES)
        assert any(part in check for part in known), check
