"""Every stage against the plainest loop that does the same, on the same models, in one run.

The two sides are those of `sides`; ours runs at equal precision (float32, beam 5, packed windows). Prints
processor seconds of both, their ratios and the goals (2 times end to end, speech activity 5 times, pitch 8 times),
wall seconds and real-time factors of our stages, the share in which each stage makes floats of the speech for
itself (goal: at most 1 %), and peak memory. `end_to_end.py` compares other precisions, too. Takes some minutes.

    python benchmarks/stages.py [--whisper base] [--recordings 1] [--seconds 30]
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from sides import ROOT, Ours, Plain, prepare

from dailytalk_contiguous import tag_stages

GOALS = {"end to end": 2.0, "speech activity": 5.0, "pitch": 8.0}

#: Share of our processor time in which each stage makes floats of the same speech for itself.
FLOATS_GOAL = 0.01


def main() -> int:
    """Run both sides and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whisper", default="base", choices=("tiny", "base", "small", "medium"))
    parser.add_argument("--recordings", type=int, default=1, help="how many of the folder's")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each, from its start")
    parser.add_argument("--folder", default=str(ROOT / "examples/conversations"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        material = prepare(Path(folder), chosen.folder, chosen.recordings, chosen.seconds, chosen.whisper)
        print(f"{material.audio_seconds:.0f} s; Whisper {chosen.whisper}, {material.words}")
        plain = Plain(material)
        models = {"asr_model": material.packed, "affect_model": material.affect}
        ours = Ours(tag_stages(**models, compute_type="float32", language="en", device="cpu"))
        for batch in material.batches:
            plain(batch)
        ours(material.batches)
    return _report(plain, ours, material.audio_seconds)


def _report(plain: Plain, ours: Ours, audio: float) -> int:
    theirs = plain.clock.cpu
    rows = {name: (theirs[name], ours.inside.cpu[name]) for name in ("speech activity", "pitch")}
    rows |= {name: (theirs[name], ours.clock.cpu[name]) for name in ("Transcribe", "RateAffect")}
    rows["end to end"] = (sum(theirs.values()), sum(ours.clock.cpu.values()))
    print(f"{'processor':<18}{'plain s':>9}{'ours s':>9}{'times':>8}{'goal':>7}")
    met = True
    for name, (their, own) in rows.items():
        goal = GOALS.get(name)
        met &= goal is None or their / own >= goal
        print(f"{name:<18}{their:>9.2f}{own:>9.2f}{their / own:>8.1f}{goal or '':>7}")
    for name, seconds in ours.clock.wall.items():
        print(f"  our stage {name:<16}{seconds:>8.2f} s of wall time{seconds / audio:>9.4f} × real time")
    floats = sum(ours.floats.cpu.values()) / sum(ours.clock.cpu.values())
    met &= floats <= FLOATS_GOAL
    print(f"speech made into floats: {floats:.3%} of our processor time (goal: at most {FLOATS_GOAL:.0%})")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of both sides: {peak:.0f} MB")
    print("goals met" if met else "goals MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
