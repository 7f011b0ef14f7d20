"""Folders that trainers read: moshi-finetune's, CSM's and J-Moshi's."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import Pcm
from dailytalk_contiguous.core.documents import read_bytes
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import AUDIO_FOLDER, MAIN, OTHER, Row
from dailytalk_contiguous.core.spans import balanced_range
from dailytalk_contiguous.core.tags import tags_among
from dailytalk_contiguous.core.word_times import SpokenWord, place_words
from dailytalk_contiguous.models.prosodic_sequences import HOP_SECONDS, ProsodicClusterSequences
from dailytalk_contiguous.publish import items as publish_items
from dailytalk_contiguous.publish.splits import as_given, split_two
from dailytalk_contiguous.publish.verdict import portable_measures
from dailytalk_contiguous.store.files import json_document, json_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name

# Prosodic tokens beside the sound: a file of their own for each sound, never among the words.
#
# `prosody/…/NAME.json` goes by the name of its sound: `{"model", "hop_seconds", "tokens"}`, with a list of tokens
# for each channel. No name ends in `jsonl`, which a trainer would read as a manifest.


#: Folder of the tokens.
TOKENS = "prosody"


def _write_tokens(
    target: OwnedFolder, sound: str, pcm: Pcm, sample_rate: int, sequences: ProsodicClusterSequences | None
) -> None:
    """Write the tokens of a sound of shape (n,) or (n, channels); nothing where none are asked for."""
    if sequences is None:
        return
    channels = np.atleast_2d(pcm.T).astype(np.float32) / 32768
    tokens = sequences.extract_cluster_sequences(sequences.resample_waveform(channels, sample_rate))
    about = {"model": sequences.codebook.name, "hop_seconds": HOP_SECONDS, "tokens": tokens}
    target.write_text(f"{TOKENS}/{Path(sound).with_suffix('.json').as_posix()}", json_text(about))


# Cutting long conversations for a trainer's window: in silence of both speakers, and evenly.
#
# The trainer itself cuts every file each `duration_sec`, in the middle of a word if need be. A cut of ours never
# splits a word, an utterance or a laugh: where there is no silence in a whole window, the piece stays longer.


#: Seconds of mutual silence at least: a cut in less would clip a breath or the end of a room's echo.
SHORTEST_SILENCE = 0.2


def cut_points(busy: Iterable[tuple[float, float]], duration: float, longest: float) -> list[float]:
    """Edges of the pieces, from 0.0 to `duration` seconds.

    Args:
        busy: starts and ends in seconds of all speech and sounds of both speakers, in any order.
        duration: seconds.
        longest: seconds that a piece may have; longer only where no silence allows a cut. 0 never cuts.
    """
    edges = [0.0]
    gaps: list[tuple[float, float]] = []
    until: float | None = None
    for start, end in sorted(busy):
        if until is not None and start - until >= SHORTEST_SILENCE and start < duration:
            gaps.append((until, start))
        until = end if until is None else max(until, end)
    while longest and duration - edges[-1] > longest:
        low, high = balanced_range(duration - edges[-1], longest)
        inside = [gap for gap in gaps if edges[-1] + low <= _middle(gap) <= edges[-1] + high]
        after = [gap for gap in gaps if _middle(gap) > edges[-1] + high]
        before = [gap for gap in gaps if edges[-1] < _middle(gap) < edges[-1] + low]
        if inside:
            best = max(inside, key=lambda gap: gap[1] - gap[0])
        elif before and _middle(before[-1]) > edges[-1] + low / 2:
            best = before[-1]
        elif after:
            best = after[0]
        else:
            break
        edges.append(_middle(best))
    return [*edges, duration]


def _middle(gap: tuple[float, float]) -> float:
    return (gap[0] + gap[1]) / 2


def _exportable(
    rows: Iterable[Row],
    sample_rate: int,
    swap: bool,
    refuse: Callable[[publish_items.Conversation], None],
    rejects: list[Reject],
) -> Iterator[tuple[Row, publish_items.Conversation]]:
    """The rows that can be used, each as a conversation; the others are added to `rejects`.

    `refuse` raises BadInput for what the trainer can't take. Raises DailytalkError for an id that occurs twice.
    """
    names = set()
    for row in rows:
        name = row["conversation_id"]
        if name in names:
            raise DailytalkError(f"the conversation {name!r} occurs twice", "run `dailytalk check` on the dataset")
        try:
            item = publish_items.conversation(row, sample_rate, swap)
            refuse(item)
        except BadInput as problem:
            rejects.append(Reject(name, "export", problem.reason, problem.remedy))
            continue
        names.add(name)
        yield row, item


def _refuse_tags(words: Sequence[str], conversation: publish_items.Conversation) -> None:
    if tags := tags_among(words, {utterance.tag for utterance in conversation.utterances}):
        raise BadInput(f"the style tag {tags[0]} is among its words", "align the text without tags")


# Export for moshi-finetune: a training folder that is ready to use.
#
# Layout (as in that repository's README): `train.jsonl` and `eval.jsonl` with `{"path", "duration"}`, paths
# relative to the manifest; `data_stereo/NAME.wav` (left: the voice that Moshi learns) and beside it `NAME.json`
# with the words. The trainer takes every file whose name ends in `jsonl` for a manifest, so what else we have to
# say about a conversation is in `conversations.json`; the configuration names the two files and never the
# folder.


CONFIG = "moshi-finetune.yaml"

#: Hz that Mimi, Moshi's codec, takes; the trainer resamples anything else without a word.
MOSHI_RATE = 24000

#: Seconds of a window, and windows a batch, that the README of moshi-finetune recommends (1 H100: 39.6 GB).
WINDOW_SECONDS, BATCH = 100, 16

#: The condition under which `text_conditions` gives the style of a conversation, and how many tags it names.
CONDITION = "style"
_MOST_TAGS = 3


@dataclass
class WordCounts:
    """The main speaker's words in an export.

    Attributes:
        total: how many there are.
        moved: those whose start moved to another frame.
        lost: those that the trainer loses: another begins in the same frame, and none of the two could move.
        cut: those of which it drops the last tokens; None without a tokenizer.
    """

    total: int = 0
    moved: int = 0
    lost: int = 0
    cut: int | None = None


@dataclass(frozen=True)
class Exported:
    files: dict[str, int]
    windows: dict[str, int]
    disjoint: bool
    duration_sec: int
    batch_size: int
    words: WordCounts
    rejects: list[Reject]


def export_moshi(
    rows: Iterable[Row],
    out: Path,
    *,
    eval_share: float = 0.1,
    seed: int = 0,
    sides: Mapping[str, str] | None = None,
    both_speakers: bool = False,
    text_conditions: bool = False,
    swap: bool = False,
    max_length: float = 0.0,
    sample_rate: int = MOSHI_RATE,
    tokenizer: Path | None = None,
    prosody: ProsodicClusterSequences | None = None,
) -> Exported:
    """Write a training folder for moshi-finetune; the same rows and settings give the same bytes.

    Args:
        rows: of `core.schema.BUILT`; read once, one at a time.
        out: the folder. Only a new one, an empty one, or an earlier export is written to.
        eval_share: share of the seconds in `eval.jsonl`, see `publish.splits.split_two`.
        seed: of the division.
        sides: `train` or `eval` of each id, where that is decided; `eval_share` and `seed` have no effect then.
        both_speakers: write the other speaker's words too, as SPEAKER_OTHER (the trainer skips them).
        text_conditions: write the main speaker's commonest tags as condition `style`; a stock model stops on it.
        swap: Moshi takes the right speaker's part.
        max_length: seconds; longer conversations are cut in silence of both speakers. 0 cuts nothing.
        sample_rate: Hz.
        tokenizer: the trainer's, a SentencePiece model: words then get as many frames as they have tokens, where
            there is room. Without it each gets one frame.
        prosody: makes prosodic tokens of both channels of every file, beside it; None for none.

    Raises DailytalkError: `out` is not ours, its path can't be configured, the tokenizer can't be read, or nothing
    is left to train on.
    """
    refuse_path(out)
    counter = token_counter(tokenizer) if tokenizer else None
    counts = WordCounts(cut=0 if counter else None)
    target = OwnedFolder(out, "moshi", (publish_items.TRAIN, publish_items.EVAL, CONFIG))
    about: dict[str, dict[str, Any]] = {}
    pieces: dict[str, list[tuple[str, float]]] = defaultdict(list)
    rejects: list[Reject] = []
    refuse = partial(_refuse_unfit_for_moshi, both_speakers=both_speakers)
    for row, item in _exportable(rows, sample_rate, swap, refuse, rejects):
        about[item.id] = {  # what the checker has to know of it, and no trainer reads
            "duration": item.duration,
            "language": item.language,
            "kept_speaker": item.kept_speaker,
            "voices": list(item.voices),
            "turns": [
                [
                    round(utterance.start, 3),
                    round(utterance.end, 3),
                    MAIN if utterance.main else OTHER,
                    len(utterance.text.split()),
                ]
                for utterance in item.utterances
            ],
            "recording": row["recording_id"],
            **portable_measures(row),
        }
        busy = [(word.start, word.end) for word in item.words] + [*item.sounds]
        busy += [(utterance.start, utterance.end) for utterance in item.utterances]
        edges = [round(edge * sample_rate) for edge in cut_points(busy, item.duration, max_length)]
        for number, (first, last) in enumerate(pairwise(edges)):
            file = file_name(item.id) + (f"--{number:03d}" if len(edges) > 2 else "")
            start, end = first / item.sample_rate, last / item.sample_rate
            inside = publish_items.words_between(item.words, start, end)
            words = words_in_frames([word for word in inside if word.main], item, start, end, counter, counts)
            if both_speakers:
                words = sorted([*words, *(word for word in inside if not word.main)], key=lambda word: word.start)
            alignments: dict[str, Any] = {
                "alignments": [
                    [word.text, [round(word.start, 6), round(word.end, 6)], MAIN if word.main else OTHER]
                    for word in words
                ]
            }
            if text_conditions:  # the main speaker's tags by the time they are used, the most first
                seconds: dict[str, float] = defaultdict(float)
                for utterance in item.utterances:
                    if utterance.main and utterance.tag:
                        seconds[utterance.tag] += utterance.end - utterance.start
                tags = sorted(seconds, key=lambda tag: (-seconds[tag], tag))[:_MOST_TAGS]
                alignments["text_conditions"] = {CONDITION: ", ".join(tags)}
            target.write_wav(f"{AUDIO_FOLDER}/{file}.wav", item.pcm[first:last], item.sample_rate)
            target.write_text(f"{AUDIO_FOLDER}/{file}.json", json_text(alignments))
            _write_tokens(target, f"{file}.wav", item.pcm[first:last], sample_rate, prosody)
            pieces[item.id].append((f"{AUDIO_FOLDER}/{file}.wav", (last - first) / sample_rate))
    if not about:
        first_reason = f" ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(f"no conversation could be exported{first_reason}", "build the dataset again")
    # On one side stays the kept speaker or, if unknown, all of the recording.
    items = [
        (name, str(item["kept_speaker"] or f"recording\0{item['recording']}"), item["duration"])
        for name, item in about.items()
    ]
    divided = split_two(items, eval_share, seed) if sides is None else as_given(items, sides)
    lines: dict[str, list[tuple[str, float]]] = {"train": [], "eval": []}
    for name, files in pieces.items():
        side = divided.side[name]
        lines[side] += [(json_text({"path": file, "duration": length}), length) for file, length in files]
        about[name] |= {"split": side, "files": [file for file, _ in files]}
    target.write_text(publish_items.ABOUT, json_document(about))
    windows, duration_sec, batch = finish_training(target, lines, {})
    n_files = {side: len(entries) for side, entries in lines.items()}
    return Exported(n_files, windows, divided.disjoint, duration_sec, batch, counts, rejects)


def finish_training(
    target: OwnedFolder, lines: Mapping[str, Sequence[tuple[str, float]]], others: Mapping[str, str]
) -> tuple[dict[str, int], int, int]:
    """Write the manifests, the configuration and then `others`, and finish the folder.

    `lines` are those of each side, with the seconds of their files. Returns the windows of each side, the seconds
    of a window, and windows a batch.
    """
    duration_sec = window_seconds([seconds for entries in lines.values() for _, seconds in entries])
    windows = {side: window_count((seconds for _, seconds in lines[side]), duration_sec) for side in lines}
    batch = max(1, min([BATCH, *filter(None, windows.values())]))
    manifests = {
        f"{side}.jsonl": "".join(line for line, _ in entries) for side, entries in lines.items() if entries
    }
    config = config_text(target.root, duration_sec, batch, bool(lines["eval"]))
    target.finish(manifests | {CONFIG: config, **others})
    return windows, duration_sec, batch


def window_seconds(lengths: Sequence[float]) -> int:
    """`duration_sec` for files of these seconds: the recommended one, or the longest file where that is shorter.

    What a window holds beyond the end of a file is padding that is computed and not learned from.
    """
    return min(WINDOW_SECONDS, max(1, math.ceil(max(lengths, default=1.0))))


def window_count(lengths: Iterable[float], duration_sec: float) -> int:
    """Windows into which the trainer cuts files of these seconds: it pads the last one of each."""
    return sum(max(1, math.ceil(length / duration_sec - 1e-6)) for length in lengths)


def config_text(root: Path, duration_sec: int, batch_size: int, evaluate: bool) -> str:
    folder = root.resolve()
    quoted = {
        name: json.dumps(str(folder / name), ensure_ascii=False)
        for name in (publish_items.TRAIN, publish_items.EVAL)
    }
    return f"""\
