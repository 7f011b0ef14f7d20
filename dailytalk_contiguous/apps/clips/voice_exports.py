"""Folders that trainers of a voice read: mono clips and lists of their texts, in the forms of six of them.

The lists are lines of fields with `|` between, and no reader of them takes a `|` or a line break inside a field,
so texts have a space instead, and the export counts them. If the reader is one of CSV (Python's or pandas'), a
field with a quotation mark is quoted as in CSV, because the mark would otherwise swallow the lines after it; the
others split lines, and get it as it is.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dailytalk_contiguous.apps.clips.voice_clips import VoiceClip, VoiceClips, open_clips, voice_folder
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.sources import whisper_json

#: Texts that pandas reads as a missing value, with which Coqui TTS fails hours later (`na_values` of `read_csv`).
_MISSING = frozenset(
    """
    #N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)


@dataclass(frozen=True)
class VoiceList:
    """The form of the lists of a trainer of voices.

    Attributes:
        fields: templates of the fields of a clip's line, of its `name`, `path`, `voice`, `language` and `text`, of
            the `root` of the folder, and `speaker`, the voice if there are several; an empty one is left out.
        files: the file of each side; one that evaluates on a share itself has `train` alone.
        audio: the folder of the sound. header: the first line.
        is_csv: whether the reader is one of CSV. is_pandas: whether it is pandas, to which some texts are missing.
        languages: those that it takes; empty for all.
        with_json: whether a whisper.json of the clips is beside the lists.
    """

    fields: tuple[str, ...]
    files: Mapping[str, str]
    audio: str = "wavs"
    header: tuple[str, ...] = ()
    is_csv: bool = False
    is_pandas: bool = False
    languages: tuple[str, ...] = ()
    with_json: bool = False

    def write(self, export: exporting.Export, item: VoiceClips) -> Iterator[exporting.FileEntry]:
        refused = Counter[str]()
        for clip in item.clips:
            if self.is_pandas and clip.text in _MISSING:
                refused[f"its text {clip.text!r} is a missing value to pandas"] += 1
                continue
            if self.languages and clip.language not in self.languages:
                refused[f"its language is {clip.language}, not one of {', '.join(self.languages)}"] += 1
                continue
            seconds = len(clip.pcm) / export.sample_rate
            path = f"{self.audio}/{clip.name}"
            entry = clip.entry
            if not entry:
                whole = {"id": 0, "start": 0.0, "end": round(seconds, 4), "text": clip.text}
                entry = {"text": clip.text, "language": clip.language, "segments": [whole]}
            export.write_sound(path, clip.pcm)
            export.about[clip.name.casefold()] = entry
            no_samples = np.empty(0, np.int16)
            written = clip._replace(path=path, entry=entry, pcm=no_samples)
            yield exporting.FileEntry(written, seconds)
        if refused.total() == len(item.clips):
            raise BadInput(next(iter(refused)), "correct it where the clip has it, or leave the clip out")
        export.left_out += refused

    def finish(self, export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
        clips: list[VoiceClip] = [entry.line for entries in lists.values() for entry in entries]
        has_several = len({clip.voice for clip in clips}) > 1
        root = export.target.root.resolve()
        texts: dict[str, exporting.FileText] = {}
        for side, entries in lists.items():
            rows = [self.header] if self.header else []
            for entry in entries:
                clip = entry.line
                values = clip._asdict()
                values["root"] = root
                values["speaker"] = clip.voice if has_several else ""
                fields = [template.format_map(values) for template in self.fields]
                rows.append(tuple(filter(None, fields)))
            written = io.StringIO()
            if self.is_csv:
                csv.writer(written, delimiter="|", lineterminator="\n").writerows(rows)
            else:
                written.writelines("|".join(row) + "\n" for row in rows)
            texts[self.files[side]] = written.getvalue()
        if self.with_json:
            entries_by_file = {f"{clip.name}.wav": clip.entry for clip in clips}
            texts[whisper_json.WHISPER_JSON] = whisper_json.whisper_json_text(entries_by_file)
        return texts


def refuse_separators(out: Path, settings: exporting.ExportSettings) -> None:
    if "|" in str(out.resolve()) or "\n" in str(out.resolve()):
        raise DailytalkError(f"--out {str(out)!r} can't be in a list of the trainer", "choose another folder")


def _format(name: str, reader: str, checked: str, sample_rate: int, lists: VoiceList) -> exporting.ExportFormat:
    manifests = [*lists.files.values()]
    if lists.with_json:
        manifests.append(whisper_json.WHISPER_JSON)
    return exporting.ExportFormat(
        name,
        reader=reader,
        holds="mono clips, and a list of their texts and speakers",
        loses="emotions, tags, prosody, times of words",
        checked=checked,
        open=open_clips,
        write=lists.write,
        finish=lists.finish,
        manifests=tuple(manifests),
        sides=tuple(lists.files),
        options=frozenset(),
        sample_rate=sample_rate,
        noun="clip",
        unit="clip",
        prepare=refuse_separators,
        source=voice_folder,
    )


_FROM_SOURCE = "a reader written from its source"

VOICES = (
    # As LJSpeech's own README has it.
    _format(
        "ljspeech", "whatever reads LJSpeech", "a reader written from its README", 22050,
        VoiceList(("{name}", "{text}", "{text}"), {"train": "metadata.csv"}),
    ),
    # As `coqui` in TTS/tts/datasets/formatters.py of Coqui TTS reads it, at the rate of `XttsAudioConfig`.
    _format(
        "xtts", "Coqui TTS (XTTS)", "pandas", 22050,
        VoiceList(
            ("{path}.wav", "{text}", "{voice}"), {"train": "metadata_train.csv", "eval": "metadata_eval.csv"},
            header=("audio_file", "text", "speaker_name"), is_csv=True, is_pandas=True,
        ),
    ),
    # As `ljspeech_dataset` in piper_train/preprocess.py reads it, at the rate of Piper's medium and high voices. A
    # third field is the speaker.
    _format(
        "piper", "Piper", _FROM_SOURCE, 22050,
        VoiceList(("{name}", "{speaker}", "{text}"), {"train": "metadata.csv"}, is_csv=True),
    ),
    # As 1-get-text.py and 2-get-hubert-wav32k.py in prepare_datasets read it. GPT-SoVITS opens paths as they are,
    # from whatever folder it runs in, and leaves out other languages with a warning.
    _format(
        "gpt-sovits", "GPT-SoVITS", _FROM_SOURCE, 32000,
        VoiceList(
            ("{root}/{path}.wav", "{voice}", "{language}", "{text}"), {"train": "metadata.list"},
            languages=("en", "ja", "ko", "yue", "zh"),
        ),
    ),
    # As train/datasets/prepare_csv_wavs.py reads it, at `target_sample_rate` of F5's models. Some versions of
    # F5-TTS take whole paths only.
    _format(
        "f5", "F5-TTS", _FROM_SOURCE, 24000,
        VoiceList(
            ("{root}/{path}.wav", "{text}"), {"train": "metadata.csv"}, header=("audio_file", "text"), is_csv=True
        ),
    ),
    # As `load_filepaths_and_text` and DLAS's paired_voice_audio read it.
    _format(
        "tortoise", "Tortoise (DLAS)", _FROM_SOURCE, 22050,
        VoiceList(
            ("{path}.wav", "{text}"), {"train": "train.txt", "eval": "validation.txt"},
            audio="audio", with_json=True,
        ),
    ),
)  # fmt: skip
