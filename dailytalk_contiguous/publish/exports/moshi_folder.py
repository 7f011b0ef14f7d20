"""The training folder of moshi-finetune, ready to use.

Layout (as in that repository's README): `train.jsonl` and `eval.jsonl` with `{"path", "duration"}`, paths relative
to the manifest; `data_stereo/NAME.wav` (left: the voice that Moshi learns), words in `NAME.json` beside it. The
trainer takes every file whose name ends in `jsonl` for a manifest, so other facts about a conversation are in
`conversations.json`; the configuration names the two files and never the folder.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypedDict

import pandas as pd

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER, MAIN, OTHER
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.sound.cutting import balanced_range
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.moshi_words import FrameTimes, SpokenWord, place_words
from dailytalk_contiguous.core.words.word import Word, words_between
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.publish import items as publish_items
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports.finished_conversation import ConversationUtterance, FinishedTalk
from dailytalk_contiguous.publish.exports.moshi_check import (
    BATCH,
    CONFIG,
    WINDOW_SECONDS,
    check_moshi,
    is_moshi,
    window_count,
    window_seconds,
)
from dailytalk_contiguous.store.files import file_name, json_document, json_text

#: Seconds of the shortest piece that is left beside what is inaudible.
SHORTEST_PIECE = 1.0

#: Seconds of mutual silence at least: a cut in less would clip a breath or the end of a room's echo.
SHORTEST_SILENCE = 0.2


def cut_points(busy: Iterable[tuple[float, float]], duration: float, longest: float) -> list[float]:
    """Return the edges of the pieces of a conversation, from 0.0 to `duration` seconds.

    The trainer itself cuts every file each `duration_sec`, in the middle of a word if need be. These cuts are
    even, in silence of both speakers, and never split a word, an utterance or a laugh.

    Args:
        busy: starts and ends in seconds of all speech and sounds of both speakers, in any order.
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
        last = edges[-1]
        inside = [gap for gap in gaps if last + low <= _middle(gap) <= last + high]
        after = [gap for gap in gaps if _middle(gap) > last + high]
        before = [gap for gap in gaps if last < _middle(gap) < last + low]
        if inside:
            best = max(inside, key=lambda gap: gap[1] - gap[0])
        elif before and _middle(before[-1]) > last + low / 2:
            best = before[-1]
        elif after:
            best = after[0]
        else:
            break
        edges.append(_middle(best))
    return [*edges, duration]


def _middle(gap: tuple[float, float]) -> float:
    return (gap[0] + gap[1]) / 2


#: The files that mark a folder as complete.
MANIFESTS = (publish_items.TRAIN, publish_items.EVAL, CONFIG)

#: The condition under which `text_conditions` gives the style of a conversation.
CONDITION = "style"


TEXT_CONDITIONS = Setting(
    "Write style and emotion as text_conditions; a stock model stops on them.", panel="result"
)


@dataclass(frozen=True)
class PieceSettings(exports.ExportSettings):
    max_length: float = setting(
        0.0, "Longer conversations are cut at mutual silence: 100s, 5m, or never.",
        panel="result", unit="time", words={"never": 0.0}, shown="never",
    )  # fmt: skip


@dataclass(frozen=True)
class WordSettings(PieceSettings):
    both_speakers: bool = setting(False, "Add the other speaker's words as SPEAKER_OTHER.", panel="result")
    tokenizer: str | None = setting(
        None, "SentencePiece model of the model you train: words get room for their tokens.",
        panel="result", metavar="FILE", shown="a frame a word", reference=True,
    )  # fmt: skip


@dataclass(frozen=True)
class MoshiSettings(WordSettings):
    text_conditions: bool = setting(False, TEXT_CONDITIONS)


class Trainer(NamedTuple):
    """A trainer of such folders: the name of its configuration, its address, and the values of its example."""

    config: str
    repository: str
    example: str
    model: str
    window: int
    batch: int
    steps: int
    adapters: bool


_MODEL = """\
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
"""

_REPOSITORY = "kyutai-labs/moshi-finetune"
_EXAMPLE = "moshi_7B.yaml"

MOSHI_FINETUNE = Trainer(CONFIG, _REPOSITORY, _EXAMPLE, _MODEL, WINDOW_SECONDS, BATCH, 2000, adapters=True)


