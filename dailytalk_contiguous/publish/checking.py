"""What `dailytalk check` finds: in folders for Moshi and others, in work folders, in versions on the Hub."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.audio import blocks, probe, to_uri
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.moshi_words import SaidWord, said_words
from dailytalk_contiguous.core.quality import BELOW_LOUDEST, SILENCE_DBFS
from dailytalk_contiguous.core.schema import AUDIO_FOLDER, CONFIGS, LABELLED, MAIN, OTHER, Row
from dailytalk_contiguous.core.scorecard import ReferenceCorpus, measure_text, places, published_references
from dailytalk_contiguous.core.spans import frame_levels
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.tags import tags_among
from dailytalk_contiguous.core.tally import Sum, Tally, TurnTaking
from dailytalk_contiguous.core.utterance import FIELDS, line_problem, published, why_silent
from dailytalk_contiguous.core.word_times import frame_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import dialogue_formats
from dailytalk_contiguous.publish.clip_figures import corpus_figures
from dailytalk_contiguous.publish.clip_folder import MANIFESTS
from dailytalk_contiguous.publish.dialogue_formats import CONVERSATIONS, CSM, SPEAKERS
from dailytalk_contiguous.publish.interactivity import FULL_DUPLEX_BENCH, SAMPLES, SUMMARY, TASKS
from dailytalk_contiguous.publish.items import (
    ABOUT,
    DURATION_TOLERANCE,
    EVAL,
    MOSHI_MANIFESTS,
    TOLERANCE,
    TRAIN,
    Items,
)
from dailytalk_contiguous.publish.loading import file_differences
from dailytalk_contiguous.publish.manifest import MANIFEST
from dailytalk_contiguous.publish.measures import CONVERSATION_MEASURES, SeparatedSpeech, measure_turns
from dailytalk_contiguous.publish.moshi_folder import BATCH, CONFIG, MOSHI, WINDOW_SECONDS, window_count
from dailytalk_contiguous.publish.opening import claimed, finished_items, open_items
from dailytalk_contiguous.publish.prompts import (
    LONGEST_PROMPT,
    PERSONAPLEX_CONFIG,
    PROMPT_RATE,
    SHORTEST_PROMPT,
    VOICE_PROMPTS,
    is_system_prompt,
)
from dailytalk_contiguous.publish.training_folder import (
    ABOUT_SHAPE,
    CLIP_MANIFESTS,
    MIX,
    is_mix,
    most_listed,
    read_shaped,
    timed_conversation,
)
from dailytalk_contiguous.publish.verdict import (
    NOTHING_FINISHED,
    Finding,
    FitnessLimits,
    Judge,
    Level,
    Severity,
    advice,
    corpus_findings,
    error,
    lost_hours,
    remedy_of,
)
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.edit_journal import laid_over
from dailytalk_contiguous.store.files import inside, refuse_half_renamed
from dailytalk_contiguous.store.work_folder import (
    AUDIO,
    CLIPS,
    DATA,
    DATASET,
    MEASURED,
    REJECTS,
    RUN,
    SHIFTED,
    TAGGED,
    TRANSCRIPT,
    read_run,
)

# A file with a thousand bad words has one finding of that kind, with their number and the first of them.


def several(
    kind: str, file: str, examples: Sequence[str], what: str, total: int, remedy: str, level: Level = "error"
) -> Iterator[Finding]:
    """A finding about examples, if there are any: `3 of 120 words overlap: "yes" at 1.20 s, "no" at 2.00 s, …`."""
    if examples:
        shown = ", ".join(examples[:2]) + (", …" if len(examples) > 2 else "")
        clause = f"{len(examples)} of {total} {what}: {shown}"
        # What only a few words of one file have says little of the data: of many words it is an error.
        yield error(kind, file, clause, remedy) if level == "error" else advice(kind, file, clause, remedy, "note")


# Loudness of each moment of a file.
#
# Read in blocks, so that an hour needs hardly more memory than a minute. Frames of 20 ms are short beside a word,
# and long enough that room tone does not look like speech by chance.


#: Seconds a frame: about two periods of a low voice, and short beside any word.
FRAME_SECONDS = 0.02

_BLOCK_FRAMES = 1000


@dataclass(frozen=True)
class Loudness:
    """Levels of a file.

    Attributes:
        seconds: length as decoded, not as its header promises.
        dbfs: RMS of each frame in dB of full scale, shape (frames, channels).
        frame: seconds of a frame.
    """

    sample_rate: int
    channels: int
    seconds: float
    dbfs: NDArray[np.float32]
    frame: float

    def loudest(self, channel: int) -> float:
        return float(self.dbfs[:, channel].max()) if len(self.dbfs) else -np.inf

    def is_silent(self, channel: int) -> bool:
        return self.loudest(channel) < SILENCE_DBFS

    def has_energy(self, start: float, end: float, channel: int) -> bool:
        """Whether anything is audible between `start` and `end` in seconds, give or take one frame."""
        first, last = max(0, int(start / self.frame) - 1), int(np.ceil(end / self.frame)) + 1
        inside = self.dbfs[first:last, channel]
        return len(inside) > 0 and float(inside.max()) >= max(SILENCE_DBFS, self.loudest(channel) - BELOW_LOUDEST)


def measure_loudness(audio: dict[str, Any]) -> Loudness:
    """Levels of encoded audio, a `{"bytes", "path"}` struct. Raises BadInput if it can't be read to its end."""
    info = probe(audio)
    frame = max(1, round(FRAME_SECONDS * info.sample_rate))
    levels: list[NDArray[np.float32]] = []
    n_samples = 0
    for block in blocks(audio, block_seconds=_BLOCK_FRAMES * frame / info.sample_rate):
        n_samples += len(block)
        levels.append(np.stack([frame_levels(channel, frame) for channel in block.T], axis=1))
    power = np.concatenate(levels) if levels else np.zeros((0, info.channels), np.float32)
    with np.errstate(divide="ignore"):
        dbfs = np.asarray(10 * np.log10(power), np.float32)
    return Loudness(info.sample_rate, info.channels, n_samples / info.sample_rate, dbfs, frame / info.sample_rate)


def _measured(file: str, audio: Callable[[], dict[str, Any]]) -> Generator[Finding, None, Loudness | None]:
    """Levels of what `audio` gives; a finding and None where it can't be read."""
    try:
        return measure_loudness(audio())
    except BadInput as problem:
        yield error("unreadable-audio", file, problem.reason, problem.remedy)
    except FileNotFoundError:
        yield error("missing-audio", file, "it isn't there", "export or build it again")
    return None


def _measured_wav(folder: Path, name: str) -> Generator[Finding, None, Loudness | None]:
    return (yield from _measured(name, lambda: {"bytes": None, "path": to_uri(inside(folder, name))}))


# Aligned words, judged as a trainer would use them: in order, audible, inside the audio, one at a time.
#
# moshi-finetune finds the words of a window by binary search on their starts, drops those without length, and
# trains those past the end of the audio on padding, all without a message, so each of these is an error here. Of
# two words that begin in one frame of 80 ms it loses the first.


#: Share of the words without energy above which their times are wrong altogether. A single one is mostly a mumbled
#: word, or one that the recogniser made up.
SILENT_SHARE = 0.05

