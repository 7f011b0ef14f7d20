"""`dailytalk speak` and `dailytalk build`: finished stereo conversations from a transcript, or from recordings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import engine_options, show, terminal
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.stream import stream
from dailytalk_contiguous.cli.tag import TAG_SETTINGS, stages_of, tag_recordings
from dailytalk_contiguous.cli.tag_options import TagOptions
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome, exit_code, to_run
from dailytalk_contiguous.core.records.run_record import RunRecord, WorkingCopy
from dailytalk_contiguous.core.records.schema import NOBODY
from dailytalk_contiguous.core.settings import is_own_file
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.contracts import SynthesisFailed
from dailytalk_contiguous.models.engines import ENGINES, engine_named, speaker_text
from dailytalk_contiguous.models.profiles import PROFILES, STANDARD, profile_of
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import NO_MODEL
from dailytalk_contiguous.run.run import (
    RunOptions,
    RunOutcome,
    preflight,
    refuse_downloads,
    run,
    voice_stage_of,
)
from dailytalk_contiguous.run.speaking import (
    SpeakFolderSpec,
    SpeakSpec,
    SynthesisInput,
    price_of,
    refuse_one_channel,
)
from dailytalk_contiguous.run.storage import OF_SPEAK, open_work
from dailytalk_contiguous.sources.hub_repository import repository_of
from dailytalk_contiguous.stages.base import Stage, find_stage
from dailytalk_contiguous.stages.convert import Convert
from dailytalk_contiguous.stages.judge_turn_ends import JudgeTurnEnds
from dailytalk_contiguous.stages.keep import Keep
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import of_channel
from dailytalk_contiguous.stages.voice import ChooseVoice
from dailytalk_contiguous.store import work_folder

#: The options of `speak` that are settings of its stages.
SPEAK_SETTINGS = cli_options.setting_options(
    ChooseVoice(), *speak_stages(device="cpu"), Convert(), JudgeTurnEnds()
)

#: The options that `speak --help` shows.
_EVERYDAY = (
    "out",
    "recordings",
    "profile",
    "tts",
    "voice",
    "verify",
    "revoice",
    "sample_rate",
    "timeline",
    "on_failure",
    "dry_run",
    "workers",
    "max_cost",
)

#: The options that `build --help` shows.
_EVERYDAY_OF_BUILD = (
    "out",
    "transcripts",
    "language",
    "profile",
    "asr_model",
    "tts",
    "voice",
    "revoice",
    "sample_rate",
    "dry_run",
    "workers",
    "max_cost",
)


@dataclass(frozen=True, kw_only=True)
class SpeakOptions(cli_options.CommandOptions):
    """The options of `speak` beside the settings of its stages."""

    folder: Path = terminal.argument("DIR", "Work folder of dailytalk tag.")
    out: Path | None = engine_options.work_option(None, show_default="DIR")
    recordings: Path | None = terminal.option(
        None,
        terminal.Panel.RARE,
        "Folder of recordings that were moved, or that only the transcript names.",
        metavar="DIR",
        show_default="where tag read them",
    )
    profile: str = cli_options.profile_option("")
    verify: bool = terminal.option(
        False, terminal.Panel.VOICE, "Recognise every take and refuse wrong words.", "--verify"
    )
    dry_run: bool = engine_options.DRY_RUN
    workers: int | None = engine_options.WORKERS
    prune: bool = engine_options.PRUNE
    force: bool = engine_options.FORCE
    runner: str = engine_options.RUNNER
    address: str = engine_options.ADDRESS
    shard_minutes: float | None = engine_options.SHARD_MINUTES


@cli_options.with_options(SpeakOptions.parameters() | SPEAK_SETTINGS, cli_options.VOICE_FILES, _EVERYDAY)
def speak(**options: Any) -> Outcome:
    """Resynthesise one speaker and align every word.

    It rebuilds the timeline and writes finished stereo conversations, from DIR/transcript.jsonl with your edits.
    Tokens come from the environment (.env.example). A paid synthesiser runs in one process on this machine,
    whatever --workers says.
    """
    return speak_folder(SpeakOptions.among(options), options)


def speak_folder(options: SpeakOptions, values: cli_options.OptionValues) -> Outcome:
    """Speak by the options of `speak`; `values` has also the settings of its stages."""
    work = open_work(options.out or options.folder)
    tagged = open_work(options.folder).folder if options.out else work.folder
    settings = cli_options.chosen(values, SPEAK_SETTINGS)
    copy = work_folder.read_run(tagged).working_copy
    if copy:
        settings = as_published(copy, settings)
    own_settings = own_of_voice(settings, values)
    profile = options.profile
    if not profile:
        settings = _voice_of(work_folder.read_run(work.folder), settings) | settings
        profile = _profile_of(work_folder.read_run(tagged))
    stages = speak_stages(profile, options.verify, **settings, **own_settings)
    refuse_downloads(profile, stages)
    voice = voice_stage_of(stages)
    if isinstance(voice, Speak) and not engine_named(voice.engine).tags:
        terminal.say(f"{engine_named(voice.engine).name} takes no style tags: lines are said without theirs")
    about = {"command": terminal.command_line(), "settings": {"profile": profile}}
    shard_seconds = engine_options.shard_seconds(options.shard_minutes)
    spec = SpeakFolderSpec(tagged, work.folder, stages, about, options.recordings, shard_seconds)
    run_options = RunOptions(
        options.workers or 0,
        prune=options.prune,
        force=options.force,
        runner=options.runner,
        address=options.address,
        work=work,
        dry_run=options.dry_run,
    )
    if options.dry_run:
        return speak_intended(spec, run(spec, run_options), voice)
    with show.bar() as planned:
        done = run(spec, run_options, planned=planned)
    show.write_readme(done.out, done.title)
    work.settle(OF_SPEAK)
    outcome = speak_outcome(done, moves=isinstance(voice, Speak))
    n_again = sum(not pending.is_finished for pending in spec.script.conversations)
    if copy and n_again:
        again = (
            f"{counted(n_again, 'conversation')} with lines said anew made from the sound of the version, because "
            "the recordings are not here"
        )
        outcome = replace(outcome, details=[*outcome.details, again])
    return outcome


def as_published(copy: WorkingCopy, settings: cli_options.SettingValues) -> cli_options.SettingValues:
    """Return the settings by which lines of a version are said anew: as they were, unless a voice is chosen."""
    if settings:
        terminal.say(
            "lines that nobody has edited stay as they were published, whatever the options of voices; tag with "
            "--hear-again to give all another voice"
        )
    is_chosen = settings.keys() & {"revoice", "tts"}
    is_ours = copy.speak.get("tts") in (None, *ENGINES)  # a file of somebody else is not run
    earlier = copy.speak if is_ours and not is_chosen else {}
    return {"sample_rate": 0, **earlier, **settings}


def own_of_voice(
    settings: cli_options.SettingValues, options: cli_options.OptionValues
) -> cli_options.SettingValues:
    """The chosen settings of the person's own voice that `settings` name; none without one."""
    file = settings.get("tts", "")
    if not is_own_file(file):
        return {}
    return cli_options.own_of(options, engine_named(file).options)


