"""Lines of the main speaker for a trainer: `dailytalk export work --format export.py --out lines`."""

from dataclasses import dataclass

from dailytalk_contiguous import setting
from dailytalk_contiguous.core.records.finding import error
from dailytalk_contiguous.machine.read_documents import json_lines
from dailytalk_contiguous.publish.checks.findings import loudness_of_wav
from dailytalk_contiguous.publish.exports.exporting import ExportFormat, ExportSettings, FileEntry, json_lists
from dailytalk_contiguous.store.files import file_name


@dataclass(frozen=True)
class LineSettings(ExportSettings):
    upper: bool = setting(False, "Texts in capitals.", panel="result")
    shortest_seconds: float = setting(
        0.0, "Lines that last less are left out.", option="shortest", panel="result", unit="s"
    )


def write_lines(export, item):
    main = [utterance for utterance in item.talk.utterances if utterance.channel == "left"]
    for number, utterance in enumerate(main):
        seconds = utterance.end - utterance.start
        if seconds < export.settings.shortest_seconds:
            export.left_out["shorter than --shortest"] += 1
            continue
        name = f"audio/{file_name(item.talk.id)}-{number:04d}"
        export.write_sound(name, item.sound(utterance.span, "left"))
        text = utterance.text.upper() if export.settings.upper else utterance.text
        yield FileEntry({"path": f"{name}.wav", "text": text}, seconds)


def check_lines(folder, limits):
    findings = []
    seconds = 0.0
    lines = [*json_lines(folder / "lines.jsonl")]
    for number, line in lines:
        if not line["text"]:
            findings.append(error("empty-text", f"lines.jsonl:{number}", "it has no text", "export it again"))
        loudness, unreadable = loudness_of_wav(folder, line["path"])
        findings += unreadable
        if loudness:
            seconds += loudness.seconds
    return findings, {"files": len(lines), "hours": round(seconds / 3600, 7)}


FORMAT = ExportFormat(
    "lines",
    reader="a trainer of one voice",
    holds="a mono WAV for each utterance of the main speaker, and its text",
    loses="the other speaker, times",
    checked="nobody's code",
    write=write_lines,
    finish=json_lists(train="lines.jsonl"),
    manifests=("lines.jsonl",),
    settings=LineSettings(),
    sample_rate=22050,
    unit="line",
    check=check_lines,
)
