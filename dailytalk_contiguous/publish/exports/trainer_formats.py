"""Layouts of conversations for NeMo and lhotse, WebDataset, and trainers of speech synthesis.

lhotse's Shar: `train/` and `eval/`, each read by `CutSet.from_shar(in_dir=…)`. For NeMo's `DuplexS2SDataset` the
recording is the user, and the custom field `target_audio` the agent; for others the recording is both channels.

WebDataset: `train-NUMBER.tar` and `eval-NUMBER.tar` with `KEY.wav` (stereo) and `KEY.json`, the row.

Trainers of synthesis read mono, and open paths from where they are started: these are absolute. An entry is an
utterance for sesame-finetune (`metadata_SIDE.json`), and a conversation, mixed, for MOSS-TTSD and VibeVoice
(`dialogues_SIDE.jsonl`: `train.jsonl` is Moshi's).
"""

import gzip
import re
import tarfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import TypedDict

import numpy as np

from dailytalk_contiguous.core.documents import with_null
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import BUILT, LABELLED
from dailytalk_contiguous.core.records.utterance import heard_utterances
from dailytalk_contiguous.core.sound.samples import Pcm, encoded_sound, mixed_down
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports import prompts
from dailytalk_contiguous.publish.exports.finished_conversation import ConversationUtterance, FinishedTalk
from dailytalk_contiguous.publish.exports.moshi_folder import PieceSettings, piece_path, trained_pieces
from dailytalk_contiguous.publish.items import ABOUT
from dailytalk_contiguous.store.files import file_name, json_document, json_text

#: Bytes of a shard of sound, at which the next one begins.
SHARD_BYTES = 1_000_000_000


def _key(item: FinishedTalk) -> str:
    """A file name for a conversation, without dots: readers take what follows the first one for a kind of file."""
    return file_name(item.id.replace(".", "\0"))


def _sound_members(key: str, pcm: Pcm, sample_rate: int, about: object) -> bytes:
    """Members of a tar: a WAV, and JSON about it; the same bytes at any time and for any user."""
    tar: list[bytes] = []
    for kind, data in ("wav", encoded_sound(pcm, sample_rate, "WAV")), ("json", json_text(about).encode()):
        header = tarfile.TarInfo(f"{key}.{kind}")
        header.size = len(data)
        tar += header.tobuf(), data, bytes(-len(data) % tarfile.BLOCKSIZE)
    return b"".join(tar)


def _write_parts(
    export: exports.Export, item: FinishedTalk, parts: Mapping[str, bytes]
) -> Iterator[exports.FileEntry]:
    """Write the parts of a conversation for each of its shards, by the names of these without the side.

    Sides are divided when all is written, so each part is a file of its own until then: members of a tar without
    the tar's end, or a gzip member. Such files one after another are a whole one.
    """
    names = {}
    largest = 0
    for number, (shard, content) in enumerate(parts.items()):
        names[shard] = f"parts/{_key(item)}.{number}"
        export.target.write_bytes(names[shard], content)
        largest = max(largest, len(content))
    yield exports.FileEntry((names, largest), item.duration)


