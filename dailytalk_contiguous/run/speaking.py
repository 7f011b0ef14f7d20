"""The second half of the product: from a transcript to finished stereo conversations, one run of it.

Works from `transcript.jsonl` as a person may have edited it. What was bought lies in the cache before anything is
made of it; a conversation of which something could not be said is held back and tried again by the next run.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.licensing import licence_of
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.tags import check_tags
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.engines import ENGINES, Budget, SpendingLimit, load_synthesiser, open_budget
from dailytalk_contiguous.pipelines import SpeakSettings, speak_stage
from dailytalk_contiguous.run import local
from dailytalk_contiguous.run.events import Account, Journal
from dailytalk_contiguous.run.outputs import (
    TRANSCRIPT,
    note_stop,
    read_run,
    rejects_by_reason,
    sha256_of,
    write_spoken,
)
from dailytalk_contiguous.run.runner import Runner
from dailytalk_contiguous.run.shard import Progress
from dailytalk_contiguous.shards import PLANNING_COLUMNS, Entry, compress_row, drop_stale, expand_row, group, index
from dailytalk_contiguous.sources.transcribed import transcribed
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.files import inside

#: Folder of the finished conversations.
DATASET = "dataset"

#: Seconds of conversations that a paid synthesiser gets at once, so that its concurrency is always used.
BATCH_SECONDS = 1800.0

#: What tags are written for, by model of Fish. The other engines map every tag of the first list.
TAG_LISTS = {"s1": "fish-s1", "s2-pro": "fish-s2", "s2.1-pro": "fish-s2", "s2.1-pro-free": "fish-s2"}

#: Settings that decide what a finished conversation sounds like, and that its provenance tells.
_TOLD = (
    *("timeline", "revoice", "sample_rate", "temperature", "top_p", "tag_map", "variants", "candidates"),
    *("verify", "no_text", "on_failure"),
)


@dataclass(frozen=True)
class SynthesisInput:
    """What is to be said: groups of conversations that become shards, and what could not be used.

    Conversations may be folded (`shards`) but for `AT_HAND`.

    `models` are those that made the transcript, by role, as run.json has them: their licences bind the result.
    `source` is where the recordings are from, as far as run.json knows; `digest` is the transcript's SHA-256.
    """

    groups: list[list[Row]]
    rejects: list[Reject]
    models: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def rows(self) -> list[Row]:
        """All conversations, as they lie in the groups."""
        return [row for rows in self.groups for row in rows]

    def unfolded(self) -> Iterator[Row]:
        """All conversations with all their columns, one at a time."""
        return map(expand_row, self.rows)


@dataclass(frozen=True)
class SpeakOutcome:
    """What a run did; `record` is what run.json holds of it."""

    record: dict[str, Any]
    n_shards: int
    n_made: int
    audio_seconds: float
    wall_seconds: float
    account: Account


def read_synthesis_input(
    folder: Path,
    transcript: Path | None = None,
    recordings: Path | None = None,
    shard_seconds: float = 600.0,
) -> SynthesisInput:
    """Read the transcript of a work folder, or another one. Raises DailytalkError if there is nothing in it."""
    rejects: list[Reject] = []
    path = transcript or inside(folder, TRANSCRIPT)
    found = transcribed(path, folder / "tagged", recordings, rejects)
    rows: list[Row] = [compress_row(row, PLANNING_COLUMNS) for row in found]
    if not rows and not rejects:
        raise DailytalkError(f"{path} is empty", "run dailytalk tag first")
    run = (read_run(folder) or {}) if transcript is None else {}
    models, source = run.get("models", {}), run.get("source", {})
    return SynthesisInput(list(group(rows, shard_seconds)), rejects, models, source, sha256_of(path))


def speak_transcript(
    script: SynthesisInput,
    out: Path,
    settings: SpeakSettings,
    about: dict[str, Any],
    progress: Progress = lambda stage, audio, wall: None,
    planned: local.Planned = lambda plan, forecast: None,
    prune: bool = False,
    workers: int = 1,
    runner: Runner | None = None,
) -> SpeakOutcome:
    """Say, rebuild and align every conversation of a script into `out`.

    Raises DailytalkError, before anything is bought, for tags that the synthesiser does not know, and for results
    in `out` of conversations that are not in the script (unless `prune`).
    """
    started = time.perf_counter()
    load_synthesiser.cache_clear()  # the environment may name another token, voice or server than before
    runner = runner or Runner()
    open_budget.cache_clear()
    money = open_budget(settings.max_cost)  # opened here: threads that all come first would open one each
    paid = not speak_stage(settings).synthesiser().deterministic
    spent = (lambda: money.spent) if paid else None
    journal = Journal(out, "speak", settings, about.get("command", ""), workers=workers, spent=spent)
    plan, stages = intended_speak(script, out, settings, prune)
    if plan.tasks:
        runner.preflight(stages, settings.device)  # what it refuses leaves no trace
    with journal:
        planned(plan, journal.forecast)
        journal.planned(plan, sum(row["duration"] for row in script.rows), [stage.name for stage in stages])
        run = runner.say(plan, stages, settings, workers, BATCH_SECONDS, journal.telling(progress), journal.made)
        with spending(out, "speak", about.get("command", ""), money if paid else None):
            made = list(run)
        drop_stale(out / DATASET, plan.paths)
        record = write_spoken(
            out,
            plan.paths,
            stages,
            script.rejects,
            {
                **about,
                "settings": settings.told(),
                "transcript_sha256": script.digest,
                "time": journal.account.as_dict(),
                "money": money.as_dict(),
            },
            script.source,
        )
        journal.rejects = rejects_by_reason(out)
    return SpeakOutcome(
        record,
        len(plan.paths),
        len(made),
        sum(task.seconds for task in plan.tasks),
        time.perf_counter() - started,
        journal.account,
    )


def intended_speak(
    script: SynthesisInput, out: Path, settings: SpeakSettings, prune: bool = False
) -> tuple[local.RunPlan, tuple[Stage, ...]]:
    """What `speak` will do: its plan and its stages. `Runner.preflight` tells whether they can run.

    Raises DailytalkError for tags that the synthesiser does not know, and for results that would be lost.
    """
    check_script_tags(script, settings)
    folder = out / DATASET
    known = index(folder) if folder.exists() else {}
    _refuse_to_lose(folder, known, script, prune)
    stages = settings.stages(provenance_of(settings, script.models))
    return local.plan_run(folder, script.groups, stages, known), stages


@contextmanager
def spending(out: Path, kind: str, command: str, money: Budget | None) -> Iterator[None]:
    """Whatever ends a run early: run.json says what was spent until then, purchases under way included.

    So does the message where it was the limit on spending: others were still being paid when one met it. `money`
    is None where nothing costs.
    """
    try:
        yield
    except BaseException as error:
        if money is None:
            raise
        limit = SpendingLimit(error.limit, money.spent) if isinstance(error, SpendingLimit) else None
        note_stop(out, kind, command, limit or error, money.as_dict())
        if limit:
            raise limit from None
        raise


def check_script_tags(script: SynthesisInput, settings: SpeakSettings) -> None:
    """Raise DailytalkError for tags that the synthesiser would say aloud or take for others."""
    tags = {
        row["tag"][place]
        for row in script.unfolded()
        for place in revoiced(row, settings)
        if row["tag"][place] and row["text"][place].strip()
    }
    model = settings.tts_model or ENGINES[settings.engine]
    if settings.engine == "fish" and model not in TAG_LISTS:
        return  # there is no such model, which its synthesiser will say
    try:
        check_tags(sorted(tags), TAG_LISTS.get(model, "fish-s1"), dict(settings.tag_map))
    except DailytalkError as error:
        raise DailytalkError(error.reason, f"{error.remedy}; the option is --map-tag TAG=OTHER") from None


def revoiced(row: Row, settings: SpeakSettings) -> list[int]:
    """Places of the utterances that are to be resynthesised."""
    return [place for place, channel in enumerate(row["source_channel"]) if channel == settings.revoice]


def _refuse_to_lose(
    folder: Path, known: Mapping[str, tuple[Path, Entry]], script: SynthesisInput, prune: bool
) -> None:
    # Not those that could not be read this time: a disk that is not mounted must not cost finished work.
    here = {row["conversation_id"] for row in script.rows}
    gone = sorted({name for name, (_, entry) in known.items() if not entry.reject} - here)
    if gone and not prune:
        shown = ", ".join(map(repr, gone[:3])) + (", …" if len(gone) > 3 else "")
        raise DailytalkError(
            f"{folder.parent} holds {counted(len(gone), 'finished conversation')} that the transcript or its "
            f"recordings do not give any more ({shown})",
            "put the recordings back, choose another --out, or pass --prune to drop them",
        )


def provenance_of(settings: SpeakSettings, tagged: Mapping[str, Any]) -> str:
    """How the conversations were made, as JSON: what decides the result, and whose models it took."""
    models = {role: name for stage in settings.stages() for role, name in stage.models().items()}
    told = {
        "tool": f"dailytalk-contiguous {version('dailytalk-contiguous')}",
        "models": {
            **tagged,
            **{role: {"name": name, **licence_of(name)._asdict()} for role, name in models.items()},
        },
        "voice": speak_stage(settings).synthesiser().voice,
        "settings": {name: getattr(settings, name) for name in _TOLD},
    }
    return json.dumps(told, sort_keys=True, ensure_ascii=False)
