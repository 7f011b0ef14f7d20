"""What `dailytalk speak` prints: what it would cost, and what it made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from dailytalk_contiguous.cli.rejects import share_text, show_rejects
from dailytalk_contiguous.cli.show import nothing_to_do, stages_to_run
from dailytalk_contiguous.cli.terminal import Console
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.engine.local import Plan
from dailytalk_contiguous.engine.outputs import REJECTS, RUN, SPOKEN_STAGES, rejects_in
from dailytalk_contiguous.engine.pricing import Estimate
from dailytalk_contiguous.engine.speaking import DATASET, Script, SpokenOutcome
from dailytalk_contiguous.engine.spoken_outputs import AUDIO, SHIFTED
from dailytalk_contiguous.pipeline import SpeakSettings
from dailytalk_contiguous.stages.base import Stage


def dry_run(
    console: Console,
    script: Script,
    found: Estimate,
    settings: SpeakSettings,
    plan: Plan,
    stages: Sequence[Stage],
) -> None:
    """What saying a script would take."""
    console.print(
        f"{counted(len(script.rows), 'conversation')}, {counted(found.utterances, 'utterance')} to say by "
        f"{settings.engine} ({found.hours * 60:.1f} min in the recordings), "
        f"{found.cached:,} of them in the cache or said before"
    )
    console.print(f"{counted(found.text_bytes, 'byte')} of text; about {found.price:.4f} USD to spend")
    console.print(f"{counted(len(plan.paths), 'shard')}, {len(plan.tasks):,} of them to make")
    if plan.tasks:
        stages_to_run(console, stages)
    if found.without_text:
        console.print(f"{counted(found.without_text, 'utterance')} without text: {settings.no_text}")
    if found.not_cloned:
        console.print(f"{counted(found.not_cloned, 'conversation')} with too little speech to clone a voice from")
    for reject in script.rejects:
        console.labelled("  rejected", f"{reject.id}: {reject.reason}; {reject.remedy}")


def outcome(console: Console, result: SpokenOutcome, out: Path) -> None:
    """What a run made, how turn-taking fared, and where everything is."""
    record = result.record
    if result.n_made:
        speed = result.audio_seconds / result.wall_seconds
        console.print(
            f"{result.audio_seconds / 60:.1f} min in {result.wall_seconds:.1f} s ({speed:.1f}× real time), "
            f"{result.n_made} of {counted(result.n_shards, 'shard')} made"
        )
    else:
        console.print(nothing_to_do(result.n_shards))
    for stage in record["stages"]:
        console.print(f"  {stage['name']:<16}{stage['seconds']:>9.1f} s")
    counts = record["counts"]
    console.print(
        f"{counted(counts.get('conversations', 0), 'conversation')}, "
        f"{counted(counts.get('spoken', 0), 'utterance')} resynthesised, "
        f"{counts.get('kept', 0):,} kept as recorded, {counted(counts.get('words', 0), 'word')} aligned"
    )
    for status, meaning in (
        ("dropped", "left out, without text"),
        ("kept_original", "with their original voice"),
    ):
        if counts.get(status):
            console.print(f"  {counts[status]} {meaning}")
    _turn_taking(console, record)
    money = record["money"]
    console.print(f"spent {money['spent']:.4f} USD, saved by the cache {money['saved_by_cache']:.4f} USD")
    if counts["rejects"]:
        rejects = (reject for reject in rejects_in(out) if reject["stage"] in SPOKEN_STAGES)
        show_rejects(console, share_text(record), f"in {out / REJECTS}", rejects)
    for label, path in (("conversations", AUDIO), ("transcript", SHIFTED), ("dataset", DATASET), ("record", RUN)):
        console.print(f"{label:<14}{escape(str(out / path))}")


def _turn_taking(console: Console, record: dict[str, Any]) -> None:
    mean = record.get("mean")
    if mean:
        console.print(
            f"turn-taking: offsets {1000 * mean['offset_distance']:.0f} ms from the source's, "
            f"{mean['overlap_kept']:.0%} of possible overlap kept, length ×{mean['duration_ratio']:.2f}; "
            f"lost of the kept speaker: {record['lost_speech_seconds']:.2f} s of speech, "
            f"{record['lost_sound_seconds']:.2f} s of other sounds"
        )
