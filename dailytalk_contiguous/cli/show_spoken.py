"""What `dailytalk speak` prints: what it would cost, and what it made."""

from pathlib import Path
from typing import Any

from rich.markup import escape

from dailytalk_contiguous.cli.terminal import Console
from dailytalk_contiguous.engine.outputs import REJECTS, RUN
from dailytalk_contiguous.engine.pricing import Estimate
from dailytalk_contiguous.engine.speaking import DATASET, Script, SpokenOutcome
from dailytalk_contiguous.engine.spoken_outputs import AUDIO, SHIFTED
from dailytalk_contiguous.pipeline import SpeakSettings


def dry_run(console: Console, script: Script, found: Estimate, settings: SpeakSettings) -> None:
    """What saying a script would take."""
    console.print(
        f"{len(script.rows)} conversations, {found.utterances} utterances to say by {settings.engine} "
        f"({found.hours * 60:.1f} min in the recordings), {found.cached} of them in the cache or said before"
    )
    console.print(f"{found.text_bytes} bytes of text; about {found.price:.4f} USD to spend")
    if found.without_text:
        console.print(f"{found.without_text} utterances without text would be: {settings.no_text}")
    if found.not_cloned:
        console.print(f"{found.not_cloned} conversations hold too little speech to clone their voice from")
    if found.refusal:
        console.print(f"it would not begin: {escape(found.refusal)}", soft_wrap=True)
    for reject in script.rejects:
        console.print(
            f"  set aside: {escape(reject.id)}: {escape(reject.reason)}; {escape(reject.remedy)}", soft_wrap=True
        )


def outcome(console: Console, result: SpokenOutcome, out: Path) -> None:
    """What a run made, how turn-taking fared, and where everything is."""
    record = result.record
    if result.n_made:
        speed = result.audio_seconds / max(result.wall_seconds, 1e-9)
        console.print(
            f"{result.audio_seconds / 60:.1f} min in {result.wall_seconds:.1f} s ({speed:.1f}× real time), "
            f"{result.n_made} of {result.n_shards} shards made"
        )
    else:
        console.print(f"nothing to do: all {result.n_shards} shards stand")
    for stage in record["stages"]:
        console.print(f"  {stage['name']:<16}{stage['seconds']:>9.1f} s")
    counts = record["counts"]
    console.print(
        f"{counts.get('conversations', 0)} conversations, {counts.get('spoken', 0)} utterances said anew, "
        f"{counts.get('kept', 0)} kept as they were, {counts.get('words', 0)} words aligned",
        soft_wrap=True,
    )
    for status, meaning in (
        ("dropped", "left out for want of text"),
        ("kept_original", "with their original voice"),
    ):
        if counts.get(status):
            console.print(f"  {counts[status]} {meaning}")
    _turn_taking(console, record)
    money = record["money"]
    console.print(f"spent {money['spent']:.4f} USD, saved by the cache {money['saved_by_cache']:.4f} USD")
    if counts["rejects"]:
        console.print(f"{counts['rejects']} set aside: {escape(str(out / REJECTS))}", soft_wrap=True)
    for label, path in (("conversations", AUDIO), ("transcript", SHIFTED), ("dataset", DATASET), ("record", RUN)):
        console.print(f"{label:<14}{escape(str(out / path))}", soft_wrap=True)


def _turn_taking(console: Console, record: dict[str, Any]) -> None:
    mean = record.get("mean")
    if mean:
        console.print(
            f"turn-taking: offsets {1000 * mean['offset_distance']:.0f} ms from the source's, "
            f"{mean['overlap_kept']:.0%} of possible overlap kept, length ×{mean['duration_ratio']:.2f}; "
            f"lost of the kept speaker: {record['lost_speech_seconds']:.2f} s of speech, "
            f"{record['lost_sound_seconds']:.2f} s of other sounds"
        )
