"""The check of a folder for moshi-finetune, as strict as a trainer, before a GPU is paid for.

Each kind of finding is a failure that moshi-finetune showed when it was run on such a folder: it stopped late, or
continued without a message (`docs/fine-tuning.md` lists them). Files that it rejects at the start are found here
too. A folder without its configuration is judged by the recommended window and a batch of one, which every split
can fill.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finding import Checked, Finding, FindingLimits, Severity, advice, error
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES, measure_turns
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER, MAIN, OTHER
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.moshi_words import said_words
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import to_uri
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_bytes, read_json
from dailytalk_contiguous.publish.checks.findings import Loudness, loudness_of, word_findings
from dailytalk_contiguous.publish.checks.training_steps import (
    ALL_FROM_CONFIG,
    TrainedFile,
    TrainingSteps,
    context_findings,
    seen_in,
    silent_seconds,
    step_findings,
    trained_words,
)
from dailytalk_contiguous.publish.checks.verdict import all_findings
from dailytalk_contiguous.publish.exports.clip_folder import MANIFESTS
from dailytalk_contiguous.publish.exports.training_folder import (
    CLIP_MANIFESTS,
    about_conversations,
    most_listed,
    timed_conversation,
)
from dailytalk_contiguous.publish.items import ABOUT, DURATION_TOLERANCE, EVAL, MOSHI_MANIFESTS, TRAIN
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.work_folder import MIX_RECORD

CONFIG = "moshi-finetune.yaml"

#: Seconds of a window that the README of moshi-finetune recommends (1 H100: 39.6 GB).
WINDOW_SECONDS = 100

#: Windows a batch that it recommends.
BATCH = 16

#: How far a window may be from the recommended one, as a share of it.
_REACH = 0.25

#: Share of padding for which a window is not moved farther.
_EQUAL_PADDING = 0.02

#: Share of padding above which `check` advises another window.
_NEEDLESS_PADDING = 0.1

#: Hz that the trainer works at.
SAMPLE_RATE = 24000

_CORRECT_CONFIG = "export again with `dailytalk export`, or correct it"


class _Data(TypedDict, total=False):
    train_data: str | None
    eval_data: str | None


class _Model(TypedDict, total=False):
    hf_repo_id: str | None


class _Config(TypedDict):
    """The fields of the configuration that are read."""

    data: _Data
    duration_sec: NotRequired[documents.Number | None]
    batch_size: NotRequired[documents.Whole | None]
    num_microbatches: NotRequired[documents.Whole | None]
    max_steps: NotRequired[documents.Whole | None]
    moshi_paths: NotRequired[_Model | None]


#: What the trainer takes where its configuration has no such field (`finetune/args.py`).
_DEFAULTS = {"duration_sec": 10.0, "batch_size": 1, "num_microbatches": 1, "max_steps": 100}

#: Models as Kyutai publishes them have no conditioners.
_STOCK = ("kyutai/moshiko", "kyutai/moshika")


@dataclass(frozen=True)
class TrainerPlan:
    """The settings of a trainer for a folder.

    Attributes:
        manifests: files by split, `train` and `eval`; only those that exist.
        duration_sec: seconds of a window.
        batch_size: windows a batch and GPU.
        stock_model: whether the model is one that stops on `text_conditions`.
        clips: whether it is the folder of an expressive corpus.
        model: its name on the Hub.
        steps: of the training; None without a configuration.
        microbatches: batches a step and GPU.
    """

    manifests: dict[str, Path]
    duration_sec: float
    batch_size: int
    stock_model: bool
    clips: bool = False
    model: str = _STOCK[0]
    steps: int | None = None
    microbatches: int = 1


def read_plan(folder: Path, name: str = CONFIG) -> tuple[TrainerPlan, list[Finding]]:
    """Read the plan from the configuration of that name, or make it of the recommended settings without one."""
    clips = _present(folder, CLIP_MANIFESTS)
    if clips:
        # The folder does not name its model; conditions are only exported for a model that takes them.
        return TrainerPlan(clips, WINDOW_SECONDS, 1, stock_model=False, clips=True), []
    # The manifests that our export writes, or the only one in the folder.
    by_name = _present(folder, MOSHI_MANIFESTS)
    if not by_name:
        lists = list(folder.glob("*.jsonl"))
        if len(lists) == 1:
            by_name = {"train": lists[0]}
    if not (folder / name).exists():
        return TrainerPlan(by_name, WINDOW_SECONDS, 1, stock_model=True), []
    try:
        text = read_bytes(folder / name).decode("utf-8", "replace")
        record = documents.typed(documents.parse_yaml(text, ""), _Config, "it", _CORRECT_CONFIG)
        config: dict[str, Any] = {key: value for key, value in record.items() if value is not None}
        numbers = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
        for key, number in numbers.items():
            if number <= 0:
                raise BadInput(f"{key} {number!r} must be above 0", _CORRECT_CONFIG)
    except BadInput as failure:
        plan = TrainerPlan(by_name, WINDOW_SECONDS, BATCH, stock_model=True)
        return plan, [error("config", name, failure.reason, _CORRECT_CONFIG)]
    manifests = {}
    findings = list[Finding]()
    for side, exported in MOSHI_MANIFESTS.items():
        value = config["data"].get(f"{side}_data")
        path = Path(value or ".")
        problem = f"{side}_data names {value or 'nothing'}"
        if value and path.is_file() and path.resolve().parent == folder.resolve():
            manifests[side] = path
        elif value and path.is_dir():
            problem += ", a folder: the trainer reads every manifest in it, train and eval alike"
            findings.append(error("config-folder", name, problem, f"name {exported} itself"))
        elif value or side == "train" or (folder / exported).exists():
            if value:
                problem += ", which is not a file of this folder"
            remedy = "after moving or copying the folder, export again or correct it"
            findings.append(error("config", name, problem, remedy))
    paths = config.get("moshi_paths", {})
    model = str(paths.get("hf_repo_id") or _STOCK[0])
    plan = TrainerPlan(
        manifests or by_name,
        float(numbers["duration_sec"]),
        int(numbers["batch_size"]),
        stock_model=model.startswith(_STOCK),
        model=model,
        steps=int(numbers["max_steps"]),
        microbatches=int(numbers["num_microbatches"]),
    )
    return plan, findings


def _present(folder: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """The paths of those manifests, named by side, that a folder has."""
    paths = {side: folder / name for side, name in names.items()}
    return {side: path for side, path in paths.items() if path.is_file()}


_EXPORT_AGAIN = "export again with `dailytalk export`"


@dataclass
class _Contents:
    """What a folder was found to hold.

    Attributes:
        lengths: seconds of the files that each side names.
        paths: the real path of each of these files.
        files: how often each file is named, by its real path. evaluated: those that evaluate.
        words: their number.
        clips: names of files that are clips, of one speaker.
        silent_right: names of files whose right channel is silent.
        trained: what a pass over each readable file shows, by its real path.
        voices: with which it was resynthesised, by its real path.
    """

    lengths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    paths: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    files: Counter[str] = field(default_factory=Counter)
    evaluated: set[str] = field(default_factory=set)
    words: int = 0
    clips: set[str] = field(default_factory=set)
    silent_right: list[str] = field(default_factory=list)
    trained: dict[str, TrainedFile] = field(default_factory=dict)
    voices: dict[str, tuple[str, ...]] = field(default_factory=dict)


def is_moshi(folder: Path) -> bool:
    names = (AUDIO_FOLDER, TRAIN, EVAL, *MANIFESTS.values())
    return any((folder / name).exists() for name in names)


def check_moshi(
    folder: Path,
    limits: FindingLimits,
    training: TrainingSteps = ALL_FROM_CONFIG,
    config: str = CONFIG,
    prompts: str = "",
) -> Checked:
    """Check a Moshi folder; findings, and counts: files, hours, words and windows of each side.

    `config` is the file with the trainer's configuration, `prompts` the folder of sounds that lines name beside
    their file; empty for none. The fact `training` says what its steps show, or
    those of `training` (`publish.checks.training_steps.TrainingSeen`); it is left out if neither names their
    number.
    """
    plan, findings = read_plan(folder, config)
    contents = _Contents()
    findings += _stray_manifests(folder, plan)
    if not plan.manifests:
        problem = "there is no manifest, or the export did not finish"
        findings.append(error("no-manifest", ".", problem, _EXPORT_AGAIN))
    for side, manifest in plan.manifests.items():
        findings += _manifest(folder, side, manifest, plan, contents)
    findings += _listed_too_often(folder, contents)
    maker = TableMaker()
    of_conversations = [*_conversations(folder, plan, contents, maker)]
    findings += _silent_right(contents)
    findings += _unnamed_audio(folder, contents, prompts)
    windows = {}
    for side, manifest in plan.manifests.items():
        n_windows = window_count(contents.lengths[side], plan.duration_sec)
        windows[side] = n_windows
        if side == "eval" and 0 < n_windows < plan.batch_size:
            problem = f"it has {counted(n_windows, 'window')} of {plan.duration_sec:g} s, "
            problem += f"and a batch is {plan.batch_size}: there is none"
            remedy = f"set batch_size to {n_windows} at most (a GPU), or give this side more conversations"
            findings.append(error("less-than-a-batch", manifest.name, problem, remedy))
    findings += of_conversations
    tables = maker.tables()
    unit = "clip" if tables.n and tables.conversations["clip"].all() else "conversation"
    findings += all_findings(tables, limits=limits, unit=unit)
    if config == CONFIG and (folder / CONFIG).exists():  # a trainer with prompts needs longer windows
        findings += _needless_padding(plan, contents)
    facts = {
        "files": {side: len(lengths) for side, lengths in contents.lengths.items()},
        "hours": {side: round(sum(lengths) / 3600, 7) for side, lengths in contents.lengths.items()},
        "windows": windows,
        "padding": {
            side: round(padding(lengths, plan.duration_sec), 4) for side, lengths in contents.lengths.items()
        },
        "words": contents.words,
        "duration_sec": plan.duration_sec,
        "batch_size": plan.batch_size,
    }
    n_steps = training.steps or plan.steps
    files = _trained_files(contents)
    if files and n_steps:
        seen = seen_in(n_steps, training.batch or _windows_a_step(plan), files)
        facts["training"] = seen
        findings += step_findings(seen, files, plan.manifests["train"].name, limits)
        findings += context_findings(plan.model, plan.duration_sec, config)
    return findings, facts


def _windows_a_step(plan: TrainerPlan) -> int:
    """Windows a step on one GPU; without a configuration, those that the trainer's README recommends."""
    if plan.steps is None:
        return BATCH
    return plan.batch_size * plan.microbatches


