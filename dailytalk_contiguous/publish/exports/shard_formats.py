"""Shards of conversations for NeMo and lhotse, and for WebDataset.

lhotse's Shar: `train/` and `eval/`, each read by `CutSet.from_shar(in_dir=…)`. For NeMo's `DuplexS2SDataset` the
recording is the user, and the custom field `target_audio` the agent; for others the recording is both channels.

WebDataset: `train-NUMBER.tar` and `eval-NUMBER.tar` with `KEY.wav` (stereo) and `KEY.json`, the row.
"""

import gzip
import tarfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from operator import itemgetter
from typing import Any

from dailytalk_contiguous.core.records.fields import finite
from dailytalk_contiguous.core.records.schema import BUILT, CHANNELS, LABELLED
from dailytalk_contiguous.core.records.seen import SeenConversation
from dailytalk_contiguous.core.sound.samples import Pcm, encoded_sound
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.exports import exporting, prompts
from dailytalk_contiguous.publish.items import ABOUT
from dailytalk_contiguous.store.files import file_name, json_document, json_text

#: Bytes of a shard of sound, at which the next one begins.
SHARD_BYTES = 1_000_000_000


def _key(talk: SeenConversation) -> str:
    """Return a file name for a conversation, without dots: readers take the text after the first for an ending."""
    return file_name(talk.conversation_id.replace(".", "\0"))


def _sound_members(key: str, pcm: Pcm, sample_rate: int, about: object) -> bytes:
    """Members of a tar: a WAV, and JSON about it; the same bytes at any time and for any user."""
    tar: list[bytes] = []
    for kind, data in ("wav", encoded_sound(pcm, sample_rate, "WAV")), ("json", json_text(about).encode()):
        header = tarfile.TarInfo(f"{key}.{kind}")
        header.size = len(data)
        tar += header.tobuf(), data, bytes(-len(data) % tarfile.BLOCKSIZE)
    return b"".join(tar)


def _write_parts(
    export: exporting.Export, talk: SeenConversation, parts: Mapping[str, bytes]
) -> Iterator[exporting.FileEntry]:
    """Write the parts of a conversation for each of its shards, by the names of these without the side.

    Sides are divided when all is written, so each part is a file of its own until then: members of a tar without
    the tar's end, or a gzip member. Such files one after another are a whole one.
    """
    names = {}
    largest = 0
    for number, (shard, content) in enumerate(parts.items()):
        names[shard] = f"parts/{_key(talk)}.{number}"
        export.target.write_bytes(names[shard], content)
        largest = max(largest, len(content))
    yield exporting.FileEntry((names, largest), talk.duration)