def config_text(trainer: Trainer, root: Path, duration_sec: int, batch_size: int, evaluate: bool) -> str:
    folder = root.resolve()
    train_data = json.dumps(str(folder / publish_items.TRAIN), ensure_ascii=False)
    eval_data = "''"
    if evaluate:
        eval_data = json.dumps(str(folder / publish_items.EVAL), ensure_ascii=False)
    return f"""\
# Start it in a checkout of https://github.com/{trainer.repository}:
#   torchrun --nproc-per-node 1 -m train {folder / trainer.config}
# Values without a comment are those of its README and example/{trainer.example}.
data:
  # The two files, never their folder: the trainer would train on both.
  train_data: {train_data}
  eval_data: {eval_data}
  shuffle: true

{trainer.model}
# The length near the README's {trainer.window} that pads these files least: padding is not learned from.
duration_sec: {duration_sec}
# {trainer.batch}, or as many windows as the smaller set has, training or evaluation: an evaluation set with fewer
# gives no batch, and a training set repeats windows within a batch. On N GPUs both sets need N times as many.
batch_size: {batch_size}
max_steps: {trainer.steps}
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
save_adapters: {"true" if trainer.adapters else "false"}

# Not inside the data: the trainer writes *.jsonl there. It has to be empty or new.
run_dir: {json.dumps(f"runs/{folder.name}", ensure_ascii=False)}
"""