def _trained_files(contents: _Contents) -> list[TrainedFile]:
    """What a pass shows of each line of the training manifest; the trainer skips files that it can't read."""
    files = []
    for path in contents.paths["train"]:
        if path in contents.trained:
            voices = contents.voices.get(path, ())
            files.append(contents.trained[path]._replace(voices=voices))
    return files


def _stray_manifests(folder: Path, plan: TrainerPlan) -> Iterator[Finding]:
    manifests = {os.path.realpath(path) for path in plan.manifests.values()}
    for path in sorted(folder.rglob("*jsonl")):
        if os.path.realpath(path) not in manifests:
            problem = "its name ends in jsonl: a trainer that is given the folder reads it as a manifest"
            yield error("stray-jsonl", _shown(folder, path), problem, "move it elsewhere or rename it")


def _unnamed_audio(folder: Path, contents: _Contents, prompts: str) -> Iterator[Finding]:
    """WAV files that no line names, except in the folder `prompts`."""
    if not contents.files:
        return
    wavs = sorted(wav for wav in folder.rglob("*.wav") if not prompts or wav.parent != folder / prompts)
    unnamed = [wav for wav in wavs if os.path.realpath(wav) not in contents.files]
    if unnamed:
        problem = f"{counted(len(unnamed), 'WAV file')} in no manifest, such as {_shown(folder, unnamed[0])}"
        yield advice("unnamed-audio", ".", problem, "delete them, or name them")