# Start it in a checkout of https://github.com/kyutai-labs/moshi-finetune:
#   torchrun --nproc-per-node 1 -m train {folder / CONFIG}
# Values without a comment are those of its README and example/moshi_7B.yaml.
data:
  # The two files, never their folder: the trainer would train on both.
  train_data: {quoted[publish_items.TRAIN]}
  eval_data: {quoted[publish_items.EVAL] if evaluate else "''"}
  shuffle: true

moshi_paths:
  hf_repo_id: "kyutai/moshiko-pytorch-bf16"

full_finetuning: false
lora:
  enable: true
  rank: 128
  scaling: 2.0
  ft_embed: false

first_codebook_weight_multiplier: 100.0
text_padding_weight: 0.5

# {WINDOW_SECONDS}, or the longest file where that is shorter: the rest of a window is padding.
duration_sec: {duration_sec}
# {BATCH}, or as many windows as the smaller side has: from fewer the trainer makes no batch at all.
# On N GPUs each side needs N times as many windows.
batch_size: {batch_size}
max_steps: 2000
gradient_checkpointing: true
optim:
  lr: 2.0e-6
  weight_decay: 0.1
  pct_start: 0.05

seed: 0
log_freq: 1
do_eval: {"true" if evaluate else "false"}
eval_freq: 100
do_ckpt: true
ckpt_freq: 100
save_adapters: true

