"""How well a profile does on the bundled recordings, whose words and times are known exactly.

Prints, for each recording: precision and recall of speech time (goal: at least 0.95 both), word error rate, and
the median and 90th percentile of the distance of word edges. Exits with 1 if segmentation misses its goal.

    python benchmarks/quality.py [--profile embedded] [--asr-model base]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scoring import score, total

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.run.run import run
from dailytalk_contiguous.run.tagging import TagSpec, find

EXAMPLES = Path(__file__).resolve().parents[1] / "examples/conversations"
GOAL = 0.95


def main() -> int:
    """Tag the examples in a temporary folder and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--asr-model", default="")
    parser.add_argument("--examples", type=Path, default=EXAMPLES)
    chosen = parser.parse_args()
    asr_model = {"asr_model": chosen.asr_model} if chosen.asr_model else {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        stages = tag_stages(profile=chosen.profile, language="en", **asr_model)
        run(TagSpec(find([str(chosen.examples)], out), out, stages))
        lines = [json.loads(line) for line in (out / "transcript.jsonl").read_text(encoding="utf-8").splitlines()]
    print(
        f"{'recording':<22}{'precision':>10}{'recall':>8}{'WER':>8}{'words':>7}{'edge median':>13}{'edge p90':>10}"
    )
    scores = [score(path, lines) for path in sorted(chosen.examples.glob("*.reference.json"))]
    everything = total(scores)
    for one in (*scores, everything):
        _print(one)
    good = min(everything["precision"], everything["recall"]) >= GOAL
    print(f"segmentation goal (precision and recall at least {GOAL}): {'met' if good else 'MISSED'}")
    return 0 if good else 1


def _print(one: dict[str, Any]) -> None:
    edges = np.array(one["edges"] or [np.nan]) * 1000
    print(
        f"{one['name']:<22}{one['precision']:>10.3f}{one['recall']:>8.3f}{one['wer']:>8.1%}{one['words']:>7}"
        f"{np.median(edges):>10.0f} ms{np.percentile(edges, 90):>7.0f} ms"
    )


if __name__ == "__main__":
    sys.exit(main())