def _needless_padding(plan: TrainerPlan, contents: _Contents) -> Iterator[Finding]:
    """A window that makes much more padding than the best one."""
    lengths = list(chain.from_iterable(contents.lengths.values()))
    if not lengths:
        return
    best = window_seconds(lengths)
    share = padding(lengths, plan.duration_sec)
    least = padding(lengths, best)
    if share - least > _NEEDLESS_PADDING:
        problem = f"duration_sec {plan.duration_sec:g} makes {share:.0%} of the windows padding"
        remedy = f"set duration_sec to {best}, which makes it {least:.0%}"
        yield advice("padding", CONFIG, problem, remedy)


def _manifest(
    folder: Path, side: str, manifest: Path, plan: TrainerPlan, contents: _Contents
) -> Iterator[Finding]:
    shown = _shown(folder, manifest)
    try:
        path = inside(manifest.parent, manifest.name)
        content = read_bytes(path, limit=MOST_OWN_BYTES)
    except BadInput as failure:
        yield error("unreadable-manifest", shown, failure.reason, failure.remedy)
        return
    lines = content.decode("utf-8", errors="replace").splitlines()
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
            case {"path": str(name), "duration": int() | float() as duration} if 0 < duration < documents.LATEST:
                pass
            case _:
                problem = f'line {number} is not {{"path": …, "duration": seconds}}: {line[:60]!r}'
                yield error("manifest-line", shown, problem, _EXPORT_AGAIN)
                continue
        try:
            # Relative to the manifest, as sphn resolves it for the trainer.
            wav = inside(manifest.parent, name)
            inside(manifest.parent, Path(name).with_suffix(".json"))
        except BadInput as failure:
            yield error("outside-audio", shown, f"line {number}: {failure.reason}", failure.remedy)
            continue
        real_path = os.path.realpath(wav)
        contents.files[real_path] += 1
        if side == "eval":
            contents.evaluated.add(real_path)
        contents.lengths[side].append(duration)
        contents.paths[side].append(real_path)
        if contents.files[real_path] == 1:
            yield from _file(folder, wav, duration, plan, contents)