#: Share of the words that the trainer may lose to another in their frame: above it, their times are wrong as well.
SAME_FRAME_SHARE = 0.05

_BUILD_AND_EXPORT_AGAIN = "build it again; after edits by hand run `dailytalk speak` and export again"


def word_findings(file: str, words: Sequence[SaidWord], loudness: Loudness | None) -> Iterator[Finding]:
    """Yield what is wrong with the words of a file, given in the order of the file.

    Without `loudness` (the audio can't be read) their times are not compared with the audio.
    """
    total = len(words)
    backwards = [_quoted_word(after) for before, after in pairwise(words) if after.start < before.start]
    remedy = "sort them by start: the trainer loses words that are not"
    what = "words start before the one in front of them"
    yield from several("unsorted-words", file, backwards, what, total, remedy)
    empty = [_quoted_word(word) for word in words if not word.text.strip()]
    yield from several("empty-word", file, empty, "words have no text", total, _BUILD_AND_EXPORT_AGAIN)
    short = [_quoted_word(word) for word in words if word.end <= word.start]
    yield from several("zero-length-word", file, short, "words have no length", total, _BUILD_AND_EXPORT_AGAIN)
    what = "words begin before the same speaker's last one ends"
    yield from several("overlapping-words", file, _overlapping(words), what, total, _BUILD_AND_EXPORT_AGAIN)
    yield from _same_frame(file, [word for word in words if word.speaker == MAIN])
    for speaker in sorted({word.speaker for word in words}):
        tags = tags_among([word.text for word in words if word.speaker == speaker])
        what = "words are style tags, which the model would learn to say"
        yield from several("tag-among-words", file, tags, what, total, "align the text without tags")
    if loudness is not None:
        outside = [
            _quoted_word(word) for word in words if word.start < 0 or word.end > loudness.seconds + TOLERANCE
        ]
        what = f"words are outside the {loudness.seconds:.2f} s of audio"
        yield from several("word-outside-audio", file, outside, what, len(words), _BUILD_AND_EXPORT_AGAIN)
        yield from _energy(file, words, loudness)


def _overlapping(words: Sequence[SaidWord]) -> list[str]:
    names = []
    for speaker in sorted({word.speaker for word in words}):
        spoken = sorted(
            (word for word in words if word.speaker == speaker), key=lambda word: (word.start, word.end)
        )
        names += [
            _quoted_word(after) for before, after in pairwise(spoken) if after.start < before.end - TOLERANCE
        ]
    return names


def _same_frame(file: str, words: Sequence[SaidWord]) -> Iterator[Finding]:
    """Only Moshi's own words: the trainer reads no others."""
    timed = sorted(
        (word for word in words if 0 <= word.start < word.end < documents.LATEST), key=lambda word: word.start
    )
    lost = [
        _quoted_word(first) for first, after in pairwise(timed) if frame_of(first.start) == frame_of(after.start)
    ]
    level: Level = "error" if len(lost) > SAME_FRAME_SHARE * len(words) else "advice"
    what = "words begin in the same 80 ms frame as the next, and are lost"
    remedy = "export it again with `dailytalk export --format moshi`"
    yield from several("same-frame", file, lost, what, len(words), remedy, level)


def _energy(file: str, words: Sequence[SaidWord], loudness: Loudness) -> Iterator[Finding]:
    # A silent channel has a separate finding, and so has a word outside the audio.
    audible = [
        word
        for word in words
        if word.channel < loudness.channels
        and not loudness.is_silent(word.channel)
        and 0 <= word.start < word.end <= loudness.seconds + TOLERANCE
    ]
    silent = [
        _quoted_word(word) for word in audible if not loudness.has_energy(word.start, word.end, word.channel)
    ]
    level: Level = "error" if len(silent) > SILENT_SHARE * len(words) else "advice"
    remedy = "build it again, with a recogniser or a transcript whose times are better"
    yield from several("silent-word", file, silent, "words are where nothing is heard", len(words), remedy, level)


def _quoted_word(word: SaidWord) -> str:
    return f'"{word.text}" at {word.start:.2f} s'


# moshi-finetune's configuration, as far as it decides what is trained on, and what a batch is.
#
# A folder without one is judged by the recommended window and a batch of one, which every split can fill.


_CORRECT_CONFIG = "export again with `dailytalk export`, or correct it"

#: Models as Kyutai publishes them have no conditioners.
_STOCK = ("kyutai/moshiko", "kyutai/moshika")


@dataclass(frozen=True)
class TrainerPlan:
    """What a trainer would do with a folder.

    Attributes:
        manifests: files by split, `train` and `eval`; only those that exist.
        duration_sec: seconds of a window.
        batch_size: windows a batch and GPU.
        stock_model: whether the model is one that stops on `text_conditions`.
        clips: whether it is the folder of an expressive corpus.
        prompts: whether the trainer reads prompts.
    """

    manifests: dict[str, Path]
    duration_sec: float
    batch_size: int
    stock_model: bool
    clips: bool = False
    prompts: bool = False


def read_plan(folder: Path) -> tuple[TrainerPlan, list[Finding]]:
    """The plan in the configuration, or that of the recommended settings where there is none."""
    prompts = (folder / PERSONAPLEX_CONFIG).is_file()
    name = PERSONAPLEX_CONFIG if prompts else CONFIG
    path = folder / name
    if clips := {side: folder / name for side, name in CLIP_MANIFESTS.items() if (folder / name).is_file()}:
        # The folder does not name its model; conditions are only exported for a model that takes them.
        return TrainerPlan(clips, WINDOW_SECONDS, 1, stock_model=False, clips=True), []
    if not path.exists():
        return TrainerPlan(_manifests_by_name(folder), WINDOW_SECONDS, 1, stock_model=True), []
    try:
        config = documents.parse_yaml(documents.read_bytes(path).decode("utf-8", "replace"), name)
    except BadInput as problem:
        what = f"it can't be read ({problem.reason})"
        plan = TrainerPlan(_manifests_by_name(folder), WINDOW_SECONDS, BATCH, stock_model=True, prompts=prompts)
        return plan, [error("config", name, what, _CORRECT_CONFIG)]
    data = _section(config, "data")
    findings = [
        finding
        for key in ("train_data", "eval_data")
        for finding in _source(folder, name, key, data.get(key), needed=key == "train_data")
    ]
    window, batch = _section(config).get("duration_sec", 10), _section(config).get("batch_size", 1)
    if not _positive(window) or not _positive(batch):
        what = f"duration_sec {window!r} and batch_size {batch!r} must be numbers above 0"
        findings.append(error("config", name, what, _CORRECT_CONFIG))
        window, batch = WINDOW_SECONDS, BATCH
    model = str(_section(config, "moshi_paths").get("hf_repo_id") or _STOCK[0])
    paths = {side: Path(str(data[f"{side}_data"])) for side in ("train", "eval") if data.get(f"{side}_data")}
    manifests = {side: path for side, path in paths.items() if _is_in(path, folder)}
    if prompts and _section(config, "system_prompt").get("voice_prompt_dir") != str(
        folder.resolve() / VOICE_PROMPTS
    ):
        findings.append(error("config", name, f"voice_prompt_dir is not its {VOICE_PROMPTS}", _CORRECT_CONFIG))
    manifests = manifests or _manifests_by_name(folder)
    plan = TrainerPlan(manifests, float(window), int(batch), model.startswith(_STOCK), prompts=prompts)
    return plan, findings


