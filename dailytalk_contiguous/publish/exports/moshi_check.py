"""The check of a folder for moshi-finetune, as strict as a trainer, before a GPU is paid for.

Each kind of finding is a failure that moshi-finetune showed when it was run on such a folder: it stopped late, or
continued without a message (`docs/fine-tuning.md` lists them). Files that it rejects at the start are found here
too. A folder without its configuration is judged by the recommended window and a batch of one, which every split
can fill.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finding import Checked, Finding, FindingLimits, Severity, advice, error
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES, measure_turns
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.moshi_words import FRAME_RATE
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_bytes
from dailytalk_contiguous.publish.checks.verdict import all_findings
from dailytalk_contiguous.publish.exports import moshi_config, training_folder
from dailytalk_contiguous.publish.exports.moshi_file_check import EXPORT_AGAIN, CheckedFile, check_file
from dailytalk_contiguous.publish.items import ABOUT, EVAL, TRAIN
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.work_folder import MIX_RECORD, read_run


def is_moshi(folder: Path) -> bool:
    names = (AUDIO_FOLDER, TRAIN, EVAL, *training_folder.MANIFESTS.values())
    return any((folder / name).exists() for name in names)


def check_moshi(
    folder: Path,
    limits: FindingLimits,
    trainer: moshi_config.Trainer = moshi_config.MOSHI_FINETUNE,
) -> Checked:
    """Check a Moshi folder; returns findings, and counts: files, hours, words and windows of each side."""
    plan, findings = moshi_config.read_plan(folder, trainer.config)
    contents = _Contents(folder, plan)
    maker = TableMaker()
    finding_on_conversations = contents.add_conversations(maker)
    findings += contents.stray_manifests()
    if not plan.manifests:
        problem = "there is no manifest, or the export did not finish"
        findings.append(error("no-manifest", ".", problem, EXPORT_AGAIN))
    for side, manifest in plan.manifests.items():
        findings += contents.check_manifest(side, manifest)
    findings += contents.listed_too_often()
    findings += contents.silent_channels()
    unnamed = contents.unnamed_audio(trainer.prompts)
    if unnamed:
        findings.append(unnamed)
    by_side: dict[str, dict[str, float]] = {"files": {}, "hours": {}, "windows": {}, "padding": {}}
    for side in plan.manifests:
        lengths = contents.lengths[side]
        by_side["files"][side] = len(lengths)
        by_side["hours"][side] = round(sum(lengths) / 3600, 7)
        by_side["windows"][side] = moshi_config.window_count(lengths, plan.duration_sec)
        by_side["padding"][side] = round(moshi_config.padding(lengths, plan.duration_sec), 4)
    n_eval = int(by_side["windows"].get("eval", 0))
    if 0 < n_eval < plan.batch_size:
        problem = f"it has {counted(n_eval, 'window')} of {plan.duration_sec:g} s, "
        problem += f"and a batch is {plan.batch_size}: there is none"
        remedy = f"set batch_size to {n_eval} at most (a GPU), or give this side more conversations"
        findings.append(error("less-than-a-batch", plan.manifests["eval"].name, problem, remedy))
    n_train = int(by_side["windows"].get("train", 0))
    if 0 < n_train < plan.windows_a_step:
        problem = f"it has {counted(n_train, 'window')}, and a step takes {plan.windows_a_step:,}: "
        problem += "a step has windows more than once"
        remedy = f"set the batch to {n_train} at most, or add conversations"
        findings.append(advice("less-than-a-batch", plan.manifests["train"].name, problem, remedy))
    if finding_on_conversations:
        findings.append(finding_on_conversations)
    tables = maker.tables()
    unit = "clip" if tables.n and tables.conversations["clip"].all() else "conversation"
    findings += all_findings(tables, limits=limits, unit=unit)
    needs_long_windows = trainer is not moshi_config.MOSHI_FINETUNE  # for prompts
    if not needs_long_windows and (folder / moshi_config.CONFIG).exists():
        padding = contents.needless_padding()
        if padding:
            findings.append(padding)
    long_window = _long_window(plan, trainer.config)
    if long_window:
        findings.append(long_window)
    facts: dict[str, Any] = {
        **by_side,
        "words": sum(file.n_words for file in contents.checked.values()),
        "duration_sec": plan.duration_sec,
        "batch_size": plan.batch_size,
    }
    return findings, facts


def _long_window(plan: moshi_config.TrainerPlan, config: str) -> Finding | None:
    """Return advice where windows are longer than the context of the model."""
    context = 3000  # frames that a frame of Moshi attends to, in `moshi/models/loaders.py`
    others = {"kyutai/stt-1b": 750, "kyutai/stt-2.6b": 375}  # `context` in the config.json of each
    for beginning, frames in others.items():
        if plan.model.startswith(beginning):
            context = frames
    longest = context / FRAME_RATE
    if plan.duration_sec <= longest:
        return None
    problem = f"duration_sec {plan.duration_sec:g} is longer than the context of {plan.model}, {longest:g} s "
    problem += f"({context:,} frames)"
    remedy = f"set duration_sec to {longest:g} at most: the model does not see farther back"
    return advice("long-window", config, problem, remedy, "note")


@dataclass
class _Contents:
    """The contents of a folder, read step by step; each step returns its findings.

    Attributes:
        folder: the folder.
        plan: the configuration of the trainer.
        lengths: by side, the seconds of each file that its manifest names.
        paths: by side, the real path of each of these files.
        checked: the files that were checked, by real path.
        clips: the names of files that are clips, of one speaker.
    """

    folder: Path
    plan: moshi_config.TrainerPlan
    lengths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    paths: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    checked: dict[str, CheckedFile] = field(default_factory=dict)
    clips: set[str] = field(default_factory=set)

    def name_of(self, path: Path) -> str:
        """Return a path for findings: within the folder where it is there, however a configuration names it."""
        root = self.folder.absolute()
        absolute = path.absolute()
        return str(absolute.relative_to(root) if absolute.is_relative_to(root) else path)

    def stray_manifests(self) -> Iterator[Finding]:
        """Yield a finding on each file that a trainer would take for a manifest."""
        manifests = {os.path.realpath(path) for path in self.plan.manifests.values()}
        for path in sorted(self.folder.rglob("*jsonl")):
            if os.path.realpath(path) not in manifests:
                problem = "its name ends in jsonl: a trainer that is given the folder reads it as a manifest"
                yield error("stray-jsonl", self.name_of(path), problem, "move it elsewhere or rename it")

    def check_manifest(self, side: str, manifest: Path) -> Iterator[Finding]:
        """Check the lines of a manifest, and each file at its first line; yields the findings."""
        shown = self.name_of(manifest)
        try:
            content = read_bytes(inside(manifest.parent, manifest.name), limit=MOST_OWN_BYTES)
        except BadInput as failure:
            yield error("unreadable-manifest", shown, failure.reason, failure.remedy)
            return
        lines = content.decode("utf-8", errors="replace").splitlines()
        if not any(line.strip() for line in lines):
            yield error("empty-manifest", shown, "it names no file", EXPORT_AGAIN)
        for number, line in enumerate(steps(f"files of {shown} checked", lines, len(lines)), 1):
            if not line.strip():
                continue
            try:
                entry = documents.parse_json(line, "")
            except BadInput:
                entry = None
            match entry:
                case {"path": str(name), "duration": int() | float() as seconds} if 0 < seconds < documents.LATEST:
                    pass
                case _:
                    problem = f'line {number} is not {{"path": …, "duration": seconds}}: {line[:60]!r}'
                    yield error("manifest-line", shown, problem, EXPORT_AGAIN)
                    continue
            try:
                # Relative to the manifest, as sphn resolves it for the trainer.
                wav = inside(manifest.parent, name)
                inside(manifest.parent, Path(name).with_suffix(".json"))
            except BadInput as failure:
                yield error("outside-audio", shown, f"line {number}: {failure.reason}", failure.remedy)
                continue
            real_path = os.path.realpath(wav)
            self.lengths[side].append(seconds)
            self.paths[side].append(real_path)
            if real_path not in self.checked:
                checked, findings = check_file(self.name_of(wav), wav, seconds, self.plan)
                yield from findings
                self.checked[real_path] = checked
                if checked.is_clip:
                    self.clips.add(checked.name)

    def listed_too_often(self) -> Iterator[Finding]:
        """Yield a finding on each file that the manifests name too often."""
        try:
            most = training_folder.most_listed(self.folder)
        except BadInput as failure:  # of a mix, whose record says how often
            yield error("unreadable-record", MIX_RECORD, failure.reason, failure.remedy)
            return
        for path, count in Counter(chain(*self.paths.values())).items():
            if count > most or (count > 1 and path in self.paths["eval"]):
                problem = f"the manifests name it {count} times"
                yield error("duplicate", Path(path).name, problem, "name each file once, on one side")

    def add_conversations(self, maker: TableMaker) -> Finding | None:
        """Add the conversations of our export to the tables; returns the finding on all of them, if any."""
        try:
            about = training_folder.about_conversations(self.folder)
            timed = {name: training_folder.timed_conversation(name, talk) for name, talk in about.items()}
        except BadInput as failure:
            return error("unreadable-about", ABOUT, f"it can't be read ({failure.reason})", EXPORT_AGAIN)
        splits: dict[str, set[str]] = defaultdict(set)
        of_clips = set[str]()  # `dailytalk corpus` has divided these, and has said why a speaker is in both
        for name, talk in about.items():
            speakers = talk.kept_speakers or [""]
            for speaker in filter(None, speakers):
                splits[speaker].add(talk.split)
                if talk.clip:
                    of_clips.add(speaker)
            measures = talk.measures or {}
            row: dict[str, object] = {key: measures[key] for key in measures if key in CONVERSATION_MEASURES}
            row |= asdict(talk)
            row["conversation_id"] = name
            row["kept_speakers"] = [speaker or None for speaker in speakers]
            row["voices"] = [voice for voice in talk.voices if voice]
            row["talk"] = bool(talk.talk)
            row["clip"] = bool(talk.clip)
            if talk.clip:  # of one speaker, who takes no turns
                self.clips.update(talk.files)
                maker.add_known(row)
            else:
                row |= measure_turns(timed[name], self.plan.duration_sec)
                maker.add_known(row | {"turn_taking": timed[name].sides()})
        shared = sorted(speaker for speaker in splits if len(splits[speaker]) > 1)
        if not shared:
            return None
        problem = f"{len(shared)} of {len(splits)} kept speakers are in train and in eval, such as {shared[0]}"
        remedy = "read the eval loss with care, or add conversations of others"
        severity: Severity = "note" if of_clips.issuperset(shared) else "doubtful"
        return advice("speaker-in-both", ".", problem, remedy, severity)

    def silent_channels(self) -> Iterator[Finding]:
        """Yield one advice on all conversations, and one on all clips, which are of one speaker."""
        for is_clip in (False, True):
            files = [file for file in self.checked.values() if (file.name in self.clips) == is_clip]
            silent = [file.name for file in files if file.is_silent_right]
            problem = "the right channel is silent"
            if len(silent) > 1:
                problem = (
                    f"the right channel of {len(silent)} of {len(files)} files is silent, such as {silent[0]}"
                )
            problem += ": Moshi learns to talk on, not to listen"
            shown = silent[0] if len(silent) == 1 else "."
            remedy = "leave them out"
            if is_clip:
                remedy = "run dailytalk corpus with --prompt-channel"
                settings = read_run(self.folder.parent).settings
                if len(silent) < len(files) or settings.get("prompt_channel"):
                    remedy = "add a neutral line of another speaker, which their prompt needs, or leave them out"
            if silent:
                yield advice("silent-right", shown, problem, remedy, "note" if is_clip else "doubtful")

    def unnamed_audio(self, prompts: str) -> Finding | None:
        """Return advice on WAV files that no manifest names, except in the folder `prompts`."""
        if not self.checked:
            return None
        wavs = sorted(self.folder.rglob("*.wav"))
        if prompts:
            wavs = [wav for wav in wavs if wav.parent != self.folder / prompts]
        unnamed = [wav for wav in wavs if os.path.realpath(wav) not in self.checked]
        if not unnamed:
            return None
        problem = f"{counted(len(unnamed), 'WAV file')} in no manifest, such as {self.name_of(unnamed[0])}"
        return advice("unnamed-audio", ".", problem, "delete them, or name them")

    def needless_padding(self) -> Finding | None:
        """Return advice on a window that makes over 10 % more padding than the best one."""
        lengths = [*chain(*self.lengths.values())]
        if not lengths:
            return None
        best = moshi_config.window_seconds(lengths)
        share = moshi_config.padding(lengths, self.plan.duration_sec)
        least = moshi_config.padding(lengths, best)
        if share - least <= 0.1:
            return None
        problem = f"duration_sec {self.plan.duration_sec:g} makes {share:.0%} of the windows padding"
        remedy = f"set duration_sec to {best}, which makes it {least:.0%}"
        return advice("padding", moshi_config.CONFIG, problem, remedy)
