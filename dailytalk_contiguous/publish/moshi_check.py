"""The check of a folder for moshi-finetune, as strict as a trainer, before a GPU is paid for.

Each kind of finding is a failure that moshi-finetune showed when it was run on such a folder: it stopped late, or
continued without a message (`docs/fine-tuning.md` lists them). Files that it rejects at the start are found here
too. A folder without its configuration is judged by the recommended window and a batch of one, which every split
can fill.
"""

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.measures import CONVERSATION_MEASURES, measure_turns
from dailytalk_contiguous.core.moshi_words import said_words
from dailytalk_contiguous.core.schema import AUDIO_FOLDER, MAIN, OTHER
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.tables import TableMaker
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.clip_folder import MANIFESTS
from dailytalk_contiguous.publish.findings import (
    Checked,
    Finding,
    FindingLimits,
    Loudness,
    Severity,
    advice,
    error,
    loudness_of,
    word_findings,
)
from dailytalk_contiguous.publish.items import ABOUT, DURATION_TOLERANCE, EVAL, MOSHI_MANIFESTS, TRAIN
from dailytalk_contiguous.publish.training_folder import (
    CLIP_MANIFESTS,
    MIX,
    about_conversations,
    most_listed,
    timed_conversation,
)
from dailytalk_contiguous.store.files import inside

CONFIG = "moshi-finetune.yaml"

#: Seconds of a window, and windows a batch, that the README of moshi-finetune recommends (1 H100: 39.6 GB).
WINDOW_SECONDS = 100
BATCH = 16