def _source(folder: Path, name: str, key: str, value: Any, needed: bool) -> list[Finding]:
    if not value:
        unused = (folder / EVAL).exists() if not needed else True
        return [error("config", name, f"{key} names nothing", _CORRECT_CONFIG)] if unused else []
    path = Path(str(value))
    if path.is_dir():
        what = f"{key} names the folder {value}: the trainer reads every manifest in it, train and eval alike"
        return [error("config-folder", name, what, f"name {TRAIN if needed else EVAL} itself")]
    if not path.is_file():
        return [error("config", name, f"{key} names {value}, which isn't there", _CORRECT_CONFIG)]
    if not _is_in(path, folder):
        what = f"{key} names {value}, which is not in this folder"
        return [error("config", name, what, "after moving or copying the folder, export again or correct it")]
    return []


def _is_in(path: Path, folder: Path) -> bool:
    return path.is_file() and path.resolve().parent == folder.resolve()


def _manifests_by_name(folder: Path) -> dict[str, Path]:
    """The manifests that our export writes, or the only one in the folder."""
    exported = {side: folder / name for side, name in MOSHI_MANIFESTS.items() if (folder / name).is_file()}
    others = [*folder.glob("*.jsonl")]
    return exported or ({"train": others[0]} if len(others) == 1 else {})


def _section(config: Any, name: str | None = None) -> dict[str, Any]:
    section = config.get(name) if name and isinstance(config, dict) else config
    return section if isinstance(section, dict) else {}


def _positive(value: Any) -> bool:
    return documents.is_number(value, 0, 1e9) and value > 0


# Moshi training folders, judged as a strict trainer would, before a GPU is paid for.
#
# Each kind of finding is something that moshi-finetune did when it was run on such a folder: fail late, or
# continue without a message (`docs/fine-tuning.md` lists them). What it rejects at the start is found here too.


_EXPORT_AGAIN = "export again with `dailytalk export`"


@dataclass
class _Contents:
    decode: bool
    lengths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    files: Counter[str] = field(default_factory=Counter)
    evaluated: set[str] = field(default_factory=set)
    words: int = 0
    interactions: set[str] = field(default_factory=set)
    listening_to_nothing: list[str] = field(default_factory=list)
    prompts: dict[str, Loudness | None] = field(default_factory=dict)


def is_moshi(folder: Path) -> bool:
    return any((folder / name).exists() for name in (AUDIO_FOLDER, TRAIN, EVAL, *MANIFESTS.values()))