def preflight_error(stages: Sequence[Stage]) -> DailytalkError | None:
    """Return why stages can't run, or None; downloads nothing."""
    try:
        preflight(stages, fetch=False)
    except DailytalkError as error:
        return error
    return None


def speak_intended(spec: SpeakSpec, done: RunOutcome, voice: Speak | Convert | None) -> Outcome:
    """The outcome of a dry run: what that which is to be made would cost, and what would stop it."""
    script = replace(spec.script, groups=[task.left for task in done.plan.tasks])
    cost = price_of(script, spec.stages)
    held_back, error = refusals_of(done.left, languages_to_say(script, voice))
    utterances = f"{counted(cost.utterances, 'utterance')} of {counted(len(script.conversations), 'conversation')}"
    if voice is None:
        details = [f"{counted(len(script.conversations), 'conversation')}, both speakers as they were recorded"]
    elif isinstance(voice, Convert):
        details = [
            f"{utterances} to convert by {speaker_text(voice.synthesiser())}, "
            f"{length_text(3600 * cost.hours)} of speech"
        ]
    else:
        details = [
            f"{utterances} to say by {speaker_text(voice.synthesiser())}, "
            f"{cost.cached:,} of them in the cache or said before"
        ]
        if cost.turns:
            takes = f"{counted(cost.joined, 'utterance')} in {counted(cost.turns, 'turn')}, each said in one take"
            details.append(f"{takes}: an edit of one buys its turn again")
        details.append(f"{counted(cost.text_bytes, 'byte')} of text")
        if cost.price:
            details.append(f"about {cost.price:.4f} USD to spend")
    intended = show.dry_run(done, asdict(cost), [*details, *held_back], script.rejects)
    return replace(intended, error=error)


