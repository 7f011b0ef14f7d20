"""The folder that moshi-finetune trains on, ready to start.

Layout (as in that repository's README): `train.jsonl` and `eval.jsonl` with `{"path", "duration"}`, paths relative
to the manifest; `data_stereo/NAME.wav` (left: the voice that Moshi learns) and beside it `NAME.json` with the
words. The trainer takes every file whose name ends in `jsonl` for a manifest, so what else we have to say about a
conversation stands in `conversations.json`; the configuration names the two files and never the folder.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.built import AUDIO_FOLDER, MAIN, OTHER
from dailytalk_contiguous.core.documents import read_bytes
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.word_frames import Spoken, place_words
from dailytalk_contiguous.files.owned_folder import OwnedFolder, file_name
from dailytalk_contiguous.files.writing import json_text
from dailytalk_contiguous.publish.exporting.cutting import cut_points
from dailytalk_contiguous.publish.reporting.tag_words import tags_among
from dailytalk_contiguous.publish.rows import Conversation, Row, Word, conversation
from dailytalk_contiguous.publish.splits import Split, as_given, split

TRAIN, EVAL, CONFIG, ABOUT = "train.jsonl", "eval.jsonl", "moshi-finetune.yaml", "conversations.json"

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
    """What an export wrote: the files and windows of each side, its words, and the conversations left out."""

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
) -> Exported:
    """Write a training folder for moshi-finetune; the same rows and settings give the same bytes.

    Args:
        rows: of `core.built.BUILT`; read once, one at a time.
        out: the folder. Only a new one, an empty one, or an earlier export is written to.
        eval_share: share of the seconds in `eval.jsonl`, see `splits.split`.
        seed: of the division.
        sides: `train` or `eval` of each id, where that is settled; `eval_share` and `seed` decide nothing then.
        both_speakers: write the other speaker's words too, as SPEAKER_OTHER (the trainer skips them).
        text_conditions: write the main speaker's commonest tags as condition `style`; a stock model stops on it.
        swap: Moshi takes the right speaker's part.
        max_length: seconds; longer conversations are cut in silence of both speakers. 0 cuts nothing.
        sample_rate: Hz.
        tokenizer: the trainer's, a SentencePiece model: words then get as many frames as they have tokens, where
            there is room. Without it each gets a frame of its own.

    Raises:
        DailytalkError: `out` is not ours, its path can't be configured, the tokenizer can't be read, or nothing is
            left to train on.
    """
    refuse_path(out)
    counter = token_counter(tokenizer) if tokenizer else None
    counts = WordCounts(cut=0 if counter else None)
    target = OwnedFolder(out, "moshi", (TRAIN, EVAL, CONFIG))
    about: dict[str, dict[str, Any]] = {}
    pieces: dict[str, list[tuple[str, float]]] = defaultdict(list)
    rejects: list[Reject] = []
    for row in rows:
        name = row["conversation_id"]
        if name in about:
            raise DailytalkError(f"the conversation {name!r} occurs twice", "run `dailytalk check` on the dataset")
        try:
            one = conversation(row, sample_rate, swap)
            _refuse_unfit(one, both_speakers)
        except BadInput as problem:
            rejects.append(Reject(name, "export", problem.reason, problem.remedy))
            continue
        about[name] = _about(one) | {"recording": row["recording_id"]}
        for file, first, last in _pieces(one, max_length):
            _write_piece(target, one, file, first, last, both_speakers, text_conditions, counter, counts)
            pieces[name].append((f"{AUDIO_FOLDER}/{file}.wav", (last - first) / sample_rate))
    if not about:
        first_reason = f" ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(f"no conversation could be exported{first_reason}", "build the dataset again")
    given = [(name, _group(one), one["duration"]) for name, one in about.items()]
    divided = split(given, eval_share, seed) if sides is None else as_given(given, sides)
    return _finish(target, about, pieces, divided, counts, rejects)


def _finish(
    target: OwnedFolder,
    about: Mapping[str, dict[str, Any]],
    pieces: Mapping[str, Sequence[tuple[str, float]]],
    sides: Split,
    words: WordCounts,
    rejects: list[Reject],
) -> Exported:
    manifest: dict[str, list[tuple[str, float]]] = {"train": [], "eval": []}
    for name, files in pieces.items():
        manifest[sides.side[name]] += files
    duration_sec = window_seconds([length for files in manifest.values() for _, length in files])
    windows = {side: window_count((length for _, length in manifest[side]), duration_sec) for side in manifest}
    batch = max(1, min([BATCH, *(count for count in windows.values() if count)]))
    facts = {
        name: about[name] | {"split": sides.side[name], "files": [file for file, _ in pieces[name]]}
        for name in about
    }
    target.write_text(ABOUT, json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
    manifests = {
        f"{side}.jsonl": "".join(json_text({"path": file, "duration": length}) for file, length in manifest[side])
        for side in manifest
        if manifest[side]
    }
    target.finish(manifests | {CONFIG: config_text(target.root, duration_sec, batch, bool(manifest["eval"]))})
    counts = {side: len(entries) for side, entries in manifest.items()}
    return Exported(counts, windows, sides.disjoint, duration_sec, batch, words, rejects)


def window_seconds(lengths: Sequence[float]) -> int:
    """`duration_sec` for files of these seconds: the recommended one, or the longest file where that is shorter.

    What a window holds beyond the end of a file is padding that is computed and not learned from.
    """
    return min(WINDOW_SECONDS, max(1, math.ceil(max(lengths, default=1.0))))


def window_count(lengths: Iterable[float], duration_sec: float) -> int:
    """Windows into which the trainer cuts files of these seconds: it pads the last one of each."""
    return sum(max(1, math.ceil(length / duration_sec - 1e-6)) for length in lengths)


def config_text(root: Path, duration_sec: int, batch_size: int, evaluate: bool) -> str:
    """The configuration of moshi-finetune for a folder; every value that we chose says why."""
    folder = root.resolve()
    quoted = {name: json.dumps(str(folder / name), ensure_ascii=False) for name in (TRAIN, EVAL)}
    return f"""\