def check_moshi(
    folder: Path, limits: FitnessLimits | None = None, decode: bool = True
) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a Moshi folder, and what is in it: files, hours, words and windows of each side.

    Without `decode` its sound is not looked at.
    """
    plan, findings = read_plan(folder)
    contents = _Contents(decode)
    named = {os.path.realpath(path) for path in plan.manifests.values()}
    for path in sorted(folder.rglob("*jsonl")):
        if os.path.realpath(path) not in named:
            what = "its name ends in jsonl: a trainer that is given the folder reads it as a manifest"
            findings.append(error("stray-jsonl", _shown(folder, path), what, "move it elsewhere or rename it"))
    if not plan.manifests:
        what = "there is no manifest, or the export did not finish"
        findings.append(error("no-manifest", ".", what, _EXPORT_AGAIN))
    for side, manifest in plan.manifests.items():
        findings += _manifest(folder, side, manifest, plan, contents)
    findings += _listed_too_often(folder, contents)
    findings += _silent_right(plan, contents)
    prompts = (os.path.realpath(folder / name) for name, loudness in contents.prompts.items() if loudness)
    named = {*contents.files, *prompts}
    unnamed = [path for path in sorted(folder.rglob("*.wav")) if os.path.realpath(path) not in named]
    if unnamed and contents.files:
        what = f"{counted(len(unnamed), 'WAV file')} in no manifest, such as {_shown(folder, unnamed[0])}"
        findings.append(advice("unnamed-audio", ".", what, "delete them, or name them"))
    for side, manifest in plan.manifests.items():
        windows = window_count(contents.lengths[side], plan.duration_sec)
        if 0 < windows < plan.batch_size:
            has = f"it has {counted(windows, 'window')} of {plan.duration_sec:g} s"
            what = f"{has}, and a batch is {plan.batch_size}: there is none"
            remedy = f"set batch_size to {windows} at most (a GPU), or give this side more conversations"
            findings.append(error("less-than-a-batch", manifest.name, what, remedy))
    findings += _conversations(folder, plan, judge := Judge(limits), taken := TurnTaking())
    findings += judge.findings(taken=taken)
    facts = {
        "kind": "personaplex" if plan.prompts else "moshi",
        "files": {side: len(lengths) for side, lengths in contents.lengths.items()},
        "hours": {side: round(sum(lengths) / 3600, 4) for side, lengths in contents.lengths.items()},
        "windows": {side: window_count(lengths, plan.duration_sec) for side, lengths in contents.lengths.items()},
        "words": contents.words,
        "duration_sec": plan.duration_sec,
        "batch_size": plan.batch_size,
    }
    if (folder / SUMMARY).is_file():  # clips of interaction, in which an agent may only listen
        try:
            read_shaped(inside(folder, SUMMARY), {"made": {str: int}, "left_out_events": {str: int}})
        except BadInput as problem:
            findings.append(error("unreadable-record", SUMMARY, problem.reason, problem.remedy))
        findings = [
            finding
            for finding in findings
            if finding.kind not in ("no-words", "silent-left")
            or str(Path(finding.file).with_suffix(".json")) not in contents.interactions
        ]
        facts["kind"] = "interactivity"
    return findings, facts


def _manifest(
    folder: Path, side: str, manifest: Path, plan: TrainerPlan, contents: _Contents
) -> Iterator[Finding]:
    shown = _shown(folder, manifest)
    try:
        text = documents.read_bytes(
            laid_over(inside(manifest.parent, manifest.name)), limit=documents.MOST_OWN_BYTES
        )
    except BadInput as problem:
        yield error("unreadable-manifest", shown, problem.reason, problem.remedy)
        return
    lines = text.decode("utf-8", errors="replace").splitlines()
    if not any(line.strip() for line in lines):
        yield error("empty-manifest", shown, "it names no file", _EXPORT_AGAIN)
    for number, line in enumerate(steps(f"files of {shown} checked", lines, len(lines)), 1):
        if not line.strip():
            continue
        try:
            entry = documents.parse_json(line, "")
        except BadInput:
            entry = None
        match entry:
            case {"path": str(path), "duration": int() | float() as duration} if 0 < duration < documents.LATEST:
                pass
            case _:
                entry = None
        if entry is None:
            what = f'line {number} is not {{"path": …, "duration": seconds}}: {line[:60]!r}'
            yield error("manifest-line", shown, what, _EXPORT_AGAIN)
            continue
        try:
            # Relative to the manifest, as sphn resolves it for the trainer.
            wav = documents.path_of(laid_over(inside(manifest.parent, path), manifest.parent))
            inside(manifest.parent, Path(path).with_suffix(".json"))
        except BadInput as problem:
            yield error("outside-audio", shown, f"line {number}: {problem.reason}", problem.remedy)
            continue
        contents.files[os.path.realpath(wav)] += 1
        if side == "eval":
            contents.evaluated.add(os.path.realpath(wav))
        contents.lengths[side].append(duration)
        if plan.prompts:
            yield from _prompts(folder, f"line {number} of {shown}", entry, contents)
        if contents.files[os.path.realpath(wav)] == 1:
            yield from _file(folder, wav, duration, plan, contents)


def _prompts(folder: Path, shown: str, entry: Mapping[str, Any], contents: _Contents) -> Iterator[Finding]:
    """What is wrong with the prompts of a line: the trainer warns at most, and trains without them."""
    text, voice = entry.get("text_prompt"), entry.get("voice_prompt")
    if text is not None and not (isinstance(text, str) and is_system_prompt(text)):
        what = f"its text_prompt is not <system> … <system>: {documents.quoted(text)}"
        yield error("text-prompt", shown, what, _EXPORT_AGAIN)
    if voice is None:
        return
    name = f"{VOICE_PROMPTS}/{voice}"
    if not os.path.isabs(entry["path"]):
        yield error("prompt-path", shown, "its path is not absolute: the trainer finds no prompt", _EXPORT_AGAIN)
    if (folder / ABOUT).exists() and Path(name).stem == Path(entry["path"]).stem.partition("--")[0]:
        what = f"its voice_prompt {voice} is of itself: the model would learn to repeat it"
        yield error("own-prompt", shown, what, _EXPORT_AGAIN)
    if name in contents.prompts:
        return
    loudness = contents.prompts[name] = yield from _measured_wav(folder, name)
    if loudness and (
        (loudness.channels, loudness.sample_rate) != (1, PROMPT_RATE)
        or not SHORTEST_PROMPT <= loudness.seconds + DURATION_TOLERANCE <= LONGEST_PROMPT + 2 * DURATION_TOLERANCE
    ):
        channels = counted(loudness.channels, "channel")
        what = f"it has {channels}, {loudness.sample_rate} Hz and {loudness.seconds:.1f} s"
        meant = f"a prompt is mono, of {PROMPT_RATE} Hz and {SHORTEST_PROMPT:g} to {LONGEST_PROMPT:g} s"
        yield error("wrong-prompt", name, f"{what}: {meant}", _EXPORT_AGAIN)


def _file(folder: Path, wav: Path, duration: float, plan: TrainerPlan, contents: _Contents) -> Iterator[Finding]:
    shown = _shown(folder, wav)
    if not wav.is_file():
        yield error("missing-audio", shown, "the manifest names it, but it isn't there", _EXPORT_AGAIN)
        return
    loudness = None
    if contents.decode:
        loudness = yield from _measured(shown, lambda: {"bytes": None, "path": to_uri(wav)})
    if loudness:
        yield from _moshi_audio(shown, loudness, duration)
        if loudness.channels > 1 and loudness.is_silent(1):
            contents.listening_to_nothing.append(shown)
    yield from _moshi_transcript(shown, laid_over(wav.with_suffix(".json"), folder), loudness, plan, contents)


def _moshi_audio(shown: str, loudness: Loudness, duration: float) -> Iterator[Finding]:
    if loudness.channels != 2:
        what = f"it has {counted(loudness.channels, 'channel')}, not 2: training stops at the first batch with it"
        yield error("not-stereo", shown, what, _EXPORT_AGAIN)
    if loudness.sample_rate != MOSHI.sample_rate:
        what = f"its rate is {loudness.sample_rate} Hz, not {MOSHI.sample_rate}: it is resampled without a message"
        yield error("wrong-rate", shown, what, "export it again without --sample-rate")
    if abs(loudness.seconds - duration) > DURATION_TOLERANCE:
        what = f"the manifest says {duration:.3f} s, the audio has {loudness.seconds:.3f} s"
        yield error("wrong-duration", shown, what, _EXPORT_AGAIN)
    if loudness.is_silent(0):
        yield error(
            "silent-left", shown, "the left channel, Moshi's, is silent", "export it again, with the other --main?"
        )


def _moshi_transcript(
    wav: str, document: documents.Readable, loudness: Loudness | None, plan: TrainerPlan, contents: _Contents
) -> Iterator[Finding]:
    shown = str(Path(wav).with_suffix(".json"))
    if isinstance(document, Path) and not document.exists():
        yield error("missing-alignments", shown, f"it isn't there beside {Path(wav).name}", _EXPORT_AGAIN)
        return
    try:
        transcript = documents.expect(documents.read_json(document), {"alignments": list}, "it")
        words = said_words(transcript["alignments"], Path(wav).name, _EXPORT_AGAIN)
    except BadInput as problem:
        yield error("unreadable-alignments", shown, f"it can't be read ({problem.reason})", _EXPORT_AGAIN)
        return
    contents.words += len(words)
    if documents.fits(transcript, {"clip": {"clip_id": str, "kind": str}}):
        contents.interactions.add(shown)
    if unknown := Counter(word.speaker for word in words if word.speaker not in (MAIN, OTHER)):
        names = ", ".join(f"{documents.quoted(name)} ({count})" for name, count in unknown.most_common(3))
        share = f"{unknown.total()} of {counted(len(words), 'word')}"
        what = f"{share} have another speaker than {MAIN} or {OTHER}: {names}"
        yield error("unknown-speaker", shown, f"{what}; they are never trained", f"call Moshi's side {MAIN}")
    if not any(word.speaker == MAIN for word in words):
        what = f"no word is {MAIN}'s: the model learns to speak without text"
        yield error("no-words", shown, what, "transcribe it, or leave it out")
    if transcript.get("text_conditions") is not None and plan.stock_model:
        what = "it has text_conditions, on which the stock model in moshi-finetune.yaml stops"
        remedy = "export without --text-conditions, or name a model with that conditioner as hf_repo_id"
        yield error("text-conditions", shown, what, remedy)
    yield from word_findings(shown, words, loudness)


def _listed_too_often(folder: Path, contents: _Contents) -> Iterator[Finding]:
    try:
        allowed = most_listed(folder)
    except BadInput as problem:  # of a mix, whose record says how often
        yield error("unreadable-record", MIX, problem.reason, problem.remedy)
        return
    for path, count in contents.files.items():
        if count > (1 if path in contents.evaluated else allowed):
            what = f"the manifests name it {count} times"
            yield error("duplicate", Path(path).name, what, "name each file once, on one side")


def _silent_right(plan: TrainerPlan, contents: _Contents) -> Iterator[Finding]:
    """One advice for all files, because of a corpus of clips it may be every one."""
    silent = contents.listening_to_nothing
    if not silent:
        return
    what = "from such data Moshi learns to talk on and not to listen"
    if len(silent) == 1:
        what = f"the right channel is silent: {what}"
    else:
        share = f"{len(silent)} of {len(contents.files)} files"
        what = f"the right channel of {share} is silent, such as {silent[0]}: {what}"
    remedy = "run dailytalk corpus with --prompt-channel" if plan.clips else "leave them out"
    # Clips are of one speaker, unless a prompt was asked for.
    severity: Severity = "note" if plan.clips else "doubtful"
    yield advice("silent-right", silent[0] if len(silent) == 1 else ".", what, remedy, severity)


def _conversations(folder: Path, plan: TrainerPlan, judge: Judge, taken: TurnTaking) -> Iterator[Finding]:
    """Advice that needs more than the trainer reads; nothing where the folder is not our export."""
    if not (folder / ABOUT).exists():
        return
    try:
        about = documents.expect(
            documents.read_json(inside(folder, ABOUT), limit=documents.MOST_OWN_BYTES), ABOUT_SHAPE, ABOUT
        )
        timed = {name: timed_conversation(name, about[name]) for name in about}
    except BadInput as problem:
        yield error("unreadable-about", ABOUT, f"it can't be read ({problem.reason})", _EXPORT_AGAIN)
        return
    sides: dict[str, set[str]] = defaultdict(set)
    for conversation in about.values():
        for speaker in filter(None, conversation.get("kept_speakers") or ()):
            sides[speaker].add(conversation["split"])
    shared = sorted(speaker for speaker, splits in sides.items() if len(splits) > 1)
    if shared:
        what = f"{len(shared)} of {len(sides)} kept speakers are in train and in eval, such as {shared[0]}"
        yield advice("speaker-in-both", ".", what, "read the eval loss with care, or add conversations of others")
    for name, conversation in about.items():
        measures = conversation.get("measures") or {}
        kept = {key: value for key, value in measures.items() if key in CONVERSATION_MEASURES}
        taken.add(timed[name])
        values = measure_turns(timed[name].timed, conversation["duration"], plan.duration_sec) | kept
        named = "" not in (conversation.get("kept_speakers") or [""])
        talk = bool(conversation.get("talk"))
        unsure, overlap = conversation.get("unsure") or {}, conversation.get("recorded_overlap")
        known = conversation.get("separated")
        separated = SeparatedSpeech(*map(known.__getitem__, SeparatedSpeech._fields)) if known else None
        judge.add_measured(name, values, unsure, named, talk, overlap, separated)
    judge.voices.update(_hours(about, "voices"))
    judge.languages.update(_hours(about, "language"))


def _hours(about: Mapping[str, Any], key: str) -> dict[str, float]:
    hours: dict[str, float] = defaultdict(float)
    for conversation in about.values():
        for name in value if isinstance(value := conversation.get(key), list) else [value]:
            if name:
                hours[name] += conversation["duration"] / 3600
    return hours


def _shown(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


_SPEAK_AGAIN = "build it again with `dailytalk speak`"
_NO_WORDS = "recognise its words, or give them beside the recording, and run `dailytalk build` again"
_CHECK_AGAIN = "see that you may read it, and check again"

#: Kinds of findings on rows that can't be used, by column.
_KINDS = {"utterances": "bad-utterance", "alignments": "bad-word", "sounds": "bad-sound"}


@dataclass
class _Counts:
    judge: Judge
    references: Sequence[ReferenceCorpus] = ()
    tally: Tally = field(default_factory=Tally)
    total: Sum = field(default_factory=Sum)
    ids: set[str] = field(default_factory=set)


def check_dataset(
    folder: Path, limits: FitnessLimits | None = None, references: Sequence[ReferenceCorpus] = ()
) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a folder of Parquet shards (or a work folder's `dataset/`), and how much is in it.

    Raises DailytalkError if there are no shards.
    """
    findings: list[Finding] = []
    counts = _Counts(Judge(limits), references)
    items = finished_items(folder)
    for path in items.files:
        shown = str(path.relative_to(folder))
        try:
            for _, row in steps(f"conversations of {shown} checked", items.rows_of(path)):
                findings += _row(f"{shown}: {row['conversation_id']}", row, counts)
        except DailytalkError as problem:
            findings.append(error("unreadable-shard", shown, problem.reason, problem.remedy))
        except OSError as problem:
            reason = f"it can't be read ({problem.strerror})"
            findings.append(error("unreadable-shard", shown, reason, _CHECK_AGAIN))
    for reject in items.rejects():
        counts.tally.add_reject(reject)
    return _together(findings, counts, read_run(folder) or {})


