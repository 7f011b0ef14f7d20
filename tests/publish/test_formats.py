import json
from pathlib import Path

from command import Command

from dailytalk_contiguous.publish.formats import FORMATS


def test_page_of_formats_and_list_say_what_the_table_says(dailytalk: Command) -> None:
    page = Path("docs/formats.md").read_text(encoding="utf-8")
    rows = [
        f"| `{format.name}` | {format.reader} | {format.holds} | {format.loses} | {format.checked} |"
        for format in FORMATS.values()
    ]
    assert [line for line in page.splitlines() if line.startswith("| `") and "--format" not in line] == rows
    listed = dailytalk("export", "--list")
    assert listed.code == 0
    for format in FORMATS.values():
        assert f"{format.name}: for {format.reader}" in listed.out
        assert format.loses in " ".join(listed.out.split())
    assert json.loads(dailytalk("export", "--list", "--json").out).keys() == FORMATS.keys()