# Start it in a checkout of https://github.com/kyutai-labs/moshi-finetune:
#   torchrun --nproc-per-node 1 -m train {folder / CONFIG}
# Values without a comment are those of its README and example/moshi_7B.yaml.
data:
  # The two files, never their folder: the trainer would train on both.
  train_data: {quoted[TRAIN]}
  eval_data: {quoted[EVAL] if evaluate else "''"}
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


def _write_piece(
    target: OwnedFolder,
    one: Conversation,
    file: str,
    first: int,
    last: int,
    both_speakers: bool,
    text_conditions: bool,
    counter: Callable[[str], int] | None,
    counts: WordCounts,
) -> None:
    start, end = first / one.sample_rate, last / one.sample_rate
    inside = [
        word._replace(start=max(word.start, start) - start, end=min(word.end, end) - start)
        for word in one.words
        if start <= (word.start + word.end) / 2 < end
    ]
    words = _placed([word for word in inside if word.main], one, start, end, counter, counts)
    if both_speakers:
        words = sorted([*words, *(word for word in inside if not word.main)], key=lambda word: word.start)
    told: dict[str, Any] = {"alignments": [_aligned(word) for word in words]}
    if text_conditions:
        told["text_conditions"] = {CONDITION: _style(one)}
    target.write_wav(f"{AUDIO_FOLDER}/{file}.wav", one.pcm[first:last], one.sample_rate)
    target.write_text(f"{AUDIO_FOLDER}/{file}.json", json_text(told))


def _placed(
    words: Sequence[Word],
    one: Conversation,
    start: float,
    end: float,
    counter: Callable[[str], int] | None,
    counts: WordCounts,
) -> list[Word]:
    """The main speaker's words of a piece, in its own seconds, each in a frame that the trainer leaves to it."""
    turns = [(said.start - start, said.end - start) for said in one.utterances if said.main]
    spoken = []
    for word in words:
        # A word that no utterance holds may move in its own time alone.
        first, last = next((turn for turn in turns if turn[0] <= word.start < turn[1]), (word.start, word.end))
        tokens = counter(word.text) if counter else 1
        spoken.append(Spoken(word.start, word.end, tokens, max(first, 0.0), min(last, end - start)))
    placed = place_words(spoken)
    counts.total += len(words)
    counts.moved += placed.moved
    counts.lost += placed.lost
    if counts.cut is not None:
        counts.cut += placed.cut
    return [word._replace(start=at[0], end=at[1]) for word, at in zip(words, placed.times, strict=True)]


def _aligned(word: Word) -> list[Any]:
    return [word.text, [round(word.start, 6), round(word.end, 6)], MAIN if word.main else OTHER]


def _pieces(one: Conversation, max_length: float) -> list[tuple[str, int, int]]:
    """File name, first and last sample of each piece of a conversation."""
    name = file_name(one.id)
    busy = [(said.start, said.end) for said in one.utterances] + [(word.start, word.end) for word in one.words]
    busy += one.sounds
    edges = [round(edge * one.sample_rate) for edge in cut_points(busy, one.duration, max_length)]
    if len(edges) == 2:
        return [(name, edges[0], edges[1])]
    return [(f"{name}--{number:03d}", first, last) for number, (first, last) in enumerate(pairwise(edges))]


def _refuse_unfit(one: Conversation, both_speakers: bool) -> None:
    """Raise BadInput for what the trainer would read and learn garbage from."""
    if not any(word.main for word in one.words):
        raise BadInput("the main speaker has no words", "check its audio, or export with --swap")
    said = [word.text for word in one.words if word.main or both_speakers]
    tags = tags_among(said, {utterance.tag for utterance in one.utterances})
    if tags:
        raise BadInput(f"the style tag {tags[0]} is among its words", "align the text without tags")


def _about(one: Conversation) -> dict[str, Any]:
    """What the checker has to know of a conversation, and no trainer reads."""
    return {
        "duration": one.duration,
        "language": one.language,
        "kept_speaker": one.kept_speaker,
        "voices": list(one.voices),
        "turns": [
            [round(said.start, 3), round(said.end, 3), MAIN if said.main else OTHER] for said in one.utterances
        ],
    }


def _group(one: Mapping[str, Any]) -> str:
    """What must stay on one side: the kept speaker, or where nobody knows who it is, all of the recording."""
    return str(one["kept_speaker"] or f"recording\0{one['recording']}")


def _style(one: Conversation) -> str:
    """The main speaker's tags by the time they are used, the most first."""
    seconds: dict[str, float] = defaultdict(float)
    for said in one.utterances:
        if said.main and said.tag:
            seconds[said.tag] += said.end - said.start
    return ", ".join(sorted(seconds, key=lambda tag: (-seconds[tag], tag))[:_MOST_TAGS])


def refuse_path(out: Path) -> None:
    """Raise DailytalkError for a folder that the trainer can't be given by its path."""
    # The trainer takes `a.jsonl:0.7,b.jsonl:0.3` for two weighted sources.
    bad = [mark for mark in (",", ":") if mark in str(out.resolve())]
    if bad:
        raise DailytalkError(
            f"the path {out.resolve()} holds {bad[0]!r}, which moshi-finetune takes for a separator",
            "choose another folder with --out",
        )