def _together(
    findings: list[Finding], counts: _Counts, run: Mapping[str, Any]
) -> tuple[list[Finding], dict[str, Any]]:
    judge, total = counts.judge, counts.total
    facts = {
        "kind": "dataset",
        "conversations": len(counts.ids),
        "utterances": total.utterances,
        "words": total.words,
        "hours": round(total.seconds / 3600, 4),
        "hours_of_voice": {name: round(hours, 4) for name, hours in sorted(judge.voices.items())},
        "hours_of_language": {name: round(hours, 4) for name, hours in sorted(judge.languages.items())},
        "measures": measure_facts(counts.tally, counts.references),
    }
    return [*findings, *judge.findings(counts.tally, run)], facts


def _row(file: str, row: Row, counts: _Counts) -> Iterator[Finding]:
    name = row["conversation_id"]
    is_first = name not in counts.ids
    if not is_first:
        yield occurs_twice(file, name)
    counts.ids.add(name)
    if row["problem"]:
        yield error(_KINDS.get(row["problem_column"], "bad-row"), file, row["problem"], _SPEAK_AGAIN)
        return
    yield from row_findings(file, row)
    if is_first:
        counts.tally.add(row)
        counts.judge.add(row)
        n_utterances, n_words = len(row["utterances"] or ()), len(row["alignments"] or ())
        counts.total.add(Sum(1, n_utterances, n_words, row["duration"] or 0.0))


def occurs_twice(file: str, name: str) -> Finding:
    return error("duplicate", file, f"the conversation {name!r} occurs twice", "delete one of the shards")


def row_findings(file: str, row: Row) -> Iterator[Finding]:
    """What is wrong with a row that can be used, its sound decoded; `file` is its name in findings."""
    loudness = yield from _measured(file, lambda: row["audio"])
    if loudness:
        if loudness.channels != 2:
            what = f"its audio has {counted(loudness.channels, 'channel')}, not 2"
            yield error("not-stereo", file, what, _SPEAK_AGAIN)
        if loudness.sample_rate != row["sample_rate"]:
            what = f"the audio's rate is {loudness.sample_rate} Hz, the column says {row['sample_rate']}"
            yield error("wrong-rate", file, what, _SPEAK_AGAIN)
        if abs(loudness.seconds - row["duration"]) > DURATION_TOLERANCE:
            what = f"the column says {row['duration']:.3f} s, the audio has {loudness.seconds:.3f} s"
            yield error("wrong-duration", file, what, _SPEAK_AGAIN)
        if loudness.is_silent(0):
            yield error("silent-left", file, "the left channel, the re-voiced one, is silent", _SPEAK_AGAIN)
    utterances = row["utterances"] or []
    ids = [name["utterance_id"] for name in utterances]
    twice = sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
    yield from several("duplicate", file, twice, "utterance ids occur twice", len(ids), _SPEAK_AGAIN)
    mute = [
        utterance["utterance_id"]
        for utterance in utterances
        if utterance["status"] == "spoken" and not (utterance["text"] or "").strip()
    ]
    yield from several("empty-text", file, mute, "utterances were spoken without text", len(ids), _SPEAK_AGAIN)
    wrong = [
        utterance["utterance_id"]
        for utterance in utterances
        if utterance["status"] != "dropped" and not utterance["end"] > utterance["start"]
    ]
    yield from several("bad-utterance", file, wrong, "utterances have no length", len(ids), _SPEAK_AGAIN)
    sounds = row["sounds"] or []
    outside = [
        f"{sound['start']}..{sound['end']} s"
        for sound in sounds
        if not 0 <= sound["start"] < sound["end"] <= row["duration"] + DURATION_TOLERANCE
    ]
    what = "sounds have no length or are outside the audio"
    yield from several("bad-sound", file, outside, what, len(sounds), _SPEAK_AGAIN)
    words = [
        SaidWord(word["word"] or "", word["start"], word["end"], word["speaker"], int(word["speaker"] == "right"))
        for word in row["alignments"] or ()
    ]
    if not any(word.channel == 0 for word in words):
        yield error("no-words", file, "no word of the left speaker, Moshi's, is aligned", _NO_WORDS)
    yield from word_findings(file, words, loudness)