def _file(folder: Path, wav: Path, duration: float, plan: TrainerPlan, contents: _Contents) -> Iterator[Finding]:
    shown = _shown(folder, wav)
    if not wav.is_file():
        yield error("missing-audio", shown, "the manifest names it, but it isn't there", _EXPORT_AGAIN)
        return
    loudness, unreadable = loudness_of(shown, lambda: {"bytes": None, "path": to_uri(wav)})
    yield from unreadable
    if loudness:
        if loudness.channels != 2:
            problem = f"it has {counted(loudness.channels, 'channel')}, not 2: "
            problem += "training stops at the first batch with it"
            yield error("not-stereo", shown, problem, _EXPORT_AGAIN)
        if loudness.sample_rate != SAMPLE_RATE:
            problem = f"its rate is {loudness.sample_rate} Hz, not {SAMPLE_RATE}: "
            problem += "it is resampled without a message"
            yield error("wrong-rate", shown, problem, "export it again without --sample-rate")
        if abs(loudness.seconds - duration) > DURATION_TOLERANCE:
            problem = f"the manifest says {duration:.3f} s, the audio has {loudness.seconds:.3f} s"
            yield error("wrong-duration", shown, problem, _EXPORT_AGAIN)
        if loudness.is_silent(0):
            problem = "the left channel, Moshi's, is silent"
            yield error("silent-left", shown, problem, "export it again, with the other --main?")
        if loudness.channels > 1 and loudness.is_silent(1):
            contents.silent_right.append(shown)
    words = yield from _moshi_transcript(shown, wav.with_suffix(".json"), loudness, plan, contents)
    if loudness and loudness.seconds:
        contents.trained[os.path.realpath(wav)] = _trained_file(words, duration, loudness, plan.duration_sec)