# Not inside the data: the trainer writes *.jsonl there. It has to be empty or new.
run_dir: {json.dumps(f"runs/{folder.name}", ensure_ascii=False)}
"""


def token_counter(path: Path) -> Callable[[str], int]:
    """How many tokens a SentencePiece model gives a word, as the trainer asks it.

    Raises DailytalkError if sentencepiece is not installed, or the file is no such model.
    """
    try:
        import sentencepiece
    except ImportError:
        raise DailytalkError(
            "--tokenizer needs sentencepiece", "pip install 'dailytalk-contiguous[tokenizer]'"
        ) from None
    try:
        model = sentencepiece.SentencePieceProcessor(model_proto=read_bytes(path, "check the path"))
    except RuntimeError:
        raise DailytalkError(
            f"{str(path)!r} is no SentencePiece model", "give the tokenizer_spm_….model of the model you train"
        ) from None
    return lambda word: max(1, len(model.encode(word.strip())))


def words_in_frames(
    words: Sequence[publish_items.AlignedWord],
    conversation: publish_items.Conversation,
    start: float,
    end: float,
    counter: Callable[[str], int] | None,
    counts: WordCounts,
) -> list[publish_items.AlignedWord]:
    """The main speaker's words of a piece, in its own seconds, each in a frame that the trainer leaves to it."""
    turns = [
        (utterance.start - start, utterance.end - start) for utterance in conversation.utterances if utterance.main
    ]
    spoken = []
    for word in words:
        # A word outside of all utterances may move only within its own time.
        first, last = next((turn for turn in turns if turn[0] <= word.start < turn[1]), (word.start, word.end))
        tokens = counter(word.text) if counter else 1
        spoken.append(SpokenWord(word.start, word.end, tokens, max(first, 0.0), min(last, end - start)))
    placed = place_words(spoken)
    counts.total += len(words)
    counts.moved += placed.moved
    counts.lost += placed.lost
    if counts.cut is not None:
        counts.cut += placed.cut
    return [word._replace(start=at[0], end=at[1]) for word, at in zip(words, placed.times, strict=True)]


