"""Every way to hear with a Whisper model, side by side: words, word times and speed.

For whoever has weights. Windows of one utterance (as Whisper was trained), packed ones (our default) and short
ones (`--fast`), each in every precision asked for, on the bundled recordings or a folder of your own with
`NAME.reference.json` beside each file. Prints word error rate, distance of word edges, seconds of processor and
wall time, and how many times less of them (on CUDA: of wall time) than the first line's.

    python benchmarks/asr.py --model base [--compute-types float32 int8] [--device cuda]
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
    """Run all and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a Whisper size or a folder in CTranslate2 format")
    parser.add_argument("--recordings", type=Path, default=EXAMPLES)
    parser.add_argument("--compute-types", nargs="+", default=["float32", "int8"], help="CTranslate2's, or auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--beam", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:  # transcripts beside the audio would be used instead
        rows = list(Folder(inputs=(str(chosen.recordings),), transcripts=empty).as_streaming_dataset("train"))
    batches = [{name: [value] for name, value in row.items()} for row in rows if not row["problem"]]
    for batch in batches:
        batch |= Segment()(batch)
        batch |= MatchTranscript()(batch)
    columns = f"{'WER':>8}{'edge median':>13}{'p90':>10}{'cpu s':>9}{'wall s':>9}{'times':>7}"
    print(f"{'windows':<12}{'precision':<14}{columns}")
    first = 0.0
    for compute_type in chosen.compute_types:
        for windows in ("utterance", "packed", "short"):
            stage = Transcribe(
                model=chosen.model,
                language="en",
                windows=windows,
                beam=chosen.beam,
                compute_type=compute_type,
                device=chosen.device,
            )
            heard, cpu, wall = _hear(PerUtterance(stage), batches)
            spent = wall if chosen.device == "cuda" else cpu
            first = first or spent
            told = _compare(chosen.recordings, batches, heard)
            _print(windows, compute_type, told, f"{cpu:>9.1f}{wall:>9.1f}{first / spent:>7.1f}")


def _hear(stage: PerUtterance, batches: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float, float]:
    """What a stage hears, and its seconds of processor and wall time."""
    stage(batches[0])  # loads the model and warms it up
    cpu, wall = time.process_time(), time.perf_counter()
    heard = [stage(batch) for batch in batches]
    return heard, time.process_time() - cpu, time.perf_counter() - wall


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


def _print(windows: str, compute_type: str, result: dict[str, Any], speed: str) -> None:
    edges = np.array(result["edges"] or [np.nan]) * 1000
    print(
        f"{windows:<12}{compute_type:<14}{result['wer']:>8.1%}{np.median(edges):>10.0f} ms"
        f"{np.percentile(edges, 90):>7.0f} ms{speed}"
    )


if __name__ == "__main__":
    main()