def _trained_file(words: Sequence[Word], duration: float, loudness: Loudness, duration_sec: float) -> TrainedFile:
    main_silent, both_silent = silent_seconds(loudness)
    return TrainedFile(
        window_count([duration], duration_sec),
        loudness.seconds,
        trained_words(words, loudness.seconds, duration_sec),
        main_silent,
        both_silent,
    )


def _moshi_transcript(
    wav: str, document: Path, loudness: Loudness | None, plan: TrainerPlan, contents: _Contents
) -> Generator[Finding, None, list[Word]]:
    """Yield what is wrong with the words beside a WAV, and return them; none if they can't be read."""
    shown = str(Path(wav).with_suffix(".json"))
    if not document.exists():
        yield error("missing-alignments", shown, f"it isn't there beside {Path(wav).name}", _EXPORT_AGAIN)
        return []
    try:
        transcript = documents.typed(read_json(document), dict[str, Any], "it")
        words = said_words(transcript.get("alignments"), Path(wav).name, _EXPORT_AGAIN)
    except BadInput as failure:
        yield error("unreadable-alignments", shown, f"it can't be read ({failure.reason})", _EXPORT_AGAIN)
        return []
    contents.words += len(words)
    if "id" in transcript:  # the annotation of a clip, in a corpus or a mix
        contents.clips.add(wav)
    unknown = Counter(word.side for word in words if word.side not in (MAIN, OTHER))
    if unknown:
        names = [f"{documents.quoted(name)} ({count})" for name, count in unknown.most_common(3)]
        share = f"{unknown.total()} of {counted(len(words), 'word')}"
        problem = f"{share} have another speaker than {MAIN} or {OTHER}: {', '.join(names)}"
        problem += "; they are never trained"
        yield error("unknown-speaker", shown, problem, f"call Moshi's side {MAIN}")
    if not any(word.side == MAIN for word in words):
        problem = f"no word is {MAIN}'s: the model learns to speak without text"
        yield error("no-words", shown, problem, "transcribe it, or leave it out")
    if transcript.get("text_conditions") is not None and plan.stock_model:
        problem = "it has text_conditions, on which the stock model in moshi-finetune.yaml stops"
        remedy = "export without --text-conditions, or name a model with that conditioner as hf_repo_id"
        yield error("text-conditions", shown, problem, remedy)
    yield from word_findings(shown, words, loudness)
    return words


def _listed_too_often(folder: Path, contents: _Contents) -> Iterator[Finding]:
    try:
        allowed = most_listed(folder)
    except BadInput as failure:  # of a mix, whose record says how often
        yield error("unreadable-record", MIX_RECORD, failure.reason, failure.remedy)
        return
    for path, count in contents.files.items():
        most = 1 if path in contents.evaluated else allowed
        if count > most:
            problem = f"the manifests name it {count} times"
            yield error("duplicate", Path(path).name, problem, "name each file once, on one side")


def _silent_right(contents: _Contents) -> Iterator[Finding]:
    """One advice for all conversations, and one for all clips: these are of one speaker."""
    silent_clips = [name for name in contents.silent_right if name in contents.clips]
    silent = [name for name in contents.silent_right if name not in contents.clips]
    n_clips = len(contents.clips)
    yield from _silent_right_of(silent, len(contents.files) - n_clips, "leave them out", "doubtful")
    yield from _silent_right_of(silent_clips, n_clips, "run dailytalk corpus with --prompt-channel", "note")


def _silent_right_of(silent: Sequence[str], n_files: int, remedy: str, severity: Severity) -> Iterator[Finding]:
    if not silent:
        return
    consequence = "from such data Moshi learns to talk on and not to listen"
    if len(silent) == 1:
        location = silent[0]
        problem = f"the right channel is silent: {consequence}"
    else:
        location = "."
        share = f"{len(silent)} of {n_files} files"
        problem = f"the right channel of {share} is silent, such as {silent[0]}: {consequence}"
    yield advice("silent-right", location, problem, remedy, severity)