def _refuse_unfit_for_moshi(conversation: publish_items.Conversation, both_speakers: bool) -> None:
    if not any(word.main for word in conversation.words):
        raise BadInput("the main speaker has no words", "check its audio, or export with --swap")
    _refuse_tags([word.text for word in conversation.words if word.main or both_speakers], conversation)


def refuse_path(out: Path) -> None:
    """Raise DailytalkError for a folder that the trainer can't be given by its path."""
    # The trainer takes `a.jsonl:0.7,b.jsonl:0.3` for two weighted sources.
    bad = [mark for mark in (",", ":") if mark in str(out.resolve())]
    if bad:
        raise DailytalkError(
            f"the path {out.resolve()} holds {bad[0]!r}, which moshi-finetune takes for a separator",
            "choose another folder with --out",
        )


# Export for CSM, Sesame's conversational speech model, in the form of the chat template in transformers.
#
# Layout: `conversations.jsonl`, one conversation a line, `{"conversation_id", "language", "messages"}`; a message
# is `{"role": "0", "content": [{"type": "text", "text": …}, {"type": "audio", "path": "audio/NAME/0000.wav"}]}`.
# The template takes role as the speaker's number in a string (0: main, 1: other), one text and one audio a
# message. Paths are relative to the file: join them to its folder before
# `processor.apply_chat_template(messages)`. Audio is mono, of that speaker alone, at 24 kHz, the rate of its
# codec (`CsmProcessor`'s default).