def refusals_of(stages: Sequence[Stage], languages: Mapping[str, int]) -> tuple[list[str], DailytalkError | None]:
    """Return a line for each language that the voice does not speak, or the error that refuses all.

    `languages`: how many conversations have lines to be said in each.
    """
    error = preflight_error(stages)
    voice = find_stage(Speak, stages)
    if error or voice is None:
        return [], error
    synthesiser = voice.synthesiser()
    refusals: dict[str, SynthesisFailed] = {}
    for language in sorted(languages):
        try:
            synthesiser.refuse_language(language)
        except SynthesisFailed as refusal:
            refusals[language] = refusal
    if refusals and len(refusals) == len(languages):
        return [], next(iter(refusals.values()))
    lines = []
    for language, why in refusals.items():
        lines.append(f"{counted(languages[language], 'conversation')} would be held back: {why}")
    return lines, None


def languages_to_say(script: SynthesisInput, voice: Speak | Convert | None) -> Counter[str]:
    """Return how many conversations of a script have lines to be said in each language."""
    languages = Counter[str]()
    for talk in script.talks():
        utterances = talk.side(voice.revoice) if voice else []
        languages.update({utterance.language or "" for utterance in utterances if utterance.text.strip()})
    return languages


def speak_outcome(done: RunOutcome, moves: bool) -> Outcome:
    """The outcome of a run, whose shards are all there.

    `moves`: whether a new voice has other lengths, so that turns may move; else their times say nothing.
    """
    out = done.out
    record = done.record
    assert record is not None  # `run` raises where shards are missing: no other host makes some
    counts = done.counts
    money = record["money"]
    details = [show.work_done(done)]
    mean = record.get("mean")
    if mean and moves:
        details.append(
            f"turn-taking: offsets {1000 * mean['offset_distance']:.0f} ms from the source's, "
            f"{mean['overlap_kept']:.0%} of possible overlap kept; "
            f"lost of the kept speaker: {record['lost_speech_seconds']:.2f} s of speech"
        )
    if money["spent"] or money["saved_by_cache"]:
        details.append(f"spent {money['spent']:.4f} USD, saved by the cache {money['saved_by_cache']:.4f} USD")
    n_earlier = len(record["of_earlier_runs"])
    if n_earlier:
        them = "it" if n_earlier == 1 else "them"
        details.append(
            f"{counted(n_earlier, 'conversation')} kept from an earlier run: "
            f"this run could not resynthesise {them}"
        )
    code = exit_code(counts.get("conversations", 0) - n_earlier, counts["rejects"])
    return Outcome(
        record,
        f"{_made_text(counts)} in {out / work_folder.DATASET}",
        code,
        details,
        show.rejected_by(record, out, spoken=True),
        next=to_run("check", out) if code != 1 else "",
    )


#: What became of utterances, in words, by the name of their count.
_OUTCOMES = {
    "spoken": "resynthesised",
    "kept": "as recorded",
    "kept_original": "not resynthesised",
    "dropped": "left out (no text)",
}


def _made_text(counts: Mapping[str, int]) -> str:
    """Return the results of a run in words: conversations, outcomes of their utterances, and words."""
    if not counts["conversations"]:
        return "nothing"
    outcomes = [f"{counts[name]:,} {words}" for name, words in _OUTCOMES.items() if counts.get(name)]
    utterances = counted(counts["utterances"], "utterance")
    conversations = counted(counts["conversations"], "conversation")
    return f"{conversations}, {utterances} ({', '.join(outcomes)}), {counted(counts['words'], 'word')}"


#: Options of `speak` and `tag` that `build` gives itself: all hosts must finish tagging before one speaks.
_NOT_OF_BUILD = {"folder", "shard"}

_OF_BUILD = SpeakOptions.parameters() | SPEAK_SETTINGS | TagOptions.parameters() | TAG_SETTINGS


