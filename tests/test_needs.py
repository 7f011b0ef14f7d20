"""What a newcomer reads who has none of the programs: how many tests were skipped, and for want of what."""

import os
import re
import subprocess
import sys
from pathlib import Path

from audio_files import ROOT


def test_last_lines_count_what_was_skipped_for_want_of_a_program(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-n", "1", "tests/models/test_flite.py"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    counted = re.search(r"^skipped for want of flite: (\d+)$", done.stdout, re.MULTILINE)
    skipped = re.search(r"\b(\d+) skipped", done.stdout)
    assert counted, done.stdout
    assert skipped, done.stdout
    assert int(counted[1]) == int(skipped[1]) > 0