def finish_shards(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    prompts.note_personas(export)
    for side, entries in lists.items():
        shards: list[list[dict[str, str]]] = []
        size = 0
        for entry in entries:
            names, length = entry.line
            if not shards or size + length > SHARD_BYTES:
                shards.append([])
                size = 0
            shards[-1].append(names)
            size += length
        for number, members in enumerate(shards):
            for shard in members[0]:
                end = bytes(2 * tarfile.BLOCKSIZE) if shard.endswith(".tar") else b""
                parts = [names[shard] for names in members]
                export.target.join(side + shard.format(number), parts, end)
                export.target.remove(parts)
    about = {name: {"split": side} for name, side in export.side.items()}
    return {ABOUT: json_document(about)}


#: Hz of the user as NeMo reads it.
USER_RATE = 16000

#: Hz of the agent. NeMo resamples the user alone, so this one has to be right.
AGENT_RATE = 22050


#: Seconds of a frame of NeMo's duplex speech-to-text.
TEXT_FRAME = 0.08

_FRAME_MARK = re.compile(r"<\|\d+\|>")


#: A word in lhotse's alignments: its text, start and length in seconds, and no score.
AlignmentItem = tuple[str, float, float, None]


class Supervision(TypedDict):
    """An utterance in lhotse's terms; `start` and `duration` are seconds."""

    id: str
    recording_id: str
    speaker: str
    channel: int
    text: str
    language: str | None
    start: float
    duration: float
    custom: dict[str, str]
    alignment: dict[str, list[AlignmentItem]]


def framed_text(words: Iterable[AlignmentItem], start: float) -> str:
    """Words (text, start and length in seconds) of an utterance as NeMo's duplex speech-to-text reads them.

    Each stands between the frames of its start and its end, which count from the utterance's `start` in seconds.
    NeMo's own aligner writes them so (`speechlm2/data/force_align.py`). Raises BadInput for a word that is such a
    mark.

    >>> framed_text([("Hey,", 2.0, 0.3, None), ("you", 2.41, 0.1, None)], 1.9)
    '<|1|> Hey, <|5|> <|6|> you <|7|>'
    """
    framed = []
    for text, begin, length, *_ in words:
        if _FRAME_MARK.search(text):
            raise BadInput(f"the word {text!r} holds a mark of time", "correct its transcript")
        first = int(max(0.0, begin - start) / TEXT_FRAME + 1e-6)
        last = int(max(0.0, begin + length - start) / TEXT_FRAME + 1e-6)
        word = "".join(text.split())
        framed.append(f"<|{first}|> {word} <|{last}|>")
    return " ".join(framed)


def _supervisions(
    item: FinishedTalk, names: tuple[str, str], channels: tuple[int, int], framed: bool = False
) -> list[Supervision]:
    """Utterances with text, each with the words from its start on; the agent's name and channel come first.

    With `framed` the text of the other speaker says in which frames its words are.
    """
    key = _key(item)
    supervisions = []
    for main, name, channel in zip((True, False), names, channels, strict=True):
        utterances = [part for part in item.utterances if part.main == main and part.text.strip()]
        starts = [utterance.start for utterance in utterances]
        words = defaultdict[int, list[AlignmentItem]](list)
        for word in item.words:
            is_main = word.side == item.main
            if is_main == main:
                index = max(0, bisect_right(starts, word.middle) - 1)
                length = word.end - word.start
                words[index].append((word.text, word.start, length, None))
        side = 0 if main else 1
        for number, utterance in enumerate(utterances):
            text = utterance.text.strip()
            if framed and not main and words[number]:
                text = framed_text(words[number], utterance.start)
            supervision: Supervision = {
                "id": f"{key}-{side}-{number:04d}",
                "recording_id": key,
                "speaker": name,
                "channel": channel,
                "text": text,
                "language": item.language,
                "start": utterance.start,
                "duration": utterance.end - utterance.start,
                "custom": {"tag": utterance.tag, "event": utterance.event},
                "alignment": {"word": words[number]},
            }
            supervisions.append(supervision)
    return sorted(supervisions, key=itemgetter("start", "id"))


def _write_cut(
    export: exports.Export,
    item: FinishedTalk,
    sounds: Mapping[str, tuple[Pcm, int]],
    fields: Mapping[str, object],
) -> Iterator[exports.FileEntry]:
    """Write a cut and its sounds, samples and Hz by field; `fields`: those that do not follow from these."""
    key = _key(item)
    text = prompts.text_prompt(export, item)
    parts = {}
    recordings = {}
    for field, (pcm, rate) in sounds.items():
        n_channels = pcm.shape[1] if pcm.ndim > 1 else 1
        channels = list(range(n_channels))
        recordings[field] = {
            "id": key,
            "sources": [{"type": "shar", "channels": channels, "source": ""}],
            "sampling_rate": rate,
            "num_samples": len(pcm),
            "duration": len(pcm) / rate,
            "channel_ids": channels,
        }
        parts[f"/{field}.{{:06d}}.tar"] = _sound_members(key, pcm, rate, recordings[field])
    recording = recordings.pop("recording")
    custom: dict[str, object] = dict(recordings)
    if text:
        custom["system_prompt"] = text
    custom["conversation_id"] = item.id
    cut = {
        "id": key,
        "start": 0,
        "duration": recording["duration"],
        "recording": recording,
        "custom": custom,
        **fields,
    }
    line = json_text(cut).encode()
    parts["/cuts.{:06d}.jsonl.gz"] = gzip.compress(line, mtime=0)
    yield from _write_parts(export, item, parts)


def write_nemo(export: exports.Export, item: FinishedTalk, framed: bool = False) -> Iterator[exports.FileEntry]:
    """Write a cut of the user, with the agent beside it."""
    exports.refuse_mute(item)
    recorded = read_pcm(item.row["audio"], sample_rate=USER_RATE)
    user = recorded[:, 0] if export.settings.swap else recorded[:, 1]
    supervisions = _supervisions(item, names=("agent", "user"), channels=(0, 0), framed=framed)
    fields = {"type": "MonoCut", "channel": 0, "supervisions": supervisions}
    agent = item.pcm[:, 0]
    sounds = {"recording": (user, USER_RATE), "target_audio": (agent, item.sample_rate)}
    yield from _write_cut(export, item, sounds, fields)


def write_cuts(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    exports.refuse_mute(item)
    names = (item.main_speaker or "agent", item.other_speaker or "user")
    supervisions = _supervisions(item, names, channels=(0, 1))
    fields = {"type": "MultiCut", "channel": [0, 1], "supervisions": supervisions}
    sounds = {"recording": (item.pcm, item.sample_rate)}
    yield from _write_cut(export, item, sounds, fields)


def write_webdataset(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    # Columns of own stages.
    added = item.row.keys() - LABELLED.keys() - {"problem", "problem_column", "remedy", UNWRITTEN}
    columns = {}
    for name, value in item.row.items():
        if name != "audio" and (name in BUILT or name in added):
            columns[name] = value
    columns["sample_rate"] = item.sample_rate
    columns["duration"] = item.duration
    tar = _sound_members(_key(item), item.pcm, item.sample_rate, with_null(columns))
    yield from _write_parts(export, item, {"-{:06d}.tar": tar})


def write_sesame(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    """Write each speaker's channel, and an entry an utterance: its text, its place, and a number for the voice.

    The trainer learns single utterances, so a number has to mean one voice in the whole folder.
    """
    exports.refuse_mute(item)
    sides = ("agent", "user")
    for number, side in enumerate(sides):
        export.write_sound(f"{side}/{file_name(item.id)}", np.ascontiguousarray(item.pcm[:, number]))
    name = file_name(item.id)
    for utterance in sorted(heard_utterances(item.row), key=itemgetter("start", "end")):
        text = (utterance["text"] or "").strip()
        if not text:
            continue
        side = "agent" if utterance["channel"] == item.main else "user"
        voice = prompts.heard_voice(item, utterance) or f"{side}/{name}"
        speaker = export.about.setdefault(voice, len(export.about))
        line = {
            "text": text,
            "path": _absolute(export, f"{side}/{name}"),
            "start": round(utterance["start"], 6),
            "end": round(utterance["end"], 6),
            "speaker": speaker,
        }
        yield exports.FileEntry(line, utterance["end"] - utterance["start"])


def _absolute(export: exports.Export, name: str) -> str:
    return str(export.target.root.resolve() / f"{name}.wav")


def _write_mixed(
    script: Callable[[Sequence[ConversationUtterance]], str],
    columns: tuple[str, str],
    export: exports.Export,
    item: FinishedTalk,
) -> Iterator[exports.FileEntry]:
    """Write the pieces of a conversation as the mean of both channels, with the script of each."""
    exports.refuse_mute(item)
    utterances = []
    for utterance in item.utterances:
        if utterance.text.strip():
            text = " ".join(utterance.text.split())
            utterances.append(utterance._replace(text=text))
    edges = trained_pieces(item, export.settings.max_length)
    scripts = []
    for first, last in edges:
        inside = []
        for utterance in utterances:
            middle = (utterance.start + utterance.end) / 2 * item.sample_rate
            if first <= middle < last:
                inside.append(utterance)
        scripts.append(script(inside))
    sound_column, text_column = columns
    for number, ((first, last), text) in enumerate(zip(edges, scripts, strict=True)):
        if text:
            name = piece_path("audio", file_name(item.id), number, len(edges))
            export.write_sound(name, mixed_down(item.pcm[first:last]))
            line = {sound_column: _absolute(export, name), text_column: text}
            yield exports.FileEntry(line, (last - first) / item.sample_rate)


def moss_script(said: Sequence[ConversationUtterance]) -> str:
    """Return utterances as MOSS-TTSD reads them: the agent is `[S1]`. Raises BadInput for a text with the mark."""
    for part in said:
        if "[S1]" in part.text or "[S2]" in part.text:
            raise BadInput(f"its text holds the mark of a speaker ({part.text[:40]!r})", "correct its transcript")
    return "".join(f"[S{1 if part.main else 2}]{part.text}" for part in said)


def vibevoice_script(said: Sequence[ConversationUtterance]) -> str:
    """Return utterances as VibeVoice reads them. It renumbers speakers from 0: from 1, both keep their numbers."""
    return "\n".join(f"Speaker {1 if part.main else 2}: {part.text}" for part in said)


def finish_sesame(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    texts: dict[str, exports.FileText] = {}
    for side, entries in lists.items():
        texts[f"metadata_{side}.json"] = json_document([entry.line for entry in entries])
    return texts


_DIALOGUES = {"train": "dialogues_train.jsonl", "eval": "dialogues_eval.jsonl"}

_format = partial(exports.ExportFormat[FinishedTalk], open=exports.open_conversation, sides=exports.TWO_LISTS)
_shards = partial(_format, finish=finish_shards, manifests=(ABOUT,))
_mixed = partial(
    _format,
    loses="times, words, tags, sounds without text",
    checked="a reader written from its source",
    finish=exports.json_lists(**_DIALOGUES),
    manifests=(*_DIALOGUES.values(),),
    settings=PieceSettings(),
    unit="file",
)

TRAINER_FORMATS = (
    _shards(
        "lhotse", "NeMo's duplex speech-to-speech (`DuplexS2SDataset`)",
        "Shar of the user (16 kHz) and the agent (22.05 kHz, `target_audio`); utterances and words of both",
        "names, sounds without text, valence/arousal/dominance, prosody", "lhotse",
        write=write_nemo, sample_rate=AGENT_RATE,
        settings=prompts.PersonaSettings(), prepare=prompts.prepare_personas,
    ),
    _shards(
        "nemo-stt", "NeMo's duplex speech-to-text (`DuplexSTTDataset`)",
        "as `lhotse`; in the user's texts each word stands between the numbers of its frames of 80 ms",
        "names, sounds without text, valence/arousal/dominance, prosody",
        "lhotse, and a reader written from its source",
        write=partial(write_nemo, framed=True), sample_rate=AGENT_RATE,
        settings=prompts.PersonaSettings(), prepare=prompts.prepare_personas,
    ),
    _shards(
        "lhotse-cuts", "lhotse (`CutSet.from_shar`)",
        "Shar of stereo cuts, the agent first; utterances and words of both by name",
        "sounds without text, valence/arousal/dominance, prosody", "lhotse",
        write=write_cuts, settings=prompts.PersonaSettings(), prepare=prompts.prepare_personas,
    ),
    _shards(
        "webdataset", "webdataset, and `datasets` (its builder of that name)",
        "tars of stereo WAV, and the whole row as JSON", "nothing", "datasets, webdataset",
        write=write_webdataset, options=frozenset(),
    ),
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
