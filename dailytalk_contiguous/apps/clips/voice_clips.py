"""Clips to train a voice on: those of a folder or a corpus, and of a conversation what people say themselves."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dailytalk_contiguous.apps.clips.corpora.own_clips import clips_by_name
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.clip_records import Labels
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.utterance import or_none
from dailytalk_contiguous.core.sound.samples import Pcm, mixed_down
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES, read_pcm
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.store.files import file_name

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
    def split_groups(self) -> tuple[str, ...]:
        return tuple({clip.voice: None for clip in self.clips})


def _plain(text: str, export: exporting.Export) -> str:
    """A text with single spaces, and without what ends a field of a list, which is counted."""
    for mark, name in (("|", "|"), ("\0", "NUL")):
        count = text.count(mark)
        if count:
            reason = f"{name} in texts and names ends a field of a list, so a space replaces it"
            export.left_out[reason] += count
    words = text.replace("|", " ").replace("\0", " ").split()
    return " ".join(words)


def open_clips(row: Row, export: exporting.Export) -> VoiceClips:
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
    item = exporting.seen_talk(row, export)
    talk = item.talk
    labels: Labels | None = talk.finished.extra.get("labels")
    if labels:
        utterance = talk.utterances[0]
        corpus = labels.get("corpus") or ""
        person = talk.person("left") or corpus or "speaker"
        clip = VoiceClip(
            name=PurePosixPath(talk.conversation_id).name,
            voice=person.removeprefix(f"{corpus}/"),
            language=talk.main_language,
            text=or_none(utterance.finished.text_raw) or utterance.text,
            entry=None,
            pcm=item.pcm[round(utterance.start * export.sample_rate) :, 0],
        )
        return VoiceClips([_named_clip(clip, talk.conversation_id, export)])
    clips = []
    for number, utterance in enumerate(talk.utterances):
        if utterance.finished.status == "spoken":
            export.left_out["resynthesised utterances"] += 1
            continue
        text = _plain(utterance.text, export)
        if text:
            clip = VoiceClip(
                name=file_name(
                    utterance.finished.utterance_id or f"{talk.conversation_id}/{utterance.channel}/{number:04d}"
                ),
                voice=_plain(talk.person(utterance.channel) or f"{talk.recording_id} {utterance.channel}", export),
                language=talk.main_language,
                text=text,
                entry=None,
                pcm=item.sound(utterance.span, utterance.channel),
            )
            clips.append(clip)
    if not clips:
        reason = "nobody says anything in it in a voice of their own"
        raise BadInput(reason, "keep the voices of the recording: dailytalk speak --revoice none")
    return VoiceClips(clips)


def _named_clip(clip: VoiceClip, name: str, export: exporting.Export) -> VoiceClip:
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


def voice_folder(folder: Path) -> Iterator[Row] | None:
    """The clips of a folder with a whisper.json, as the corpus `clips` reads them, each with its `entry`.

    None of any other. Raises DailytalkError for a link that leads out, and for sound files without one.
    """
    if not (folder / whisper_json.WHISPER_JSON).exists():
        if any(path.suffix.lower() in AUDIO_SUFFIXES for path in folder.glob("*")):
            reason = f"{folder} holds sound files, and no {whisper_json.WHISPER_JSON} with their texts"
            raise DailytalkError(reason, f"run `dailytalk transcribe {folder}`")
        return None
    clips, path = clips_by_name(folder)
    entries = whisper_json.read_whisper_json(path).entries if path else {}
    usable = [name for name, clip in clips.items() if not clip["problem"]]
    keys = whisper_json.match_names(entries, usable).keys
    rows: list[Row] = []
    for name, clip in clips.items():
        entry = entries.get(keys.get(name, ""))
        rows.append({**clip, "conversation_id": clip["id"], "audio_file": name, "entry": entry})
    return iter(rows)