@lru_cache(maxsize=1)
def token_counter(path: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a word by a SentencePiece model, as the trainer does.

    Raises DailytalkError if sentencepiece is not installed, or the file is no such model.
    """
    try:
        import sentencepiece
    except ImportError:
        raise DailytalkError(
            "--tokenizer needs sentencepiece", "pip install 'dailytalk-contiguous[tokenizer]'"
        ) from None
    try:
        model = sentencepiece.SentencePieceProcessor(model_proto=read_bytes(Path(path), "check the path"))
    except RuntimeError:
        raise DailytalkError(
            f"{path!r} is not a SentencePiece model", "give the tokenizer_spm_….model of the model you train"
        ) from None
    return lambda word: max(1, len(model.encode(word.strip())))


def words_in_frames(
    words: Sequence[Word],
    conversation: FinishedTalk,
    start: float,
    end: float,
    counter: Callable[[str], int] | None = None,
) -> tuple[list[Word], FrameTimes]:
    """Place the main speaker's words of a piece, in its own seconds, so that the trainer keeps each of them."""
    seconds = end - start
    turns = []
    for utterance in conversation.utterances:
        if utterance.main:
            turns.append((utterance.start - start, utterance.end - start))
    spoken = []
    for word in words:
        around = [turn for turn in turns if turn[0] <= word.start < turn[1]]
        # A word outside of all utterances may move only within its own time.
        first, last = around[0] if around else (word.start, word.end)
        first = max(first, 0.0)
        last = min(last, seconds)
        tokens = counter(word.text) if counter else 1
        spoken.append(SpokenWord(word.start, word.end, tokens, first, last))
    frames = place_words(spoken)
    placed = []
    for word, (word_start, word_end) in zip(words, frames.times, strict=True):
        placed.append(word.at(word_start, word_end))
    return placed, frames


def refuse_path(out: Path, settings: exports.ExportSettings | None = None) -> None:
    """Raise DailytalkError for a folder whose path the trainer can't take, or a wrong tokenizer."""
    # The trainer takes `a.jsonl:0.7,b.jsonl:0.3` for two weighted sources.
    path = str(out.resolve())
    bad = [mark for mark in (",", ":") if mark in path]
    if bad:
        raise DailytalkError(
            f"the path {out.resolve()} holds {bad[0]!r}, which moshi-finetune takes for a separator",
            "choose another folder with --out",
        )
    if isinstance(settings, WordSettings) and settings.tokenizer:
        token_counter(settings.tokenizer)


def trained_pieces(item: FinishedTalk, longest: float) -> list[tuple[int, int]]:
    """Return the samples at which the pieces of a conversation begin and end, each of `longest` seconds at most.

    What the main speaker says and the transcript calls inaudible is in none, nor is what it leaves between it
    without a word of theirs: a model would learn to speak without text.
    """
    rate = item.sample_rate
    busy = [(word.start, word.end) for word in item.words]
    busy += item.sounds
    busy += [(utterance.start, utterance.end) for utterance in item.utterances]
    cuts = cut_points(busy, item.duration, longest)
    edges = [round(cut * rate) for cut in cuts]
    pieces = list(pairwise(edges))
    if not item.inaudible:
        return pieces
    for inaudible_start, inaudible_end in item.inaudible:
        start = round(inaudible_start * rate)
        end = round(inaudible_end * rate)
        parts = []
        for first, last in pieces:
            parts.append((first, min(last, start)))
            parts.append((max(first, end), last))
        pieces = [(first, last) for first, last in parts if last - first >= SHORTEST_PIECE * rate]
    middles = [word.middle * rate for word in item.words if word.side == item.main]
    spoken = []
    for first, last in pieces:
        if any(first <= middle < last for middle in middles):
            spoken.append((first, last))
    return spoken


def piece_path(folder: str, conversation: str, number: int, pieces: int) -> str:
    """Return the path of a piece without its ending; a single piece has the name of its conversation."""
    path = f"{folder}/{conversation}"
    return f"{path}--{number:03d}" if pieces > 1 else path


def write_moshi(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    """Write the pieces of a conversation, each as WAV and words, and the facts for `check` into `about`."""
    settings = export.settings
    rate = item.sample_rate
    if not any(word.side == item.main for word in item.words):
        raise BadInput("the main speaker has no words", "check its audio, or export it with the other --main")
    trained = [word.text for word in item.words if word.side == item.main or settings.both_speakers]
    exports.refuse_tags(trained, item)
    counter = None
    n_cut = None
    if settings.tokenizer:
        counter = token_counter(settings.tokenizer)
        n_cut = 0
    counts = export.facts.setdefault("words", {"total": 0, "moved": 0, "lost": 0, "cut": n_cut})
    pieces = trained_pieces(item, settings.max_length)
    if item.inaudible:
        export.left_out["stretches that the transcript calls inaudible"] += len(item.inaudible)
    entries = []
    for number, (first, last) in enumerate(pieces):
        name = piece_path(AUDIO_FOLDER, file_name(item.id), number, len(pieces))
        start = first / rate
        end = last / rate
        inside = words_between(item.words, start, end)
        own_words = [word for word in inside if word.side == item.main]
        words, placed = words_in_frames(own_words, item, start, end, counter)
        counts["total"] += len(words)
        counts["moved"] += placed.moved
        counts["lost"] += placed.lost
        if counter:
            counts["cut"] += placed.cut
        if settings.both_speakers:
            words += [word for word in inside if word.side != item.main]
            words.sort(key=lambda word: word.start)
        alignments: dict[str, object] = {"alignments": alignments_of(words, item.main)}
        if isinstance(settings, MoshiSettings) and settings.text_conditions:
            alignments["text_conditions"] = {CONDITION: ", ".join(_main_tags(item))}
        export.write_sound(name, item.pcm[first:last])
        export.target.write_text(f"{name}.json", json_text(alignments))
        duration = (last - first) / rate
        line = {"path": f"{name}.wav", "duration": duration}
        entries.append(exports.FileEntry(line, duration))
    export.about[item.id] = {  # for the check; no trainer reads it
        "duration": item.duration,
        "language": item.language,
        "kept_speakers": [name or "" for name in item.kept_speakers],
        "voices": list(item.voices),
        "turns": [_turn(utterance) for utterance in item.utterances],
        "recording": item.row["recording_id"],
        "files": [entry.line["path"] for entry in entries],
    }
    if item.row.get("labels"):
        export.about[item.id]["clip"] = True
    export.maker.add(from_finished(item.row))
    yield from entries


def _main_tags(item: FinishedTalk) -> list[str]:
    """The main speaker's tags by the time they are used, the most first."""
    seconds: dict[str, float] = defaultdict(float)
    for utterance in item.utterances:
        if utterance.main and utterance.tag:
            seconds[utterance.tag] += utterance.end - utterance.start
    tags = sorted(seconds, key=lambda tag: (-seconds[tag], tag))
    return tags[:3]


def _turn(utterance: ConversationUtterance) -> list[float | str]:
    """The start and end of an utterance's sound in seconds, its speaker, and the number of its words."""
    start, end = utterance.sounds
    start = round(max(0.0, start), 3)
    end = round(max(0.0, end), 3)
    speaker = MAIN if utterance.main else OTHER
    n_words = len(utterance.text.split())
    return [start, end, speaker, n_words]


#: Measures of a conversation (`core.records.measures.CONVERSATION_MEASURES`) that do not follow from its turns.
_MEASURES = ["confidence", "without_text", "words_per_second", "unheard_words", "same_opening", "bandwidth"]
_MEASURES += ["level_difference", "snr", "clipping", "leak", "length_ratio", "delivery", "as_recorded"]


def finish_moshi(
    export: exports.Export, lists: exports.Lists, trainer: Trainer = MOSHI_FINETUNE, prefix: float = 0.0
) -> Mapping[str, exports.FileText]:
    """Return the manifests and the configuration, after the record for `check` is written.

    `prefix`: seconds of a window that prompts take at most.
    """
    columns = ["recorded_overlap", "talk", "parent", "made_by", "sound_digest", *_MEASURES]
    table = export.maker.tables().conversations
    conversations = table.set_index("conversation_id")[columns]
    about = {}
    for name, facts in export.about.items():
        values = conversations.loc[name].items()
        present = {column: value for column, value in values if not pd.isna(value)}
        present["talk"] = bool(present["talk"])
        measures = {}
        for measure in _MEASURES:
            if measure in present:
                measures[measure] = round(present.pop(measure), 6)
        about[name] = {**facts, **present, "measures": measures, "split": export.side[name]}
    export.target.write_text(publish_items.ABOUT, json_document(about))
    words = export.facts.get("words")
    if words:
        export.notes.append(words_text(words))
    texts, windows = training_lists(export.target.root, lists, trainer, prefix)
    export.facts["windows"] = windows
    return texts


MOSHI = exports.ExportFormat(
    "moshi",
    reader="moshi-finetune (Kyutai)",
    holds="stereo WAV with the voice to learn on the left, its words with times, a configuration",
    loses="texts as sentences, tags except with --text-conditions, valence/arousal/dominance, prosody",
    checked="a reader written from its source",
    write=write_moshi,
    finish=finish_moshi,
    manifests=MANIFESTS,
    sides=exports.TWO_LISTS,
    settings=MoshiSettings(),
    options=frozenset({"main", "prosodic_tokens"}),
    unit="file",
    prepare=refuse_path,
    recognises=is_moshi,
    check=check_moshi,
    check_steps=check_moshi,
)


def alignments_of(words: Iterable[Word], main: str) -> list[tuple[str, list[float], str]]:
    """Return words as moshi-finetune reads them: text, start and end in seconds, speaker; `main` is Moshi's."""
    alignments = []
    for word in words:
        times = [round(word.start, 6), round(word.end, 6)]
        speaker = MAIN if word.side == main else OTHER
        alignments.append((word.text, times, speaker))
    return alignments


class WordCounts(TypedDict):
    """How many words were written, moved to another frame, lost and cut; cut is unknown without a tokenizer."""

    total: int
    moved: int
    lost: int
    cut: int | None


def words_text(counts: WordCounts) -> str:
    text = f"{counted(counts['total'], 'word')} ({counts['moved']} moved to another 80 ms frame"
    if counts["lost"] or counts["cut"] is not None:
        text += f", {counts['lost']} lost"
    if counts["cut"] is not None:
        text += f", {counts['cut']} cut"
    return f"{text})"


def training_lists(
    root: Path, lists: exports.Lists, trainer: Trainer = MOSHI_FINETUNE, prefix: float = 0.0
) -> tuple[dict[str, exports.FileText], dict[str, int]]:
    """Return the manifests and the configuration of a folder, and the number of windows of each side."""
    lengths = [entry.seconds + prefix for entries in lists.values() for entry in entries]
    duration_sec = window_seconds(lengths, trainer.window)
    texts: dict[str, exports.FileText] = {}
    windows = {}
    for side, entries in lists.items():
        windows[side] = window_count([entry.seconds for entry in entries], duration_sec)
        if entries:
            texts[f"{side}.jsonl"] = [json_text(entry.line) for entry in entries]
    smallest = min([trainer.batch, *filter(None, windows.values())])
    batch = max(1, smallest)
    has_eval = bool(lists["eval"])
    texts[trainer.config] = config_text(trainer, root, duration_sec, batch, evaluate=has_eval)
    return texts, windows