@cli_options.with_options(
    {name: parameter for name, parameter in _OF_BUILD.items() if name not in _NOT_OF_BUILD},
    {**cli_options.STAGE_FILES, **cli_options.VOICE_FILES},
    _EVERYDAY_OF_BUILD,
)
def build(**options: Any) -> Outcome:
    """Recordings to conversations: tag, then speak (see their --help).

    It has the options of both except --shard, because all hosts must finish tagging before one speaks.
    """
    # Before hours of tagging, not after them.
    tag_options = TagOptions.among(options | {"shard": "1/1"})
    speak_options = SpeakOptions.among(options | {"folder": tag_options.out, "out": None})
    settings = cli_options.chosen(options, SPEAK_SETTINGS)
    stages = speak_stages(tag_options.profile, speak_options.verify, **settings, **own_of_voice(settings, options))
    voice = voice_stage_of(stages)
    repository = repository_of(tag_options.inputs, tag_options.hub_choice)
    takes_version = repository is not None and repository.is_version and not tag_options.hear_again
    if not voice and not takes_version:
        options |= without_affect(options)
    tagging = stages_of(options)
    refuse_downloads(tag_options.profile, (*tagging, *stages))
    channel = channel_of(tagging)
    refuse_one_channel(channel)
    if voice and channel not in ("both", voice.revoice):
        raise DailytalkError(
            f"--channel {channel} leaves out the {voice.revoice} speaker, the one to resynthesise",
            "pass --channel both, or another --revoice",
        )
    work = open_work(tag_options.out).folder
    if voice and not tag_options.dry_run and not takes_version:
        voice.preflight()
    if tag_options.is_stream:
        return stream(tag_options, options, tagging, stages)
    tagged = tag_recordings(tag_options, options)
    has_transcript = (work / work_folder.TRANSCRIPT).is_file()
    if tagged.code not in (0, 3):
        return tagged
    if tag_options.dry_run and not has_transcript:
        languages = Counter[str]()
        of_recordings = tagged.record.get("languages", {}) if isinstance(tagged.record, dict) else {}
        for language, count in of_recordings.items():
            languages[of_channel(language, voice.revoice if voice else NOBODY)] += count
        held_back, error = refusals_of(stages, languages)
        details = [*tagged.details, *show.stages_to_run(stages), *held_back]
        return replace(tagged, details=details, error=error)
    terminal.show_outcome(replace(tagged, next=""), stderr=True)
    done = speak_folder(speak_options, options)
    return replace(done, code=done.code or tagged.code)  # what tag rejected is rejected


def without_affect(options: cli_options.OptionValues) -> cli_options.SettingValues:
    """Options that leave affect out of recorded conversations: no trainer reads it, and its weights are large.

    Empty where a model is chosen, or where its weights are on this machine.
    """
    rating = find_stage(RateAffect, stages_of(options))
    if "affect_model" in cli_options.chosen(options, TAG_SETTINGS) or not (rating and rating.lacking()):
        return {}
    terminal.say(
        f"affect is not measured: {rating.model} is not on this machine, and conversations as they were recorded "
        "do without it; --affect-model measures it"
    )
    return {"affect_model": NO_MODEL}


def _profile_of(run: RunRecord) -> str:
    """The profile of a tagged folder by its run.json; of a recipe, which names none, the one with its models."""
    named = run.settings.get("profile")
    if named in PROFILES:
        return str(named)
    tagged_by = {role: model.name for role, model in run.models.items() if role in ("recogniser", "affect")}
    if not tagged_by:
        return STANDARD
    return profile_of(tagged_by) or STANDARD


def _voice_of(run: RunRecord, settings: cli_options.SettingValues) -> dict[str, str]:
    """The synthesiser, model and voice that run.json has, so that a run after an edit goes on with them.

    If that run kept both speakers, this one keeps them, too. Empty where the options choose a speaker or a voice.
    """
    stages = {stage.name: stage.settings for stage in run.speak.stages}
    voice = stages.get(Speak.__name__) or stages.get(Convert.__name__) or {}
    if settings.keys() & {"revoice", "tts"}:
        return {}
    if Keep.__name__ in stages:
        return {"revoice": NOBODY}
    engine = str(voice.get("engine", ""))
    if is_own_file(engine):  # of another person, perhaps: it is not run
        raise DailytalkError(f"the last run here was spoken by {engine!r}", "name it with --tts, or another")
    if engine not in ENGINES:
        return {}
    earlier = {"tts": engine, "tts_model": voice.get("model"), "voice": voice.get("voice")}
    return {name: str(value) for name, value in earlier.items() if value}
