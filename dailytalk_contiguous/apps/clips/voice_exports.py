"""Folders that trainers of a voice read: mono clips and lists of their texts, in the forms of six of them.

The lists are lines of fields with `|` between, and no reader of them takes a `|` or a line break inside a field,
so texts have a space instead, and the export counts them. If the reader is one of CSV (Python's or pandas'), a
field with a quotation mark is quoted as in CSV, because the mark would otherwise swallow the lines after it; the
others split lines, and get it as it is.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from dailytalk_contiguous.apps.clips.corpora.own_clips import clips_by_name
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.clip_records import ClipSource, Labels
from dailytalk_contiguous.core.records.conversation import Conversation, Utterance, or_none
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.sound.samples import Pcm, mixed_down
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.store.files import file_name

#: Texts that pandas reads as a missing value, with which Coqui TTS fails hours later (`na_values` of `read_csv`).
_MISSING = frozenset(
    """
    #N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

_READABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class VoiceClip(NamedTuple):
    """A clip to train a voice on.

    Attributes:
        name: of the file of its sound.
        voice: its speaker's name, or its replacement.
        entry: its entry in a whisper.json, as a person may have written it; None without one.
        path: of its sound under the folder, without ending.
    """

    name: str
    voice: str
    language: str | None
    text: str
    entry: Mapping[str, object] | None
    pcm: Pcm
    path: str = ""


class VoiceClips(NamedTuple):
    """The clips of a row: one, or of a conversation each utterance that is a person's own."""

    clips: list[VoiceClip]

    @property
    def apart(self) -> tuple[str, ...]:
        return tuple({clip.voice: None for clip in self.clips})


