"""Packed windows against a window for each utterance: words, word times and speed of a Whisper model.

For whoever has weights. Prints for both, side by side on the bundled recordings (or a folder of your own with
`NAME.reference.json` beside each file): word error rate, distance of word edges, and seconds.

    python benchmarks/asr.py --model base [--compute-type int8] [--device cuda]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from scoring import score, total

from dailytalk_contiguous import Folder, MatchTranscript, PerUtterance, Segment, Transcribe

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a Whisper size or a folder in CTranslate2 format")
    parser.add_argument("--recordings", type=Path, default=EXAMPLES)
    parser.add_argument("--compute-type", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--beam", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:  # transcripts beside the audio would be used instead
        rows = list(Folder(inputs=(str(chosen.recordings),), transcripts=empty).as_streaming_dataset("train"))
    batches = [{name: [value] for name, value in row.items()} for row in rows if not row["problem"]]
    for batch in batches:
        batch |= Segment()(batch)
        batch |= MatchTranscript()(batch)
    print(f"{'windows':<12}{'WER':>8}{'edge median':>13}{'edge p90':>10}{'seconds':>10}")
    for windows in ("utterance", "packed"):
        stage = PerUtterance(
            Transcribe(
                model=chosen.model,
                language="en",
                windows=windows,
                beam=chosen.beam,
                compute_type=chosen.compute_type,
                device=chosen.device,
            )
        )
        stage(batches[0])  # loads the model and warms it up
        started = time.perf_counter()
        heard = [stage(batch) for batch in batches]
        seconds = time.perf_counter() - started
        _print(windows, _compare(chosen.recordings, batches, heard), seconds)


def _compare(folder: Path, batches: list[dict[str, Any]], heard: list[dict[str, Any]]) -> dict[str, Any]:
    found = [
        {
            "conversation_id": batch["conversation_id"][0],
            "channel": channel,
            "start": start,
            "end": end,
            "words": words,
        }
        for batch, words_of in zip(batches, heard, strict=True)
        for channel, start, end, words in zip(
            batch["channel"][0], batch["start"][0], batch["end"][0], words_of["words"][0], strict=True
        )
    ]
    return total([score(path, found) for path in sorted(folder.glob("*.reference.json"))])


def _print(windows: str, result: dict[str, Any], seconds: float) -> None:
    edges = np.array(result["edges"] or [np.nan]) * 1000
    print(
        f"{windows:<12}{result['wer']:>8.1%}{np.median(edges):>10.0f} ms{np.percentile(edges, 90):>7.0f} ms"
        f"{seconds:>10.1f}"
    )


if __name__ == "__main__":
    main()