CONVERSATIONS = "conversations.jsonl"

#: Hz, from `CsmProcessor`.
CSM_RATE = 24000

#: Seconds. Utterances of one speaker with less between them, and nothing of the other, are one turn.
ONE_TURN = 1.0


def export_csm(
    rows: Iterable[Row],
    out: Path,
    *,
    swap: bool = False,
    sample_rate: int = CSM_RATE,
    prosody: ProsodicClusterSequences | None = None,
) -> tuple[int, list[Reject]]:
    """Write conversations as turns with text and audio; what is asked is as of `export_moshi`.

    Returns how many conversations were written, and the rejected ones. Utterances without text (laughter) are no
    turns, since the template rejects a message without text.
    """
    target = OwnedFolder(out, "csm", (CONVERSATIONS,))
    lines: dict[str, str] = {}
    rejects: list[Reject] = []
    for _, item in _exportable(rows, sample_rate, swap, _refuse_silence, rejects):
        messages = list(_messages(target, item, prosody))
        lines[item.id] = json_text({"conversation_id": item.id, "language": item.language, "messages": messages})
    if not lines:
        raise DailytalkError("no conversation could be exported", "build the dataset again")
    target.finish({CONVERSATIONS: "".join(lines.values())})
    return len(lines), rejects


def _refuse_silence(conversation: publish_items.Conversation) -> None:
    if not any(utterance.text.strip() for utterance in conversation.utterances):
        raise BadInput("nobody says a word", "check its transcript")