def finish_shards(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    if export.prepared:
        prompts.note_personas(export)
    for side, entries in lists.items():
        shards: dict[str, list[str]] = defaultdict(list)
        number = 0
        size = 0
        for entry in entries:
            names, length = entry.line
            if size and size + length > SHARD_BYTES:
                number += 1
                size = 0
            size += length
            for shard, part in names.items():
                shards[side + shard.format(number)].append(part)
        for name, parts in shards.items():
            end = bytes(2 * tarfile.BLOCKSIZE) if name.endswith(".tar") else b""
            export.target.join(name, parts, end)
            export.target.remove(parts)
    about = {name: {"split": side} for name, side in export.side.items()}
    return {ABOUT: json_document(about)}


#: A word in lhotse's alignments: its text, start and length in seconds, and no score.
AlignmentItem = tuple[str, float, float, None]


def _supervisions(talk: SeenConversation, names: tuple[str, str], is_mono: bool) -> list[dict[str, Any]]:
    """Utterances with text in lhotse's terms, each with the words from its start on.

    `names`: of the speakers, the agent first.
    """
    key = _key(talk)
    supervisions: list[dict[str, Any]] = []
    for channel, side in enumerate(CHANNELS):
        utterances = [utterance for utterance in talk.side(side) if utterance.text.strip()]
        starts = [utterance.start for utterance in utterances]
        words = defaultdict[int, list[AlignmentItem]](list)
        for word in talk.alignments:
            if word.speaker == side:
                index = max(0, bisect_right(starts, word.middle) - 1)
                words[index].append((word.word, word.start, word.end - word.start, None))
        for number, utterance in enumerate(utterances):
            finished = utterance.finished
            supervisions.append(
                {
                    "id": f"{key}-{channel}-{number:04d}",
                    "recording_id": key,
                    "speaker": names[channel],
                    "channel": 0 if is_mono else channel,
                    "text": utterance.text.strip(),
                    "language": talk.main_language,
                    "start": utterance.start,
                    "duration": utterance.end - utterance.start,
                    "custom": {"tag": finished.said_tag or "", "event": finished.event or ""},
                    "alignment": {"word": words[number]},
                }
            )
    return sorted(supervisions, key=itemgetter("start", "id"))


def _write_cut(
    export: exporting.Export,
    item: exporting.SeenTalk,
    sounds: Mapping[str, tuple[Pcm, int]],
    names: tuple[str, str],
) -> Iterator[exporting.FileEntry]:
    """Write a cut and its sounds, samples and Hz by field; `names`: of the speakers, the agent first."""
    exporting.refuse_mute(item.talk)
    key = _key(item.talk)
    parts = {}
    recordings: dict[str, dict[str, Any]] = {}
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
    custom: dict[str, object] = {**recordings}
    text = prompts.text_prompt(export, item)
    if text:
        custom["system_prompt"] = text
    custom["conversation_id"] = item.talk.conversation_id
    is_mono = recording["channel_ids"] == [0]
    cut = {
        "id": key,
        "start": 0,
        "duration": recording["duration"],
        "recording": recording,
        "custom": custom,
        "type": "MonoCut" if is_mono else "MultiCut",
        "channel": 0 if is_mono else recording["channel_ids"],
        "supervisions": _supervisions(item.talk, names, is_mono),
    }
    line = json_text(cut).encode()
    parts["/cuts.{:06d}.jsonl.gz"] = gzip.compress(line, mtime=0)
    yield from _write_parts(export, item.talk, parts)


def write_nemo(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write a cut of the user, with the agent beside it."""
    user_rate = 16000  # Hz, as NeMo reads it
    recorded = read_pcm(item.row["audio"], sample_rate=user_rate)
    user = recorded[:, 0] if export.settings.is_right_main else recorded[:, 1]
    sounds = {"recording": (user, user_rate), "target_audio": (item.pcm[:, 0], item.talk.sample_rate)}
    return _write_cut(export, item, sounds, ("agent", "user"))


def write_cuts(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    talk = item.talk
    names = (talk.person("left") or "agent", talk.person("right") or "user")
    return _write_cut(export, item, {"recording": (item.pcm, talk.sample_rate)}, names)


def write_webdataset(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    # Not the columns of clips, nor what no column is; those of own stages stay.
    left_out = {"problem", "problem_column", "remedy", UNWRITTEN, *LABELLED} - BUILT.keys()
    left_out.add("audio")
    columns = {name: value for name, value in item.row.items() if name not in left_out}
    columns["sample_rate"] = item.talk.sample_rate
    columns["duration"] = item.talk.duration
    tar = _sound_members(_key(item.talk), item.pcm, item.talk.sample_rate, finite(columns))
    yield from _write_parts(export, item.talk, {"-{:06d}.tar": tar})


_shards = partial(
    exporting.ExportFormat,
    finish=finish_shards,
    manifests=(ABOUT,),
    sides=exporting.TWO_LISTS,
)
_prompted = partial(_shards, settings=prompts.PersonaSettings(), prepare=prompts.read_personas)

SHARD_FORMATS = (
    _prompted(
        "lhotse", "NeMo's duplex speech-to-speech (`DuplexS2SDataset`)",
        "Shar of the user (16 kHz) and the agent (22.05 kHz, `target_audio`); utterances and words of both",
        "names, sounds without text, valence/arousal/dominance, prosody", "lhotse", write=write_nemo,
        sample_rate=22050,  # of the agent: NeMo resamples the user alone
    ),
    _prompted(
        "lhotse-cuts", "lhotse (`CutSet.from_shar`)",
        "Shar of stereo cuts, the agent first; utterances and words of both by name",
        "sounds without text, valence/arousal/dominance, prosody", "lhotse", write=write_cuts,
    ),
    _shards(
        "webdataset", "webdataset, and `datasets` (its builder of that name)",
        "tars of stereo WAV, and the whole row as JSON", "nothing", "datasets, webdataset",
        write=write_webdataset, options=frozenset(),
    ),
)  # fmt: skip