#: How far a window may be from the recommended one, as a share of it; the share of padding for which it is not
#: moved farther, and the one above which `check` advises it.
_REACH = 0.25
_EQUAL_PADDING = 0.02
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
    moshi_paths: NotRequired[_Model | None]


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
    """

    manifests: dict[str, Path]
    duration_sec: float
    batch_size: int
    stock_model: bool
    clips: bool = False


def read_plan(folder: Path, name: str = CONFIG) -> tuple[TrainerPlan, list[Finding]]:
    """Read the plan from the configuration of that name, or make it of the recommended settings without one."""
    clips = {side: folder / name for side, name in CLIP_MANIFESTS.items() if (folder / name).is_file()}
    if clips:
        # The folder does not name its model; conditions are only exported for a model that takes them.
        return TrainerPlan(clips, WINDOW_SECONDS, 1, stock_model=False, clips=True), []
    # The manifests that our export writes, or the only one in the folder.
    by_name = {side: folder / name for side, name in MOSHI_MANIFESTS.items() if (folder / name).is_file()}
    if not by_name and len(others := [*folder.glob("*.jsonl")]) == 1:
        by_name = {"train": others[0]}
    if not (folder / name).exists():
        return TrainerPlan(by_name, WINDOW_SECONDS, 1, stock_model=True), []
    try:
        text = documents.read_bytes(folder / name).decode("utf-8", "replace")
        config = documents.typed(documents.parse_yaml(text, ""), _Config, "it", _CORRECT_CONFIG)
        given: dict[str, Any] = {key: value for key, value in config.items() if value is not None}
        window = given.get("duration_sec", 10.0)
        batch = given.get("batch_size", 1)
        if min(window, batch) <= 0:
            raise BadInput(f"duration_sec {window!r} and batch_size {batch!r} must be above 0", _CORRECT_CONFIG)
    except BadInput as problem:
        plan = TrainerPlan(by_name, WINDOW_SECONDS, BATCH, stock_model=True)
        return plan, [error("config", name, problem.reason, _CORRECT_CONFIG)]
    manifests = {}
    findings = list[Finding]()
    for side, exported in MOSHI_MANIFESTS.items():
        named = given["data"].get(f"{side}_data")
        path = Path(named or ".")
        what = f"{side}_data names {named or 'nothing'}"
        if named and path.is_file() and path.resolve().parent == folder.resolve():
            manifests[side] = path
        elif named and path.is_dir():
            what += ", a folder: the trainer reads every manifest in it, train and eval alike"
            findings.append(error("config-folder", name, what, f"name {exported} itself"))
        elif named or side == "train" or (folder / exported).exists():
            what += ", which is no file of this folder" if named else ""
            remedy = "after moving or copying the folder, export again or correct it"
            findings.append(error("config", name, what, remedy))
    model = str(given.get("moshi_paths", {}).get("hf_repo_id") or _STOCK[0])
    return TrainerPlan(manifests or by_name, float(window), int(batch), model.startswith(_STOCK)), findings


_EXPORT_AGAIN = "export again with `dailytalk export`"

#: Yields the findings on other files that a line of a manifest names, by the folder, the line in words, its fields
#: and the levels of the WAV files that such lines have named so far, by their names in the folder.
LineCheck = Callable[[Path, str, Mapping[str, Any], dict[str, Loudness | None]], Iterator[Finding]]


@dataclass
class _Contents:
    check_line: LineCheck | None
    lengths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    files: Counter[str] = field(default_factory=Counter)
    evaluated: set[str] = field(default_factory=set)
    words: int = 0
    silent_right: list[str] = field(default_factory=list)
    others: dict[str, Loudness | None] = field(default_factory=dict)


def is_moshi(folder: Path) -> bool:
    return any((folder / name).exists() for name in (AUDIO_FOLDER, TRAIN, EVAL, *MANIFESTS.values()))


def check_moshi(
    folder: Path, limits: FindingLimits, config: str = CONFIG, check_line: LineCheck | None = None
) -> Checked:
    """Check a Moshi folder; findings, and counts: files, hours, words and windows of each side.

    `config` is the file with the trainer's configuration.
    """
    from dailytalk_contiguous.publish.verdict import all_findings  # here: who writes such a folder judges none

    plan, findings = read_plan(folder, config)
    contents = _Contents(check_line)
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
    others = (os.path.realpath(folder / name) for name, loudness in contents.others.items() if loudness)
    named = {*contents.files, *others}
    unnamed = [path for path in sorted(folder.rglob("*.wav")) if os.path.realpath(path) not in named]
    if unnamed and contents.files:
        what = f"{counted(len(unnamed), 'WAV file')} in no manifest, such as {_shown(folder, unnamed[0])}"
        findings.append(advice("unnamed-audio", ".", what, "delete them, or name them"))
    windows = {side: window_count(contents.lengths[side], plan.duration_sec) for side in plan.manifests}
    for side, manifest in plan.manifests.items():
        if 0 < windows[side] < plan.batch_size:
            has = f"it has {counted(windows[side], 'window')} of {plan.duration_sec:g} s"
            what = f"{has}, and a batch is {plan.batch_size}: there is none"
            remedy = f"set batch_size to {windows[side]} at most (a GPU), or give this side more conversations"
            findings.append(error("less-than-a-batch", manifest.name, what, remedy))
    findings += _conversations(folder, plan, maker := TableMaker())
    findings += all_findings(maker.tables(), limits=limits)
    lengths = [*chain.from_iterable(contents.lengths.values())]
    if lengths:
        share = padding(lengths, plan.duration_sec)
        best = window_seconds(lengths)
        is_set = config == CONFIG and (folder / CONFIG).exists()  # a trainer with prompts needs longer windows
        if is_set and share - (least := padding(lengths, best)) > _NEEDLESS_PADDING:
            what = f"duration_sec {plan.duration_sec:g} makes {share:.0%} of the windows padding"
            remedy = f"set duration_sec to {best}, which makes it {least:.0%}"
            findings.append(advice("padding", config, what, remedy))
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
    return findings, facts


def _manifest(
    folder: Path, side: str, manifest: Path, plan: TrainerPlan, contents: _Contents
) -> Iterator[Finding]:
    shown = _shown(folder, manifest)
    try:
        text = documents.read_bytes(inside(manifest.parent, manifest.name), limit=documents.MOST_OWN_BYTES)
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
                what = f'line {number} is not {{"path": …, "duration": seconds}}: {line[:60]!r}'
                yield error("manifest-line", shown, what, _EXPORT_AGAIN)
                continue
        try:
            # Relative to the manifest, as sphn resolves it for the trainer.
            wav = inside(manifest.parent, path)
            inside(manifest.parent, Path(path).with_suffix(".json"))
        except BadInput as problem:
            yield error("outside-audio", shown, f"line {number}: {problem.reason}", problem.remedy)
            continue
        contents.files[os.path.realpath(wav)] += 1
        if side == "eval":
            contents.evaluated.add(os.path.realpath(wav))
        contents.lengths[side].append(duration)
        if contents.check_line:
            yield from contents.check_line(folder, f"line {number} of {shown}", entry, contents.others)
        if contents.files[os.path.realpath(wav)] == 1:
            yield from _file(folder, wav, duration, plan, contents)


def _file(folder: Path, wav: Path, duration: float, plan: TrainerPlan, contents: _Contents) -> Iterator[Finding]:
    shown = _shown(folder, wav)
    if not wav.is_file():
        yield error("missing-audio", shown, "the manifest names it, but it isn't there", _EXPORT_AGAIN)
        return
    loudness = yield from loudness_of(shown, lambda: {"bytes": None, "path": to_uri(wav)})
    if loudness:
        if loudness.channels != 2:
            what = f"it has {counted(loudness.channels, 'channel')}, not 2: training stops at the first batch "
            yield error("not-stereo", shown, f"{what}with it", _EXPORT_AGAIN)
        if loudness.sample_rate != SAMPLE_RATE:
            what = f"its rate is {loudness.sample_rate} Hz, not {SAMPLE_RATE}: it is resampled without a message"
            yield error("wrong-rate", shown, what, "export it again without --sample-rate")
        if abs(loudness.seconds - duration) > DURATION_TOLERANCE:
            what = f"the manifest says {duration:.3f} s, the audio has {loudness.seconds:.3f} s"
            yield error("wrong-duration", shown, what, _EXPORT_AGAIN)
        if loudness.is_silent(0):
            what = "the left channel, Moshi's, is silent"
            yield error("silent-left", shown, what, "export it again, with the other --main?")
        if loudness.channels > 1 and loudness.is_silent(1):
            contents.silent_right.append(shown)
    yield from _moshi_transcript(shown, wav.with_suffix(".json"), loudness, plan, contents)


def _moshi_transcript(
    wav: str, document: Path, loudness: Loudness | None, plan: TrainerPlan, contents: _Contents
) -> Iterator[Finding]:
    shown = str(Path(wav).with_suffix(".json"))
    if not document.exists():
        yield error("missing-alignments", shown, f"it isn't there beside {Path(wav).name}", _EXPORT_AGAIN)
        return
    try:
        transcript = documents.typed(documents.read_json(document), dict[str, Any], "it")
        words = said_words(transcript.get("alignments"), Path(wav).name, _EXPORT_AGAIN)
    except BadInput as problem:
        yield error("unreadable-alignments", shown, f"it can't be read ({problem.reason})", _EXPORT_AGAIN)
        return
    contents.words += len(words)
    unknown = Counter(word.speaker for word in words if word.speaker not in (MAIN, OTHER))
    if unknown:
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
    """One advice for all files, because in a corpus of clips every file may be such."""
    silent = contents.silent_right
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


def _conversations(folder: Path, plan: TrainerPlan, maker: TableMaker) -> Iterator[Finding]:
    """Add the conversations of our export, with what it has kept of them, and yield what is wrong with all."""
    if not (folder / ABOUT).exists():
        return
    try:
        about = about_conversations(folder)
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
        known: dict[str, Any] = {key: value for key, value in measures.items() if key in CONVERSATION_MEASURES}
        known |= {key: conversation.get(key) for key in ("recorded_overlap", "parent", "made_by", "language")}
        known["kept_speakers"] = [speaker or None for speaker in conversation.get("kept_speakers") or [""]]
        known["voices"] = [voice for voice in conversation["voices"] if voice]
        turns = measure_turns(timed[name], plan.duration_sec)
        about_it = {"conversation_id": name, "talk": bool(conversation.get("talk"))}
        maker.add_known(known | turns | about_it, timed[name])


def _shown(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def window_count(lengths: Iterable[float], duration_sec: float) -> int:
    """Count the windows into which the trainer cuts files of these seconds: it pads the last one of each."""
    return sum(max(1, math.ceil(length / duration_sec - 1e-6)) for length in lengths)


def padding(lengths: Sequence[float], duration_sec: float) -> float:
    """Return the share of the windows of files of these seconds that is padding, which is not learned from."""
    windows = window_count(lengths, duration_sec)
    return max(0.0, 1 - sum(lengths) / (windows * duration_sec)) if windows else 0.0


def window_seconds(lengths: Sequence[float], recommended: int = WINDOW_SECONDS) -> int:
    """Return `duration_sec` for files of these seconds.

    It is within a quarter of the recommended window, or of the longest file if that is shorter: the nearest one
    that pads at most `_EQUAL_PADDING` more than the least. It is even, so that windows are whole frames of 80 ms.
    """
    longest = 2 * max(1, math.ceil(max(lengths, default=1.0) / 2))
    near = min(recommended, longest)
    windows = range(2 * round(near * (1 - _REACH) / 2), min(longest, round(recommended * (1 + _REACH))) + 1, 2)
    shares = {window: padding(lengths, window) for window in windows}
    least = min(shares.values()) + _EQUAL_PADDING
    return min((window for window in shares if shares[window] <= least), key=lambda window: abs(window - near))