class CsmTurn(NamedTuple):
    start: float
    end: float
    main: bool
    text: str


def turns(utterances: Iterable[publish_items.Utterance]) -> Iterator[CsmTurn]:
    current: CsmTurn | None = None
    for utterance in sorted(utterances, key=lambda item: (item.start, item.end)):
        if not utterance.text.strip():
            continue
        if current and current.main == utterance.main and utterance.start - current.end < ONE_TURN:
            text = f"{current.text} {utterance.text.strip()}"
            current = current._replace(end=max(current.end, utterance.end), text=text)
            continue
        if current:
            yield current
        current = CsmTurn(utterance.start, utterance.end, utterance.main, utterance.text.strip())
    if current:
        yield current


def _messages(
    target: OwnedFolder, conversation: publish_items.Conversation, prosody: ProsodicClusterSequences | None
) -> Iterator[dict[str, Any]]:
    name, rate = file_name(conversation.id), conversation.sample_rate
    for number, turn in enumerate(turns(conversation.utterances)):
        first, last = (round(edge * rate) for edge in (turn.start, turn.end))
        samples = conversation.pcm[first:last, 0 if turn.main else 1]
        path = f"audio/{name}/{number:04d}.wav"
        target.write_wav(path, samples, rate)
        _write_tokens(target, f"{name}/{number:04d}.wav", samples, rate, prosody)
        yield {
            "role": "0" if turn.main else "1",
            "content": [{"type": "text", "text": turn.text}, {"type": "audio", "path": path}],
        }


# Export for nu-dialogue's moshi-finetune, the trainer of J-Moshi.
#
# Layout (as in that repository's README): `audio/NAME.wav`, stereo with speaker A on the left and B on the right,
# and `text/NAME.json`, a list of `{"speaker", "word", "start", "end"}` with the words of both in order of start.
# It trains both streams, so a conversation in which one side has no words is rejected.


#: Folders of sound and words, and the speakers: on the left, on the right.
AUDIO, TEXT = "audio", "text"
SPEAKERS = ("A", "B")

#: Hz. The tokeniser resamples anything else to Mimi's rate.
MIMI_RATE = 24000


def export_jmoshi(
    rows: Iterable[Row],
    out: Path,
    *,
    swap: bool = False,
    sample_rate: int = MIMI_RATE,
    prosody: ProsodicClusterSequences | None = None,
) -> tuple[int, list[Reject]]:
    """Write conversations as stereo WAV and words; what is asked is as of `export_moshi`.

    Returns how many conversations were written, and those that were left out.
    """
    target = OwnedFolder(out, "j-moshi", ())
    rejects: list[Reject] = []
    count = 0
    for _, item in _exportable(rows, sample_rate, swap, _refuse_unfit_for_jmoshi, rejects):
        name = file_name(item.id)
        words = []
        for word in item.words:
            times = {"start": round(word.start, 6), "end": round(word.end, 6)}
            words.append({"speaker": SPEAKERS[not word.main], "word": word.text} | times)
        target.write_wav(f"{AUDIO}/{name}.wav", item.pcm, item.sample_rate)
        target.write_text(f"{TEXT}/{name}.json", json_text(words))
        _write_tokens(target, f"{name}.wav", item.pcm, sample_rate, prosody)
        count += 1
    if not count:
        raise DailytalkError("no conversation could be exported", "build the dataset again")
    target.finish({})
    return count, rejects


def _refuse_unfit_for_jmoshi(conversation: publish_items.Conversation) -> None:
    for main, side in zip((True, False), SPEAKERS, strict=True):
        words = [word.text for word in conversation.words if word.main is main]
        if not words:
            raise BadInput(f"speaker {side} has no words", "transcribe both channels, or leave it out")
        _refuse_tags(words, conversation)
