from pathlib import Path

from dailytalk_contiguous.publish.exports.formats import FORMATS


def test_page_of_formats_says_what_the_table_says() -> None:
    page = Path("docs/formats.md").read_text(encoding="utf-8")
    rows = []
    for form in FORMATS.values():
        rows.append(f"| `{form.name}` | {form.reader} | {form.holds} | {form.loses} | {form.checked} |")
    listed = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line for line in listed if "--format" not in line] == rows