# Published versions: their rows as those of a folder, and their files against the manifest.
#
# Rows come over the network one row group at a time, so that checking needs no disk. Their audio has a
# digest, which shows a row that was changed after it was built.


_PUBLISH_AGAIN = "publish this version again"


def check_version(
    version: Version, limits: FitnessLimits | None = None, references: Sequence[ReferenceCorpus] = ()
) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a version, and how much is in it.

    Raises DailytalkError if it has no conversations, or can't be read.
    """
    items = open_items(version)
    findings: list[Finding] = []
    if MANIFEST not in version.names:
        what = "nothing says which files this version has"
        findings.append(advice("no-manifest", MANIFEST, what, _PUBLISH_AGAIN))
    for difference in file_differences(version) if MANIFEST in version.names else ():
        what = f"it is not what {MANIFEST} names: {difference.what}"
        findings.append(error("not-in-manifest", difference.name, what, _PUBLISH_AGAIN))
    counts, splits = _Counts(Judge(limits), references), Counter[str]()
    of_rows: list[Finding] = []
    for row in steps("conversations checked", items.rows([*LABELLED, "audio_sha256"])):
        splits[row["split"]] += 1
        name = f"{CONFIGS[0]}/{row['split']}: {row['conversation_id']}"
        if hashlib.sha256(row["audio"]["bytes"] or b"").hexdigest() != row["audio_sha256"]:
            what = "its audio is not that of its audio_sha256"
            findings.append(error("changed-audio", name, what, _PUBLISH_AGAIN))
        of_rows += _row(name, row, counts)
    together, facts = _together(of_rows, counts, {})
    return findings + together, facts | {"kind": "published", "commit": version.commit, "splits": dict(splits)}


# Folders that `export` writes for CSM and for J-Moshi, judged as their trainers would read them.
#
# The layouts are those of `publish.dialogue_formats`, also for folders that other programs wrote.


#: Roles that CSM's template knows, and an exported conversation has.
ROLES = ("0", "1")

_CSM_AGAIN = "export again with `dailytalk export --format csm`"
_JMOSHI_AGAIN = "export again with `dailytalk export --format j-moshi`"


def check_csm(folder: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a folder for CSM, and what is in it: conversations, turns, and hours of each role."""
    findings: list[Finding] = []
    names: set[str] = set()
    seconds: dict[str, float] = defaultdict(float)
    turns = 0
    for number, line in documents.json_lines(folder / CONVERSATIONS, _CSM_AGAIN):
        location = f"{CONVERSATIONS}:{number}"
        messages = None if isinstance(line, BadInput) else line.get("messages")
        if isinstance(line, BadInput) or not isinstance(messages, list) or not messages:
            what = line.reason if isinstance(line, BadInput) else "it has no messages"
            findings.append(error("bad-line", location, what, _CSM_AGAIN))
            continue
        name = str(line.get("conversation_id"))
        if name in names:
            findings.append(error("duplicate", location, f"the conversation {name!r} occurs twice", _CSM_AGAIN))
        names.add(name)
        for message in messages:
            turns += 1
            findings += _turn(folder, location, message, seconds)
    if not names:
        findings.append(error("empty-manifest", CONVERSATIONS, "it names no conversation", _CSM_AGAIN))
    facts = {
        "kind": "csm",
        "conversations": len(names),
        "turns": turns,
        "hours": round(sum(seconds.values()) / 3600, 4),
        "hours_of_role": {role: round(length / 3600, 4) for role, length in sorted(seconds.items())},
    }
    return findings, facts


def _turn(folder: Path, location: str, message: Any, seconds: dict[str, float]) -> Iterator[Finding]:
    match message:
        case {
            "role": role,
            "content": [{"type": "text", "text": str(text)}, {"type": "audio", "path": str(path)}],
        }:
            pass
        case _:
            what = f"a message is {documents.quoted(message)}, not a role with one text and one audio"
            yield error("bad-message", location, what, _CSM_AGAIN)
            return
    if role not in ROLES:
        what = f"the role of a message is {documents.quoted(role)}, not {' or '.join(ROLES)}"
        yield error("unknown-speaker", location, what, _CSM_AGAIN)
        return
    if not text.strip():
        yield error("empty-text", location, f"the message of {path} has no text", _CSM_AGAIN)
    try:
        wav = inside(folder, path)
        if not wav.is_file():
            yield error("missing-audio", path, f"{location} names it, but it isn't there", _CSM_AGAIN)
            return
        loudness = measure_loudness({"bytes": None, "path": to_uri(wav)})
    except BadInput as problem:
        yield error("unreadable-audio", path, problem.reason, problem.remedy)
        return
    seconds[role] += loudness.seconds
    if loudness.channels != 1:
        yield error("not-mono", path, f"it has {loudness.channels} channels, not 1", _CSM_AGAIN)
    if loudness.sample_rate != CSM.sample_rate:
        what = f"its rate is {loudness.sample_rate} Hz, not {CSM.sample_rate}, that of CSM's codec"
        yield error("wrong-rate", path, what, "export it again without --sample-rate")
    if loudness.is_silent(0):
        yield error("silent-turn", path, "it is silent, and has a text", _CSM_AGAIN)


