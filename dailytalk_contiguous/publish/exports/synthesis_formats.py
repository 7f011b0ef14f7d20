"""Lists of utterances and of conversations for trainers of speech synthesis.

They read mono, and open paths from where they are started: these are absolute. An entry is an utterance for
sesame-finetune (`metadata_SIDE.json`), and a conversation, mixed, for MOSS-TTSD and VibeVoice
(`dialogues_SIDE.jsonl`: `train.jsonl` is Moshi's).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from msgspec.structs import replace

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Utterance
from dailytalk_contiguous.core.sound.samples import mixed_down
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.pieces import PieceSettings, inaudible_spans, trained_pieces
from dailytalk_contiguous.publish.exports.prompts import heard_voice
from dailytalk_contiguous.store.files import file_name, json_document


def write_sesame(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write each speaker's channel, and an entry an utterance: its text, its place, and a number for the voice.

    The trainer learns single utterances, so a number has to mean one voice in the whole folder.
    """
    talk = item.talk
    exporting.refuse_mute(talk)
    name = file_name(talk.id)
    folders = {"left": "agent", "right": "user"}
    for number, folder in enumerate(folders.values()):
        export.write_sound(f"{folder}/{name}", np.ascontiguousarray(item.pcm[:, number]))
    for utterance in talk.utterances:
        text = utterance.text.strip()
        if not text:
            continue
        path = f"{folders[utterance.channel]}/{name}"
        voice = heard_voice(talk, utterance) or path
        line = {
            "text": text,
            "path": _absolute(export, path),
            "start": round(utterance.start, 6),
            "end": round(utterance.end, 6),
            "speaker": export.about.setdefault(voice, len(export.about)),
        }
        yield exporting.FileEntry(line, utterance.end - utterance.start)


def _absolute(export: exporting.Export, name: str) -> str:
    return str(export.target.root.resolve() / f"{name}.wav")


def finish_sesame(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    texts: dict[str, exporting.FileText] = {}
    for side, entries in lists.items():
        texts[f"metadata_{side}.json"] = json_document([entry.line for entry in entries])
    return texts


def _write_mixed(
    script: Callable[[Sequence[Utterance]], str],
    columns: tuple[str, str],
    export: exporting.Export,
    item: exporting.SeenTalk,
) -> Iterator[exporting.FileEntry]:
    """Write the pieces of a conversation as the mean of both channels, with the script of each."""
    talk = item.talk
    exporting.refuse_mute(talk)
    utterances = []
    for utterance in talk.utterances:
        text = " ".join(utterance.text.split())
        if text:
            utterances.append(replace(utterance, text=text))
    pieces = trained_pieces(talk, inaudible_spans(talk), export.settings.max_length_seconds)
    scripts = []
    for piece in pieces:
        inside = []
        for utterance in utterances:
            middle = (utterance.start + utterance.end) / 2 * talk.sample_rate
            if piece.first <= middle < piece.last:
                inside.append(utterance)
        scripts.append(script(inside))
    sound_column, text_column = columns
    for piece, text in zip(pieces, scripts, strict=True):
        if text:
            name = f"audio/{piece.name}"
            pcm = item.pcm[piece.first : piece.last]
            export.write_sound(name, mixed_down(pcm))
            line = {sound_column: _absolute(export, name), text_column: text}
            yield exporting.FileEntry(line, len(pcm) / talk.sample_rate)


def moss_script(utterances: Sequence[Utterance]) -> str:
    """Return utterances as MOSS-TTSD reads them: the agent is `[S1]`. Raises BadInput for a text with the mark."""
    script = ""
    for utterance in utterances:
        text = utterance.text
        if "[S1]" in text or "[S2]" in text:
            raise BadInput(f"its text holds the mark of a speaker ({text[:40]!r})", "correct its transcript")
        script += f"[S1]{text}" if utterance.channel == "left" else f"[S2]{text}"
    return script


def vibevoice_script(utterances: Sequence[Utterance]) -> str:
    """Return utterances as VibeVoice reads them. It renumbers speakers from 0: from 1, both keep their numbers."""
    numbers = {"left": 1, "right": 2}
    return "\n".join(f"Speaker {numbers[utterance.channel]}: {utterance.text}" for utterance in utterances)


_format = partial(exporting.ExportFormat, sides=exporting.TWO_LISTS)
_mixed = partial(
    _format,
    loses="times, words, tags, sounds without text",
    checked="a reader written from its source",
    finish=exporting.json_lists(train="dialogues_train.jsonl", eval="dialogues_eval.jsonl"),
    manifests=("dialogues_train.jsonl", "dialogues_eval.jsonl"),
    settings=PieceSettings(),
    unit="file",
)

SYNTHESIS_FORMATS = (
    _format(
        "sesame-finetune", "sesame-finetune (knottwill), for CSM",
        "mono WAV of each speaker; each utterance with text, times and the number of its voice",
        "who answers whom, words, tags, sounds without text", "a reader written from its source",
        write=write_sesame, finish=finish_sesame, unit="utterance",
        manifests=("metadata_train.json", "metadata_eval.json"),
    ),
    _mixed(
        "moss-ttsd", "MOSS-TTSD (fine-tuning, v0.7)",
        "both speakers mixed; what they say, [S1] the agent and [S2] the user",
        write=partial(_write_mixed, moss_script, ("file_path", "full_transcript")), sample_rate=16000,
    ),
    _mixed(
        "vibevoice", "VibeVoice (fine-tuning, community)",
        "both speakers mixed; what they say, Speaker 1 the agent and Speaker 2 the user",
        write=partial(_write_mixed, vibevoice_script, ("audio", "text")),
    ),
)  # fmt: skip
