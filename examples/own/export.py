"""Clips for Orpheus-TTS: `dailytalk export work --format export.py --out clips`, then `load_dataset("clips")`."""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from dailytalk_contiguous import setting
from dailytalk_contiguous.core.records.finding import error
from dailytalk_contiguous.machine.read_documents import json_lines
from dailytalk_contiguous.publish.checks.findings import loudness_of_wav
from dailytalk_contiguous.publish.exports.exporting import ExportFormat, ExportSettings, FileEntry, json_lists

TAGS = ("laugh", "chuckle", "sigh", "cough", "yawn")


@dataclass(frozen=True)
class ClipSettings(ExportSettings):
    named: bool = setting(True, "The speaker's name before each text.")
    longest_seconds: float = setting(30.0, "Longer clips are left out.", option="longest", unit="s")


def tagged_text(talk, utterance):
    parts = [(word.middle, word.word) for word in utterance.finished.words_among(talk.finished.alignments)]
    for sound in talk.sounds:
        if sound.channel == utterance.channel and utterance.start <= sound.start < utterance.end:
            parts += [(sound.start, f"<{tag}>") for tag in TAGS if tag in (sound.label or "")]
    return " ".join(text for _, text in sorted(parts))


def write_clips(export, item):
    for number, utterance in enumerate(item.talk.utterances):
        seconds = utterance.end - utterance.start
        text = tagged_text(item.talk, utterance)
        if utterance.finished.status == "spoken" or not text:
            export.left_out["resynthesised, or without words"] += 1
        elif seconds > export.settings.longest_seconds:
            export.left_out["longer than --longest"] += 1
        else:
            # No name of a conversation: "test" in one would be a split.
            name = f"wavs/{uuid5(NAMESPACE_URL, f'{item.talk.conversation_id}/{number}')}"
            export.write_sound(name, item.sound(utterance.span, utterance.channel))
            if export.settings.named:
                text = f"{item.talk.person(utterance.channel) or utterance.channel}: {text}"
            yield FileEntry({"file_name": f"{name}.wav", "text": text}, seconds)


def check_clips(folder, limits):
    findings = []
    lines = [*json_lines(folder / "metadata.jsonl")]
    for number, line in lines:
        if not line["text"]:
            findings.append(error("empty-text", f"metadata.jsonl:{number}", "it has no text", "export it again"))
        findings += loudness_of_wav(folder, line["file_name"])[1]
    return findings, {"files": len(lines)}


FORMAT = ExportFormat(
    "orpheus", reader="Orpheus-TTS",
    holds="mono clips, and their texts with tags for sounds", loses="resynthesised utterances, style tags, times",
    checked="datasets (audiofolder)", settings=ClipSettings(), unit="clip",
    write=write_clips, finish=json_lists(train="metadata.jsonl"), manifests=("metadata.jsonl",), check=check_clips,
)  # fmt: skip