@dataclass(frozen=True)
class VoiceList:
    """The form of the lists of a trainer of voices.

    Attributes:
        name: of the format. reader: the trainer. checked: what reads it back in the tests. sample_rate: in Hz.
        fields: templates of the fields of a clip's line, of its `name`, `path`, `voice`, `language` and `text`, of
            the `root` of the folder, and `speaker`, the voice if there are several; an empty one is left out.
        files: the file of each side; one that evaluates on a share itself has `train` alone.
        audio: the folder of the sound. header: the first line.
        is_csv: whether the reader is one of CSV. is_pandas: whether it is pandas, to which some texts are missing.
        languages: those that it takes; empty for all.
        with_json: whether a whisper.json of the clips is beside the lists.
    """

    name: str
    reader: str
    checked: str
    sample_rate: int
    fields: tuple[str, ...]
    files: Mapping[str, str]
    audio: str = "wavs"
    header: tuple[str, ...] = ()
    is_csv: bool = False
    is_pandas: bool = False
    languages: tuple[str, ...] = ()
    with_json: bool = False

    def refusal(self, clip: VoiceClip) -> str:
        """Why the trainer can't take a clip; empty if it can."""
        if self.is_pandas and clip.text in _MISSING:
            return f"its text {clip.text!r} is a missing value to pandas"
        if self.languages and clip.language not in self.languages:
            return f"its language is {clip.language}, not one of {', '.join(self.languages)}"
        return ""

    def write(self, export: exports.Export, item: VoiceClips) -> Iterator[exports.FileEntry]:
        refused = Counter[str]()
        for clip in item.clips:
            refusal = self.refusal(clip)
            if refusal:
                refused[refusal] += 1
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
            yield exports.FileEntry(written, seconds)
        if refused.total() == len(item.clips):
            raise BadInput(next(iter(refused)), "correct it where the clip has it, or leave the clip out")
        export.left_out += refused

    def finish(self, export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
        clips: list[VoiceClip] = [entry.line for entries in lists.values() for entry in entries]
        has_several = len({clip.voice for clip in clips}) > 1
        root = export.target.root.resolve()
        texts: dict[str, exports.FileText] = {}
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

    def as_format(self) -> exports.ExportFormat[VoiceClips]:
        manifests = list(self.files.values())
        if self.with_json:
            manifests.append(whisper_json.WHISPER_JSON)
        return exports.ExportFormat(
            self.name,
            reader=self.reader,
            holds="mono clips, and a list of their texts and speakers",
            loses="emotions, tags, prosody, times of words",
            checked=self.checked,
            open=open_clips,
            write=self.write,
            finish=self.finish,
            manifests=tuple(manifests),
            sides=exports.TWO_LISTS if "eval" in self.files else exports.ONE_LIST,
            options=frozenset(),
            sample_rate=self.sample_rate,
            noun="clip",
            unit="clip",
            prepare=refuse_separators,
            source=voice_folder,
        )


def refuse_separators(out: Path, settings: exports.ExportSettings) -> None:
    if "|" in str(out.resolve()) or "\n" in str(out.resolve()):
        raise DailytalkError(f"--out {str(out)!r} can't be in a list of the trainer", "choose another folder")


def _plain(text: str, export: exports.Export) -> str:
    """A text with single spaces, and without what ends a field of a list, which is counted."""
    for mark, name in (("|", "|"), ("\0", "NUL")):
        count = text.count(mark)
        if count:
            reason = f"{name} in texts and names ends a field of a list, so a space replaces it"
            export.left_out[reason] += count
    words = text.replace("|", " ").replace("\0", " ").split()
    return " ".join(words)


def open_clips(row: Row, export: exports.Export) -> VoiceClips:
    """The clip of a row of `voice_folder`, or those of a row of `open_items`. Raises BadInput."""
    if "audio_file" in row:
        clip = VoiceClip(
            name=PurePosixPath(row["audio_file"]).stem,
            voice=row["speaker"].removeprefix("clips/"),
            language=row["language"],
            text=row["text"] or "",
            entry=row["entry"],
            pcm=mixed_down(read_pcm(row["audio"], sample_rate=export.sample_rate)),
        )
        return VoiceClips([_named_clip(clip, row["conversation_id"], export)])
    item = exports.seen_talk(row, export)
    talk = item.talk
    labels: Labels | None = talk.extra.get("labels")
    if labels:
        utterance = talk.utterances[0]
        corpus = labels.get("corpus") or ""
        person = talk.person("left") or corpus or "speaker"
        clip = VoiceClip(
            name=PurePosixPath(talk.id).name,
            voice=person.removeprefix(f"{corpus}/"),
            language=talk.main_language,
            text=or_none(utterance.text_raw) or utterance.text,
            entry=None,
            pcm=item.pcm[round(utterance.start * export.sample_rate) :, 0],
        )
        return VoiceClips([_named_clip(clip, talk.id, export)])
    clips = []
    for utterance in own_utterances(talk, export):
        text = _plain(utterance.text, export)
        if text:
            clip = own_clip(item, utterance, utterance.span, text)
            clips.append(clip._replace(name=file_name(clip.name), voice=_plain(clip.voice, export)))
    return VoiceClips(refuse_nobody(clips))


def _named_clip(clip: VoiceClip, name: str, export: exports.Export) -> VoiceClip:
    """A clip whose text and voice have no marks of lists, under a name that no other clip has.

    It is its own name where that is safe everywhere and free, whatever the case, and else that of the row `name`.
    Raises BadInput for a clip without text.
    """
    text = _plain(clip.text, export)
    if not text:
        raise BadInput("it has no text", "run dailytalk transcribe, or leave it out")
    is_free = _READABLE.fullmatch(clip.name) and clip.name.casefold() not in export.about
    file = clip.name if is_free else file_name(name)
    return clip._replace(name=file, text=text, voice=_plain(clip.voice, export))


def own_utterances(talk: Conversation, export: exports.Export) -> list[Utterance]:
    """The utterances that were not resynthesised, each with an id; the others are counted."""
    own: list[Utterance] = []
    for number, utterance in enumerate(talk.utterances):
        if utterance.status == "spoken":
            export.left_out["resynthesised utterances"] += 1
        else:
            name = utterance.id or f"{talk.id}/{utterance.channel}/{number:04d}"
            own.append(replace(utterance, id=name))
    return own


def own_clip(item: exports.SeenTalk, utterance: Utterance, span: Span, text: str) -> VoiceClip:
    """The clip of an utterance, whose sound is that of a span of its conversation."""
    talk = item.talk
    voice = talk.person(utterance.channel) or f"{talk.recording_id} {utterance.channel}"
    first = round(span.start * talk.sample_rate)
    last = round(span.end * talk.sample_rate)
    pcm = item.pcm[first:last, CHANNELS.index(utterance.channel)]
    return VoiceClip(utterance.id, voice, talk.main_language, text, None, pcm)


def refuse_nobody(clips: list[VoiceClip]) -> list[VoiceClip]:
    """The clips of a conversation. Raises BadInput where there are none."""
    if not clips:
        reason = "nobody says anything in it in a voice of their own"
        raise BadInput(reason, "keep the voices of the recording: dailytalk speak --revoice none")
    return clips


def voice_folder(folder: Path) -> Iterator[Row] | None:
    """The clips of a folder with a whisper.json, as the corpus `clips` reads them, each with its `entry`.

    None of any other. Raises DailytalkError for a link that leads out.
    """
    if not (folder / whisper_json.WHISPER_JSON).exists():
        return None
    clips, path = clips_by_name(folder)
    entries = whisper_json.read_whisper_json(path).entries if path else {}
    return _rows_of(clips, entries)


def _rows_of(clips: Mapping[str, ClipSource], entries: Mapping[str, object]) -> Iterator[Row]:
    """Rows as `open_clips` takes them, of clips by the names of their files."""
    usable = [name for name, clip in clips.items() if not clip["problem"]]
    keys = whisper_json.match_names(entries, usable).keys
    for name, clip in clips.items():
        row: Row = {**clip}
        row["conversation_id"] = clip["id"]
        row["audio_file"] = name
        key = keys.get(name, "")
        row["entry"] = entries.get(key)
        yield row


#: How most of them are checked.
_FROM_SOURCE = "a reader written from its source"

#: As LJSpeech's own README has it.
_LJSPEECH = VoiceList(
    "ljspeech",
    reader="whatever reads LJSpeech",
    checked="a reader written from its README",
    sample_rate=22050,
    fields=("{name}", "{text}", "{text}"),
    files={"train": "metadata.csv"},
)

#: As `coqui` in TTS/tts/datasets/formatters.py of Coqui TTS reads it, at the rate of `XttsAudioConfig`.
_XTTS = VoiceList(
    "xtts",
    reader="Coqui TTS (XTTS)",
    checked="pandas",
    sample_rate=22050,
    fields=("{path}.wav", "{text}", "{voice}"),
    files={"train": "metadata_train.csv", "eval": "metadata_eval.csv"},
    header=("audio_file", "text", "speaker_name"),
    is_csv=True,
    is_pandas=True,
)

#: As `ljspeech_dataset` in piper_train/preprocess.py reads it, at the rate of Piper's medium and high voices. A
#: third field is the speaker.
_PIPER = VoiceList(
    "piper",
    reader="Piper",
    checked=_FROM_SOURCE,
    sample_rate=22050,
    fields=("{name}", "{speaker}", "{text}"),
    files={"train": "metadata.csv"},
    is_csv=True,
)

#: As 1-get-text.py and 2-get-hubert-wav32k.py in prepare_datasets read it. GPT-SoVITS opens paths as they are,
#: from whatever folder it runs in, and leaves out other languages with a warning.
_GPT_SOVITS = VoiceList(
    "gpt-sovits",
    reader="GPT-SoVITS",
    checked=_FROM_SOURCE,
    sample_rate=32000,
    fields=("{root}/{path}.wav", "{voice}", "{language}", "{text}"),
    files={"train": "metadata.list"},
    languages=("en", "ja", "ko", "yue", "zh"),
)

#: As train/datasets/prepare_csv_wavs.py reads it, at `target_sample_rate` of F5's models. Some versions of F5-TTS
#: take whole paths only.
_F5 = VoiceList(
    "f5",
    reader="F5-TTS",
    checked=_FROM_SOURCE,
    sample_rate=24000,
    fields=("{root}/{path}.wav", "{text}"),
    files={"train": "metadata.csv"},
    header=("audio_file", "text"),
    is_csv=True,
)

#: As `load_filepaths_and_text` and DLAS's paired_voice_audio read it.
_TORTOISE = VoiceList(
    "tortoise",
    reader="Tortoise (DLAS)",
    checked=_FROM_SOURCE,
    sample_rate=22050,
    fields=("{path}.wav", "{text}"),
    files={"train": "train.txt", "eval": "validation.txt"},
    audio="audio",
    with_json=True,
)

_VOICE_LISTS = (_LJSPEECH, _XTTS, _PIPER, _GPT_SOVITS, _F5, _TORTOISE)
VOICES = tuple(voice_list.as_format() for voice_list in _VOICE_LISTS)
