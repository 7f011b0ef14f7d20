from itertools import groupby
from pathlib import Path

from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import ExportFormat


def content(form: ExportFormat) -> tuple[str, str]:
    return form.holds, form.loses


def test_page_of_formats_says_what_the_table_says() -> None:
    page = Path("docs/formats.md").read_text(encoding="utf-8")
    rows = []
    for (holds, loses), group in groupby(FORMATS.values(), content):  # neighbours of one content share a row
        forms = [*group]
        names = ", ".join(f"`{form.name}`" for form in forms)
        readers = ", ".join(dict.fromkeys(form.reader for form in forms))
        checks = ", ".join(dict.fromkeys(form.checked for form in forms))
        rows.append(f"| {names} | {readers} | {holds} | {loses} | {checks} |")
    listed = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line for line in listed if "--format" not in line] == rows
