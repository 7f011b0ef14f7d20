"""docs/options.md has the options that the commands have."""

import runpy

from audio_files import ROOT


def test_page_of_options_is_current() -> None:
    made = runpy.run_path(str(ROOT / "benchmarks/options_page.py"))
    page = made["PAGE"].read_text(encoding="utf-8")
    assert page == made["page"](), "run python benchmarks/options_page.py"