def _conversations(folder: Path, plan: TrainerPlan, contents: _Contents, maker: TableMaker) -> Iterator[Finding]:
    """Add the conversations of our export, with what it has kept of them, and yield what is wrong with all."""
    if not (folder / ABOUT).exists():
        return
    try:
        about = about_conversations(folder)
        timed = {name: timed_conversation(name, about[name]) for name in about}
    except BadInput as failure:
        yield error("unreadable-about", ABOUT, f"it can't be read ({failure.reason})", _EXPORT_AGAIN)
        return
    sides: dict[str, set[str]] = defaultdict(set)
    of_clips = set[str]()  # `dailytalk corpus` has divided these, and has said why a speaker is in both
    for conversation in about.values():
        for speaker in filter(None, conversation.get("kept_speakers") or ()):
            sides[speaker].add(conversation["split"])
            if conversation.get("clip"):
                of_clips.add(speaker)
    shared = sorted(speaker for speaker, splits in sides.items() if len(splits) > 1)
    if shared:
        problem = f"{len(shared)} of {len(sides)} kept speakers are in train and in eval, such as {shared[0]}"
        remedy = "read the eval loss with care, or add conversations of others"
        severity: Severity = "note" if of_clips.issuperset(shared) else "doubtful"
        yield advice("speaker-in-both", ".", problem, remedy, severity)
    root = os.path.realpath(folder)
    for name, conversation in about.items():
        row: dict[str, object] = {}
        for key, value in (conversation.get("measures") or {}).items():
            if key in CONVERSATION_MEASURES:
                row[key] = value
        for key in ("recorded_overlap", "parent", "made_by", "language", "sound_digest", "split"):
            row[key] = conversation.get(key)
        kept_speakers = conversation.get("kept_speakers") or [""]
        row["kept_speakers"] = [speaker or None for speaker in kept_speakers]
        voices = tuple(filter(None, conversation["voices"]))
        row["voices"] = list(voices)
        for file in conversation["files"]:
            contents.voices[os.path.join(root, file)] = voices
        row["conversation_id"] = name
        row["talk"] = bool(conversation.get("talk"))
        if conversation.get("clip"):  # of one speaker, who takes no turns
            contents.clips.update(conversation["files"])
            maker.add_known({**row, "clip": True, "duration": conversation["duration"]})
        else:
            maker.add_known(row | measure_turns(timed[name], plan.duration_sec), timed[name])


def _shown(folder: Path, path: Path) -> str:
    """A path as findings name it: in the folder, where it is there, however a configuration names it."""
    root = folder.absolute()
    return str(path.absolute().relative_to(root)) if path.absolute().is_relative_to(root) else str(path)


def window_count(lengths: Iterable[float], duration_sec: float) -> int:
    """Count the windows into which the trainer cuts files of these seconds: it pads the last one of each."""
    windows = [math.ceil(length / duration_sec - 1e-6) for length in lengths]
    return sum(max(1, count) for count in windows)


def padding(lengths: Sequence[float], duration_sec: float) -> float:
    """Return the share of the windows of files of these seconds that is padding, which is not learned from."""
    windows = window_count(lengths, duration_sec)
    if not windows:
        return 0.0
    return max(0.0, 1 - sum(lengths) / (windows * duration_sec))


def window_seconds(lengths: Sequence[float], recommended: int = WINDOW_SECONDS) -> int:
    """Return `duration_sec` for files of these seconds.

    It is within a quarter of the recommended window, or of the longest file if that is shorter: the nearest one
    that pads at most `_EQUAL_PADDING` more than the least. It is even, so that windows are whole frames of 80 ms.
    """
    half_seconds = math.ceil(max(lengths, default=1.0) / 2)
    longest = 2 * max(1, half_seconds)
    near = min(recommended, longest)
    shortest_window = 2 * round(near * (1 - _REACH) / 2)
    longest_window = min(longest, round(recommended * (1 + _REACH)))
    windows = range(shortest_window, longest_window + 1, 2)
    shares = {window: padding(lengths, window) for window in windows}
    most = min(shares.values()) + _EQUAL_PADDING
    candidates = [window for window, share in shares.items() if share <= most]
    return min(candidates, key=lambda window: abs(window - near))
