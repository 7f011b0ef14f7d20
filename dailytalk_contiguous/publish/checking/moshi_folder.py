"""Judges a Moshi training folder as a strict trainer would, before a GPU is paid for.

Each kind of finding is something that moshi-finetune was seen to do when it was run on such a folder: fail late,
or carry on in silence (`docs/fine-tuning.md` lists them). What it does loudly at the start is found here too.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.built import AUDIO_FOLDER, MAIN, OTHER
from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, expect, parse_json, quoted, read_bytes, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.turns import Timed
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.engine.corpus_folder import MANIFESTS
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.publish.checking.config import Plan, read_plan
from dailytalk_contiguous.publish.checking.findings import Finding, advice, error
from dailytalk_contiguous.publish.checking.fitness import figures, fitness_advice
from dailytalk_contiguous.publish.checking.loudness import Loudness, measure
from dailytalk_contiguous.publish.checking.words import LATEST, Said, word_findings
from dailytalk_contiguous.publish.exporting.mix_folders import ABOUT_SHAPE, MIX, most_listed
from dailytalk_contiguous.publish.exporting.moshi import (
    ABOUT,
    EVAL,
    MOSHI_RATE,
    TRAIN,
    window_count,
)

#: Seconds by which the manifest may differ from the audio: less than the 80 ms of a frame of the codec.
DURATION_TOLERANCE = 0.010

_AGAIN = "export again with `dailytalk export --format moshi`"


@dataclass
class _Seen:
    """What was read on the way."""

    lengths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    files: Counter[str] = field(default_factory=Counter)
    evaluated: set[str] = field(default_factory=set)
    words: int = 0
    listening_to_nothing: list[str] = field(default_factory=list)


def is_moshi(folder: Path) -> bool:
    """Whether a folder is laid out for moshi-finetune."""
    return any((folder / name).exists() for name in (AUDIO_FOLDER, TRAIN, EVAL, *MANIFESTS.values()))


def check_moshi(folder: Path) -> tuple[list[Finding], dict[str, Any]]:
    """Findings on a Moshi folder, and what is in it: files, hours, words and windows of each side."""
    plan, findings = read_plan(folder)
    seen = _Seen()
    findings += _strays(folder, plan)
    for side, manifest in plan.manifests.items():
        findings += _manifest(folder, side, manifest, plan, seen)
    findings += _listed_too_often(folder, seen)
    findings += _silent_right(plan, seen)
    findings += _unnamed(folder, seen)
    findings += _batches(plan, seen)
    findings += _conversations(folder, plan)
    facts = {
        "kind": "moshi",
        "files": {side: len(lengths) for side, lengths in seen.lengths.items()},
        "hours": {side: round(sum(lengths) / 3600, 4) for side, lengths in seen.lengths.items()},
        "windows": {side: window_count(lengths, plan.duration_sec) for side, lengths in seen.lengths.items()},
        "words": seen.words,
        "duration_sec": plan.duration_sec,
        "batch_size": plan.batch_size,
    }
    return findings, facts


def _strays(folder: Path, plan: Plan) -> Iterator[Finding]:
    named = {os.path.realpath(path) for path in plan.manifests.values()}
    for path in sorted(folder.rglob("*jsonl")):
        if os.path.realpath(path) not in named:
            what = "its name ends in jsonl: a trainer that is given the folder reads it as a manifest"
            yield error("stray-jsonl", _shown(folder, path), what, "move it elsewhere or rename it")
    if not plan.manifests:
        yield error("no-manifest", ".", "there is no manifest, or the export did not finish", _AGAIN)


def _manifest(folder: Path, side: str, manifest: Path, plan: Plan, seen: _Seen) -> Iterator[Finding]:
    shown = _shown(folder, manifest)
    try:
        text = read_bytes(inside(manifest.parent, manifest.name), limit=MOST_OWN_BYTES)
    except BadInput as problem:
        yield error("unreadable-manifest", shown, problem.reason, problem.remedy)
        return
    lines = text.decode("utf-8", errors="replace").splitlines()
    if not any(line.strip() for line in lines):
        yield error("empty-manifest", shown, "it names no file", _AGAIN)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _entry(line)
        if entry is None:
            what = f'line {number} is not {{"path": …, "duration": seconds}}: {line[:60]!r}'
            yield error("manifest-line", shown, what, _AGAIN)
            continue
        path, duration = entry
        try:
            # Relative to the manifest, as sphn resolves it for the trainer.
            wav = inside(manifest.parent, path)
            inside(manifest.parent, Path(path).with_suffix(".json"))
        except BadInput as problem:
            yield error("outside-audio", shown, f"line {number}: {problem.reason}", problem.remedy)
            continue
        seen.files[os.path.realpath(wav)] += 1
        if side == "eval":
            seen.evaluated.add(os.path.realpath(wav))
        seen.lengths[side].append(duration)
        if seen.files[os.path.realpath(wav)] == 1:
            yield from _file(folder, wav, duration, plan, seen)


def _file(folder: Path, wav: Path, duration: float, plan: Plan, seen: _Seen) -> Iterator[Finding]:
    shown = _shown(folder, wav)
    if not wav.is_file():
        yield error("missing-audio", shown, "the manifest names it, but it isn't there", _AGAIN)
        return
    loudness: Loudness | None = None
    try:
        loudness = measure({"bytes": None, "path": to_uri(wav)})
    except BadInput as problem:
        yield error("unreadable-audio", shown, problem.reason, problem.remedy)
    else:
        yield from _audio(shown, loudness, duration)
        if loudness.channels > 1 and loudness.is_silent(1):
            seen.listening_to_nothing.append(shown)
    yield from _transcript(shown, wav.with_suffix(".json"), loudness, plan, seen)


def _audio(shown: str, loudness: Loudness, duration: float) -> Iterator[Finding]:
    if loudness.channels != 2:
        what = f"it has {counted(loudness.channels, 'channel')}, not 2: training stops at the first batch with it"
        yield error("not-stereo", shown, what, _AGAIN)
    if loudness.sample_rate != MOSHI_RATE:
        what = f"its rate is {loudness.sample_rate} Hz, not {MOSHI_RATE}: it is resampled without a message"
        yield error("wrong-rate", shown, what, "export it again without --sample-rate")
    if abs(loudness.seconds - duration) > DURATION_TOLERANCE:
        what = f"the manifest says {duration:.3f} s, the audio has {loudness.seconds:.3f} s"
        yield error("wrong-duration", shown, what, _AGAIN)
    if loudness.is_silent(0):
        yield error("silent-left", shown, "the left channel, Moshi's, is silent", "export it again, with --swap?")


def _transcript(wav: str, path: Path, loudness: Loudness | None, plan: Plan, seen: _Seen) -> Iterator[Finding]:
    shown = str(Path(wav).with_suffix(".json"))
    if not path.exists():
        yield error("missing-alignments", shown, f"it isn't there beside {Path(wav).name}", _AGAIN)
        return
    try:
        told = read_json(path)
    except BadInput as problem:
        yield error("unreadable-alignments", shown, f"it can't be read ({problem.reason})", _AGAIN)
        return
    words = _said(told)
    if words is None:
        what = 'it is not {"alignments": [[word, [start, end], speaker], …]}'
        yield error("unreadable-alignments", shown, what, _AGAIN)
        return
    seen.words += len(words)
    if unknown := Counter(word.speaker for word in words if word.speaker not in (MAIN, OTHER)):
        names = ", ".join(f"{quoted(name)} ({count})" for name, count in unknown.most_common(3))
        what = f"{unknown.total()} of {len(words)} words have another speaker than {MAIN} or {OTHER}: {names}"
        yield error("unknown-speaker", shown, f"{what}; they are never trained", f"call Moshi's side {MAIN}")
    if not any(word.speaker == MAIN for word in words):
        what = f"no word is {MAIN}'s: the model learns to speak without text"
        yield error("no-words", shown, what, "transcribe it, or leave it out")
    if told.get("text_conditions") is not None and plan.stock_model:
        what = "it has text_conditions, on which the stock model in moshi-finetune.yaml stops"
        remedy = "export without --text-conditions, or name a model with that conditioner as hf_repo_id"
        yield error("text-conditions", shown, what, remedy)
    yield from word_findings(shown, words, loudness)


def _said(told: Any) -> list[Said] | None:
    """The words of a transcript; None if it is none."""
    if not isinstance(told, dict) or not isinstance(told.get("alignments"), list):
        return None
    words = []
    for entry in told["alignments"]:
        match entry:
            case [str(text), [int() | float() as start, int() | float() as end], str(speaker)]:
                words.append(Said(text, start, end, speaker, 0 if speaker == MAIN else 1))
            case _:
                return None
    return words


def _listed_too_often(folder: Path, seen: _Seen) -> list[Finding]:
    try:
        return list(_twice(seen, most_listed(folder)))
    except BadInput as problem:  # of a mix, whose record says how often
        return [error("unreadable-record", MIX, problem.reason, problem.remedy)]


def _twice(seen: _Seen, allowed: int) -> Iterator[Finding]:
    for path, count in seen.files.items():
        if count > (1 if path in seen.evaluated else allowed):
            what = f"the manifests name it {count} times"
            yield error("duplicate", Path(path).name, what, "name each file once, on one side")


def _silent_right(plan: Plan, seen: _Seen) -> Iterator[Finding]:
    """One advice for all files, because of a corpus of clips it may be every one."""
    found = seen.listening_to_nothing
    if not found:
        return
    what = "from such data Moshi learns to talk on and not to listen"
    if len(found) == 1:
        what = f"the right channel is silent: {what}"
    else:
        what = (
            f"the right channel of {len(found)} of {len(seen.files)} files is silent, such as {found[0]}: {what}"
        )
    remedy = "run dailytalk corpus with --prompt-channel" if plan.clips else "leave them out"
    yield advice("silent-right", found[0] if len(found) == 1 else ".", what, remedy)


def _unnamed(folder: Path, seen: _Seen) -> Iterator[Finding]:
    unnamed = [path for path in sorted(folder.rglob("*.wav")) if os.path.realpath(path) not in seen.files]
    if unnamed and seen.files:
        what = f"{counted(len(unnamed), 'WAV file')} in no manifest, such as {_shown(folder, unnamed[0])}"
        yield advice("unnamed-audio", ".", what, "delete them, or name them")


def _batches(plan: Plan, seen: _Seen) -> Iterator[Finding]:
    for side, manifest in plan.manifests.items():
        windows = window_count(seen.lengths[side], plan.duration_sec)
        if 0 < windows < plan.batch_size:
            has = f"it has {counted(windows, 'window')} of {plan.duration_sec:g} s"
            what = f"{has}, and a batch is {plan.batch_size}: there is none"
            remedy = f"set batch_size to {windows} at most (a GPU), or give this side more conversations"
            yield error("less-than-a-batch", manifest.name, what, remedy)


def _conversations(folder: Path, plan: Plan) -> Iterator[Finding]:
    """Advice that needs more than the trainer is told; nothing where the folder is not our export."""
    if not (folder / ABOUT).exists():
        return
    try:
        about = expect(read_json(inside(folder, ABOUT), limit=MOST_OWN_BYTES), ABOUT_SHAPE, ABOUT)
        timed = {name: _timed(one) for name, one in about.items()}
    except BadInput as problem:
        yield error("unreadable-about", ABOUT, f"it can't be read ({problem.reason})", _AGAIN)
        return
    sides: dict[str, set[str]] = defaultdict(set)
    for one in about.values():
        if one.get("kept_speaker"):
            sides[one["kept_speaker"]].add(one["split"])
    both = sorted(speaker for speaker, found in sides.items() if len(found) > 1)
    if both:
        what = f"{len(both)} of {len(sides)} kept speakers are in train and in eval, such as {both[0]}"
        yield advice("speaker-in-both", ".", what, "read the eval loss with care, or add conversations of others")
    yield from fitness_advice(
        {name: figures(timed[name], one["duration"], plan.duration_sec) for name, one in about.items()},
        _hours(about, "voices"),
        _hours(about, "language"),
    )


def _timed(one: Mapping[str, Any]) -> list[Timed]:
    turns = []
    for turn in one["turns"]:
        match turn:
            case [int() | float() as start, int() | float() as end, str(side)] if 0 <= start <= end <= LATEST:
                turns.append(Timed("left" if side == MAIN else "right", start, end))
            case _:
                raise BadInput(f"a turn is {quoted(turn)}, not [start, end, speaker]", _AGAIN)
    return turns


def _hours(about: Mapping[str, Any], key: str) -> dict[str, float]:
    hours: dict[str, float] = defaultdict(float)
    for one in about.values():
        for name in value if isinstance(value := one.get(key), list) else [value]:
            if name:
                hours[name] += one["duration"] / 3600
    return hours


def _entry(line: str) -> tuple[str, float] | None:
    try:
        match parse_json(line, ""):
            case {"path": str(path), "duration": int() | float() as duration} if 0 < duration < LATEST:
                return path, duration
    except BadInput:
        return None
    return None


def _shown(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
