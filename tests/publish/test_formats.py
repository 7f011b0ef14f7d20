from pathlib import Path

from dailytalk_contiguous.publish.formats import FORMATS


def test_page_of_formats_says_what_the_table_says() -> None:
    page = Path("docs/formats.md").read_text(encoding="utf-8")
    rows = [
        f"| `{format.name}` | {format.reader} | {format.holds} | {format.loses} | {format.checked} |"
        for format in FORMATS.values()
    ]
    assert [line for line in page.splitlines() if line.startswith("| `") and "--format" not in line] == rows
