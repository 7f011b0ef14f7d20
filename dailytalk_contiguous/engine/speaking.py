"""The second half of the product: from a transcript to finished stereo conversations, one run of it.

Works from `transcript.jsonl` as a person may have edited it. What was bought lies in the cache before anything is
made of it; a conversation of which something could not be said is held back and tried again by the next run.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.tag_lists import check_tags
from dailytalk_contiguous.engine import local
from dailytalk_contiguous.engine.build import Progress
from dailytalk_contiguous.engine.outputs import TRANSCRIPT
from dailytalk_contiguous.engine.shards import Row, group, index
from dailytalk_contiguous.engine.spoken_outputs import write_spoken
from dailytalk_contiguous.models.engines import purse
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.models.speech_cache import SpeechCache, cache_key
from dailytalk_contiguous.models.synthesiser import Line
from dailytalk_contiguous.pipeline import SpeakSettings, saying, speaking
from dailytalk_contiguous.sources.transcribed import transcribed

#: Folder of the finished conversations.
DATASET = "dataset"

#: Seconds of conversations that a paid synthesiser gets at once, so that its concurrency is always used.
BATCH_SECONDS = 1800.0

#: What a tag has to be known to, by engine. The other engines map every tag of this list.
TAG_LISTS = {("fish", "s1"): "fish-s1"}


@dataclass(frozen=True)
class Script:
    """What is to be said: groups of conversations that become shards, and what could not be used."""

    groups: list[list[Row]]
    rejects: list[Reject]

    @property
    def rows(self) -> list[Row]:
        """All conversations."""
        return [row for rows in self.groups for row in rows]


@dataclass(frozen=True)
class Estimate:
    """What saying a script would take: utterances, how many are cached, UTF-8 bytes, USD, hours of source."""

    utterances: int
    cached: int
    without_text: int
    text_bytes: int
    price: float
    hours: float


@dataclass(frozen=True)
class SpokenOutcome:
    """What a run did; `record` is what run.json holds of it."""

    record: dict[str, Any]
    n_shards: int
    n_made: int
    audio_seconds: float
    wall_seconds: float


def read_script(
    folder: Path,
    transcript: Path | None = None,
    recordings: Path | None = None,
    shard_seconds: float = 600.0,
) -> Script:
    """Read the transcript of a work folder, or another one. Raises DailytalkError if there is nothing in it."""
    rejects: list[Reject] = []
    rows = list(transcribed(transcript or folder / TRANSCRIPT, folder / "tagged", recordings, rejects))
    if not rows and not rejects:
        raise DailytalkError(f"{transcript or folder / TRANSCRIPT} is empty", "run dailytalk tag first")
    return Script(list(group(rows, shard_seconds)), rejects)


def estimate(script: Script, settings: SpeakSettings) -> Estimate:
    """What saying a script would cost, less what is in the cache. Buys nothing."""
    stage = saying(settings)
    synthesiser, cache = stage.synthesiser(), SpeechCache(Path(settings.cache) if settings.cache else None)
    missing: dict[str, Line] = {}
    said = cached = silent = text_bytes = 0
    seconds = 0.0
    for row in script.rows:
        for place, channel in enumerate(row["source_channel"]):
            if channel != settings.revoice:
                continue
            text = row["text"][place].strip()
            if not text:
                silent += 1
                continue
            said += 1
            text_bytes += len(text.encode())
            seconds += row["end"][place] - row["start"][place]
            take = stage.first_take(row["utterance_id"][place])
            line = stage.line(text, row["tag"][place], row["language"][place], take)
            key = cache_key(synthesiser, line)
            if key in missing or cache.get(key) is not None:
                cached += 1
            else:
                missing[key] = line
    price = synthesiser.price(list(missing.values())) * settings.candidates
    return Estimate(said, cached, silent, text_bytes, price, seconds / 3600)


def speak(
    script: Script,
    out: Path,
    settings: SpeakSettings,
    about: dict[str, Any],
    progress: Progress = lambda stage, audio, wall: None,
    planned: Callable[[local.Plan, int], None] = lambda plan, n_stages: None,
    prune: bool = False,
) -> SpokenOutcome:
    """Say, rebuild and align every conversation of a script into `out`.

    Raises DailytalkError, before anything is bought, for tags that the synthesiser does not know, and for results
    in `out` of conversations that are not in the script (unless `prune`).
    """
    started = time.perf_counter()
    _check_tags(script, settings)
    folder = out / DATASET
    _refuse_to_lose(folder, script, prune)
    folder.mkdir(parents=True, exist_ok=True)
    stages = speaking(settings, _provenance(settings))
    purse.cache_clear()
    plan = local.plan(folder, script.groups, stages)
    planned(plan, len(stages))
    if plan.tasks:
        for stage in stages:
            stage.preflight()
    paid = not saying(settings).synthesiser().deterministic
    made = list(local.run(plan, stages, 1, BATCH_SECONDS if paid else 0.0, progress))
    money = purse(settings.max_cost)
    record = write_spoken(
        out,
        plan.paths,
        set(made),
        stages,
        script.rejects,
        {
            **about,
            "settings": asdict(settings),
            "money": {"spent": round(money.spent, 6), "saved_by_cache": round(money.saved, 6), "unit": "USD"},
        },
    )
    return SpokenOutcome(
        record,
        len(plan.paths),
        len(made),
        sum(task.seconds for task in plan.tasks),
        time.perf_counter() - started,
    )


def _check_tags(script: Script, settings: SpeakSettings) -> None:
    """Raise DailytalkError for tags that the synthesiser would say aloud or take for others."""
    tags = {tag for row in script.rows for tag in row["tag"] if tag}
    style = TAG_LISTS.get((settings.engine, settings.tts_model or "s1"))
    if style or settings.engine in ("espeak", "flite", "openai"):
        check_tags(sorted(tags), style or "fish-s1", dict(settings.tag_map))


def _refuse_to_lose(folder: Path, script: Script, prune: bool) -> None:
    here = {row["conversation_id"] for row in script.rows} | {reject.id for reject in script.rejects}
    gone = sorted(set(index(folder)) - here) if folder.exists() else []
    if gone and not prune:
        shown = ", ".join(map(repr, gone[:3])) + (", …" if len(gone) > 3 else "")
        raise DailytalkError(
            f"{folder.parent} holds {len(gone)} finished conversations that are not in the transcript ({shown})",
            "choose another --out, or pass --prune to drop them",
        )


def _provenance(settings: SpeakSettings) -> str:
    """How the conversations were made, as JSON: what decides the result, and whose models it took."""
    models = {role: name for stage in speaking(settings) for role, name in stage.models().items()}
    told = {
        "tool": f"dailytalk-contiguous {version('dailytalk-contiguous')}",
        "models": {role: {"name": name, **licence_of(name)._asdict()} for role, name in models.items()},
        "timeline": settings.timeline,
        "revoice": settings.revoice,
        "voice": settings.voice,
        "sampling": {"temperature": settings.temperature, "top_p": settings.top_p},
    }
    return json.dumps(told, sort_keys=True, ensure_ascii=False)