def check_jmoshi(folder: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a folder for J-Moshi, and what is in it: files, hours and words of each speaker."""
    findings: list[Finding] = []
    words: Counter[str] = Counter()
    lengths: list[float] = []
    sounds = {path.stem for path in (folder / dialogue_formats.AUDIO).glob("*.wav")}
    texts = {path.stem for path in (folder / dialogue_formats.TEXT).glob("*.json")}
    for name in sorted(sounds - texts):
        findings.append(
            error("missing-alignments", f"{dialogue_formats.TEXT}/{name}.json", "it isn't there", _JMOSHI_AGAIN)
        )
    for name in sorted(texts - sounds):
        findings.append(
            error("missing-audio", f"{dialogue_formats.AUDIO}/{name}.wav", "it isn't there", _JMOSHI_AGAIN)
        )
    if not sounds:
        findings.append(error("empty-folder", dialogue_formats.AUDIO, "it holds no WAV", _JMOSHI_AGAIN))
    for name in sorted(sounds & texts):
        findings += _jmoshi_file(folder, name, words, lengths)
    facts = {
        "kind": "j-moshi",
        "files": len(sounds),
        "hours": round(sum(lengths) / 3600, 4),
        "words": words.total(),
        "words_of_speaker": dict(sorted(words.items())),
    }
    return findings, facts


def _jmoshi_file(folder: Path, name: str, words: Counter[str], lengths: list[float]) -> Iterator[Finding]:
    shown = f"{dialogue_formats.AUDIO}/{name}.wav"
    loudness = yield from _measured_wav(folder, shown)
    if loudness:
        lengths.append(loudness.seconds)
        if loudness.channels != 2:
            what = f"it has {counted(loudness.channels, 'channel')}, not 2"
            yield error("not-stereo", shown, what, _JMOSHI_AGAIN)
    yield from _words(folder, f"{dialogue_formats.TEXT}/{name}.json", loudness, words)


def _words(folder: Path, shown: str, loudness: Loudness | None, counts: Counter[str]) -> Iterator[Finding]:
    try:
        entries = documents.read_json(inside(folder, shown))
    except BadInput as problem:
        yield error("unreadable-alignments", shown, problem.reason, _JMOSHI_AGAIN)
        return
    words = []
    unknown: Counter[str] = Counter()
    for entry in entries if isinstance(entries, list) else [None]:
        match entry:
            case {
                "speaker": str(speaker),
                "word": str(text),
                "start": int() | float() as start,
                "end": int() | float() as end,
            }:
                unknown[speaker] += speaker not in SPEAKERS
                words.append(SaidWord(text, start, end, speaker, int(speaker != SPEAKERS[0])))
            case _:
                what = 'it is no list of {"speaker", "word", "start", "end"}'
                yield error("unreadable-alignments", shown, what, _JMOSHI_AGAIN)
                return
    counts.update(word.speaker for word in words)
    if unknown.total():
        names = ", ".join(f"{documents.quoted(name)} ({count})" for name, count in unknown.most_common(3) if count)
        what = f"{unknown.total()} of {counted(len(words), 'word')} have another speaker than A or B: {names}"
        yield error("unknown-speaker", shown, what, "call the speaker on the left A and the other B")
    for speaker in SPEAKERS:
        if not any(word.speaker == speaker for word in words):
            yield error("no-words", shown, f"speaker {speaker} has no words", "transcribe both, or leave it out")
    yield from word_findings(shown, words, loudness)


_BENCH_AGAIN = "export again with `dailytalk export --format full-duplex-bench`"

_TIMED = [{"text": str, "timestamp": [float]}]

#: The JSON files of every sample, and of each task, with their shapes.
_SAMPLE_FILES = {"transcription.json": [{"speaker": int, "item": _TIMED}], "output.json": {"chunks": _TIMED}}
_V15_FILES = {"metadata.json": {"context_text": str, "current_turn_text": str, "timestamps": [float]}}
_TASK_FILES: dict[str, dict[str, Any]] = {task: {} for tasks in TASKS.values() for task in tasks} | {
    "v1.0/candor_pause_handling": {"pause.json": _TIMED},
    "v1.0/candor_turn_taking": {"turn_taking.json": _TIMED},
    "v1.0/synthetic_user_interruption": {
        "interrupt.json": [{"context": str, "interrupt": str, "timestamp": [float]}]
    },
    "v1.5/user_interruption": _V15_FILES,
    "v1.5/user_backchannel": _V15_FILES,
}


def check_full_duplex_bench(folder: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a folder for Full-Duplex-Bench, and what is in it: samples of each task, and their hours."""
    samples = read_shaped(inside(folder, SAMPLES), {str: dict}, documents.MOST_OWN_BYTES)
    findings, files, lengths = list[Finding](), Counter[str](), list[float]()
    for sample in samples:
        task, _, number = sample.rpartition("/")
        if task not in _TASK_FILES or not re.fullmatch("[1-9][0-9]*", number):
            what = f"it names {documents.quoted(sample)}, which is no numbered sample of a task"
            findings.append(error("unknown-sample", SAMPLES, what, _BENCH_AGAIN))
            continue
        files[task] += 1
        findings += _sample(folder, sample, lengths)
    hours = {"samples": round(sum(lengths) / 3600, 4)}
    return findings, {"kind": "full-duplex-bench", "files": dict(files), "hours": hours}


def _sample(folder: Path, sample: str, lengths: list[float]) -> Iterator[Finding]:
    """Findings on a sample; the seconds of its input are added to `lengths`."""
    sounds: dict[str, Loudness | None] = {}
    for name in ("input", *(["clean_input"] if sample.startswith("v1.5") else []), "output"):
        sounds[name] = yield from _measured_wav(folder, f"{sample}/{name}.wav")
    measured = [loudness for loudness in sounds.values() if loudness]
    if len({(loudness.channels, loudness.sample_rate, loudness.seconds) for loudness in measured}) > 1:
        yield error("wrong-duration", sample, "its files differ in channels, rate or length", _BENCH_AGAIN)
    if (output := sounds["output"]) and output.sample_rate != FULL_DUPLEX_BENCH.sample_rate:
        what = f"its rate is {output.sample_rate} Hz, which the scripts take for {FULL_DUPLEX_BENCH.sample_rate}"
        yield error("wrong-rate", sample, what, _BENCH_AGAIN)
    lengths += [loudness.seconds for loudness in measured[:1]]
    for name, shape in (_TASK_FILES[sample.rpartition("/")[0]] | _SAMPLE_FILES).items():
        shown = f"{sample}/{name}"
        try:
            content = read_shaped(inside(folder, shown), shape)
        except BadInput as problem:
            yield error("unreadable-alignments", shown, problem.reason, _BENCH_AGAIN)
            continue
        if name == "output.json":
            timed = [(chunk["text"], chunk["timestamp"]) for chunk in content["chunks"] if chunk["timestamp"]]
            words = [SaidWord(text, min(times), max(times), OTHER, 0) for text, times in timed]
            yield from word_findings(shown, words, sounds["output"])


# `dailytalk check`: recognises what a folder is, and judges it as the strictest of its readers would.
#
# A finding is an error where a trainer would fail or silently learn garbage; everything else is advice. Files are
# read to their end: a header can promise anything.


Facts = dict[str, Any]


def check_folder(
    path: Path,
    limits: FitnessLimits | None = None,
    references: Sequence[ReferenceCorpus] = (),
    decode: bool = True,
) -> tuple[list[Finding], Facts]:
    """Judge a training folder, a work folder (of a corpus, too), what an app reads, or a folder of Parquet shards.

    Without `decode` the sound of a training folder is not looked at.

    Returns the findings, in the order of the files, and facts: `kind` (`moshi`, `interactivity`,
    `full-duplex-bench`, `csm`, `j-moshi`, `work`, `corpus`, `dataset`, or that of an app) and what was counted; of
    conversations `measures` beside those of published corpora and of `references`. Raises DailytalkError for a
    path that is no folder, or none of these.
    """
    if not path.is_dir():
        raise DailytalkError(f"{path} is no folder", "name a work folder, a dataset or a training folder")
    refuse_half_renamed(path)
    if is_moshi(path / DATA):
        findings, facts = check_moshi(path / DATA, limits, decode)
        if (path / CLIPS).is_dir():
            findings += _clip_findings(path, limits)
        return findings, facts | {"kind": "corpus"}
    if any((path / name).exists() for name in (TRANSCRIPT, SHIFTED, DATASET, RUN)):
        return _work(path, limits, references)
    if items := claimed(path):
        return _claimed(items, limits, references)
    if (path / SAMPLES).is_file():
        return check_full_duplex_bench(path)
    if is_moshi(path):
        findings, facts = check_moshi(path, limits, decode)
        if is_mix(path) and all(finding.level != "error" for finding in findings):
            findings += _clip_findings(path, limits)
        return findings, facts
    if (path / CONVERSATIONS).is_file():
        return check_csm(path)
    if (path / dialogue_formats.TEXT).is_dir() and (path / dialogue_formats.AUDIO).is_dir():
        return check_jmoshi(path)
    if (path / MEASURED).is_dir():
        raise DailytalkError(
            f"{path} holds a corpus that was measured and not finished",
            "run dailytalk corpus without --report-only",
        )
    if any(path.rglob("*.parquet")):
        return check_dataset(path, limits, references)
    raise DailytalkError(
        f"{path} is neither a work folder, a dataset nor a training folder that check knows",
        "name one of `dailytalk build`, `speak` or `corpus`, or an export that ends with `next: dailytalk check`",
    )


def _clip_findings(folder: Path, limits: FitnessLimits | None) -> list[Finding]:
    """What is found of the clips of a corpus or a mix, each by its row, and of their labels."""
    judge = Judge(limits, unit="clip")
    try:
        figures, _ = corpus_figures(open_items(folder), [], judge)
    except DailytalkError as problem:
        return [error("unreadable-record", ".", problem.reason, problem.remedy)]
    return corpus_findings(figures, judge, read_run(folder) or {})


def _claimed(
    items: Items, limits: FitnessLimits | None, references: Sequence[ReferenceCorpus]
) -> tuple[list[Finding], Facts]:
    findings, counts = list[Finding](), _Counts(Judge(limits), references)
    for row in items.rows():
        name = row["conversation_id"]
        if unused := None if row["problem"] else items.unused(row):
            findings.append(advice(unused[0], name, unused[1], items.remedy, "note"))
            continue
        for finding in _row(name, row, counts):
            is_again = items.remedy and finding.remedy == _SPEAK_AGAIN
            findings.append(replace(finding, remedy=items.remedy) if is_again else finding)
    together, facts = _together(findings, counts, {})
    return together, facts | {"kind": items.kind}


def _work(
    folder: Path, limits: FitnessLimits | None, references: Sequence[ReferenceCorpus]
) -> tuple[list[Finding], Facts]:
    findings = list(file_findings(folder))
    facts: Facts = {"kind": "work"}
    record = read_run(folder) or {}
    of_run, hours = record.get("counts") or {}, record.get("hours") or {}
    facts |= {name: of_run[name] for name in ("conversations", "utterances") if isinstance(of_run.get(name), int)}
    for name in ("audio", "speech"):
        if documents.is_number(hours.get(name)):
            facts[f"hours_of_{name}"] = hours[name]
    if (folder / DATASET).is_dir() and any((folder / DATASET).rglob("*.parquet")):
        of_dataset, counts = check_dataset(folder, limits, references)
        findings += of_dataset
        facts |= counts | {"kind": "work"}
        if not counts["conversations"] and not any(finding.level == "error" for finding in of_dataset):
            what = "no conversation was finished: there is nothing to train on"
            remedy = f"see why in {REJECTS}, and run dailytalk speak again"
            if lost := lost_hours(record):
                remedy = remedy_of(lost, [*lost.reasons, *lost.remedies])
            findings.append(error(NOTHING_FINISHED, ".", what, remedy))
    elif (folder / TAGGED).is_dir():
        of_tagged, tally = _tagged_findings(folder, limits, facts.get("conversations", 0))
        findings += of_tagged
        facts["measures"] = measure_facts(tally, references)
    return findings, facts


def file_findings(folder: Path) -> Iterator[Finding]:
    """What is wrong with the files of a work folder beside its shards: transcripts, and sound, decoded."""
    for name in (TRANSCRIPT, SHIFTED):
        if (folder / name).exists():
            yield from _transcript_lines(folder / name)
    wavs = sorted((folder / AUDIO).rglob("*.wav"))
    for wav in steps("WAV files checked", wavs, len(wavs)):
        shown = str(wav.relative_to(folder))
        loudness = yield from _measured_wav(folder, shown)
        if loudness and loudness.channels != 2:
            what = f"it has {counted(loudness.channels, 'channel')}, not 2"
            yield error("not-stereo", shown, what, "build it again")


def _tagged_findings(folder: Path, limits: FitnessLimits | None, n: int) -> tuple[list[Finding], Tally]:
    judge, tally = Judge(limits, rebuilt=False), Tally(finished=False)
    try:
        items = open_items(folder)
        for row in items.rows():
            tally.add(row)
            judge.add(row)
        for reject in items.rejects():
            tally.add_reject(reject)
    except DailytalkError:
        judge = Judge(limits, rebuilt=False)
    judge.n = max(judge.n, n)
    return judge.findings(tally, read_run(folder) or {}), tally


def measure_facts(tally: Tally, references: Sequence[ReferenceCorpus] = ()) -> list[dict[str, Any]]:
    """Where the measures of conversations are beside those of other corpora; no part of the verdict."""
    compared = (*published_references().values(), *references)
    return [
        {
            "measure": place.band.measure,
            "side": place.side,
            "value": round(place.value, 6),
            "corpus": place.reference.name,
            "published": {name: getattr(place.band, name) for name in ("low", "middle", "high")},
            "shown": [measure_text(place.band.measure, place.value), place.text(), place.band.text()],
            "where": place.where,
            "percentile": None if place.percentile is None else round(place.percentile, 1),
            "note": place.sentence() if noted else None,
            "meaning": place.meaning if noted else None,
        }
        for place in places(tally.turn_taking, compared)
        for noted in (place.is_remarkable and place.side != "right",)
    ]


def _transcript_lines(path: Path) -> Iterator[Finding]:
    known = (*FIELDS, *published((read_run(path.parent) or {}).get("fields") or (), RUN))
    lines_of: dict[str, int] = {}
    for number, fields in documents.json_lines(laid_over(path), nan=True):
        location = f"{path.name}:{number}"
        if isinstance(fields, BadInput):
            yield error("bad-line", location, fields.reason, "correct or delete the line")
            continue
        problem = line_problem(fields, known, mixed=True)
        if problem and problem.key == "words":
            yield error("bad-word", location, problem.reason, "correct its words, or leave them out")
        elif problem:
            yield error("bad-line", location, problem.reason, "correct or delete the line")
            continue
        name = fields.get("utterance_id")
        if isinstance(name, str) and lines_of.setdefault(name, number) != number:
            what = f"the utterance {name} is in line {lines_of[name]} already"
            yield error("duplicate", location, what, "delete one of them, or give it another utterance_id")
        # What was not resynthesised may lack a text: the recogniser heard none, or the conversation says why.
        silent = why_silent(fields) or fields.get("status", "spoken") != "spoken"
        if not str(fields.get("text") or "").strip() and not silent:
            yield error("empty-text", location, "its text is empty", "write what is said, or delete the line")
