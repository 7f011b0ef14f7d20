"""How many times faster than a plain loop we tag: at equal precision, and by default.

All three sides take the same recordings with models of the same sizes in one run, one side after another (see
`sides`). Prints processor seconds (and wall seconds beside them), two ratios
of processor time with their goals, and the share of ours outside model calls and pitch, by stage (the features of
the recogniser count as outside). Takes some minutes.

    python benchmarks/end_to_end.py [--whisper base] [--recordings 1] [--seconds 30] [--avx2]
    OMP_NUM_THREADS=1 python benchmarks/end_to_end.py          # on a machine that others use, too
"""

import argparse
import sys
import tempfile
from pathlib import Path

from measuring import EXAMPLES, judged
from sides import AVX2, THREADS, Clock, Material, Ours, Plain, keep_models, prepare

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.models.affect import fast_precisions

HAS_BFLOAT16 = "bfloat16" in fast_precisions("cpu") and not AVX2

#: Names of our sides, what they are, and how many times faster than the plain loop they have to be.
GOALS = {
    "equal precision": ("float32, packed windows", 3.5),
    "defaults": (
        "int8 recogniser, bfloat16 affect where the CPU has it",
        5.0 if HAS_BFLOAT16 else 4.0,
    ),
}
OUTSIDE_GOAL = 0.02

PARTS = ("speech activity", "Transcribe", "RateAffect", "pitch")


def main() -> int:
    """Run all sides and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--whisper", default="base", choices=("base", "tiny.en"))
    parser.add_argument("--recordings", type=int, default=1, help="how many of the folder's")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each, from its start")
    parser.add_argument("--folder", default=str(EXAMPLES))
    parser.add_argument("--avx2", action="store_true", help="as on a CPU that has no later instructions")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        material = prepare(Path(folder), chosen.folder, chosen.recordings, chosen.seconds, chosen.whisper)
        print(
            f"{len(material.batches)} recordings, {material.audio_seconds:.0f} s; Whisper {chosen.whisper}; "
            f"{THREADS} threads"
        )
        keep_models()
        ours = _our_sides(material)
        plain = Plain(material)
        for batch in material.batches:
            plain(batch)
        for side in ours.values():
            side(material.batches)
    return _report(plain.clock, ours)


def _our_sides(material: Material) -> dict[str, Ours]:
    plain = {"compute_type": "float32", "affect_precision": "float32"}
    same = {"affect_model": material.affect, "language": "en", "device": "cpu"}
    best = {"affect_precision": "float32"} if AVX2 else {}
    settings = {
        "equal precision": {"asr_model": material.whisper, **plain, **same},
        "defaults": {"asr_model": material.whisper, **best, **same},
    }
    return {name: Ours(tag_stages(**settings[name])) for name in GOALS}


def _report(plain: Clock, ours: dict[str, Ours]) -> int:
    print(f"{'processor s':<18}{'all':>8}{'wall':>8}" + "".join(f"{part:>17}" for part in PARTS))
    _line("plain loop", plain, plain)
    for name, side in ours.items():
        _line(name, side.clock, side.inside)
    met = []
    for name, side in ours.items():
        what, goal = GOALS[name]
        times = sum(plain.cpu.values()) / sum(side.clock.cpu.values())
        met.append(judged(f"{name} ({what}): {times:.2f} times faster, goal {goal:g}", times >= goal))
    for name, side in ours.items():
        outside = f"outside models and pitch, {name}: {side.outside:.1%}, goal at most {OUTSIDE_GOAL:.0%}"
        met.append(judged(outside, side.outside <= OUTSIDE_GOAL))
    return 0 if all(met) else 1


def _line(name: str, whole: Clock, parts: Clock) -> None:
    told = "".join(f"{parts.cpu[part]:>17.2f}" for part in PARTS)
    print(f"{name:<18}{sum(whole.cpu.values()):>8.2f}{sum(whole.wall.values()):>8.2f}{told}")


if __name__ == "__main__":
    sys.exit(main())
