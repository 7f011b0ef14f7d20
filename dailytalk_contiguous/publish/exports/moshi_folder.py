"""The training folder of moshi-finetune, ready to use.

Layout (as in that repository's README): `train.jsonl` and `eval.jsonl` with `{"path", "duration"}`, paths relative
to the manifest; `data_stereo/NAME.wav` (left: the voice that Moshi learns), words in `NAME.json` beside it. The
trainer takes every file whose name ends in `jsonl` for a manifest, so other facts about a conversation are in
`conversations.json`; the configuration names the two files and never the folder.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER, MAIN, OTHER
from dailytalk_contiguous.core.records.seen import SeenConversation
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.moshi_words import FrameTimes, SpokenWord, alignments_of, place_words
from dailytalk_contiguous.core.words.word import Span, Word, words_between
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.publish import items as publish_items
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.moshi_check import check_moshi, is_moshi
from dailytalk_contiguous.publish.exports.moshi_config import (
    CONFIG,
    MOSHI_FINETUNE,
    Trainer,
    config_text,
    window_count,
    window_seconds,
)
from dailytalk_contiguous.publish.exports.pieces import inaudible_spans, trained_pieces
from dailytalk_contiguous.store.files import json_document, json_text

#: The files that mark a folder as complete.
MANIFESTS = (publish_items.TRAIN, publish_items.EVAL, CONFIG)

TEXT_CONDITIONS = Setting(
    "Write style and emotion as text_conditions; a stock model stops on them.", panel="result"
)


@dataclass(frozen=True)
class WordSettings(exporting.ExportSettings):
    max_length_seconds: float = setting(
        0.0, "Longer conversations are cut at mutual silence: 100s, 5m, or never.", option="max_length",
        panel="result", unit="time", words={"never": 0.0}, shown="never",
    )  # fmt: skip
    both_speakers: bool = setting(False, "Add the other speaker's words as SPEAKER_OTHER.", panel="result")
    tokenizer: str | None = setting(
        None, "SentencePiece model of the model you train: words get room for their tokens.",
        panel="result", metavar="FILE", shown="a frame a word", reference=True,
    )  # fmt: skip


@dataclass(frozen=True)
class MoshiSettings(WordSettings):
    text_conditions: bool = setting(False, TEXT_CONDITIONS)


@lru_cache(maxsize=1)
def token_counter(path: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a word by a SentencePiece model, as the trainer does.

    Raises DailytalkError if sentencepiece is not installed, or the file is no such model.
    """
    try:
        import sentencepiece
    except ImportError:
        raise DailytalkError(
            "--tokenizer needs sentencepiece", "pip install '.[tokenizer]' in a checkout of dailytalk_contiguous"
        ) from None
    try:
        model = sentencepiece.SentencePieceProcessor(model_proto=read_bytes(Path(path), "check the path"))
    except RuntimeError:
        raise DailytalkError(
            f"{path!r} is not a SentencePiece model", "give the tokenizer_spm_….model of the model you train"
        ) from None
    return lambda word: max(1, len(model.encode(word.strip())))


def placed_words(
    talk: SeenConversation, start: float, end: float, tokenizer: str | None = None
) -> tuple[list[Word], FrameTimes]:
    """Return the main speaker's words from `start` up to `end`, in the time of that piece, each with a frame.

    `tokenizer`: the path of a SentencePiece model, by which a word has tokens; None for one a word.
    """
    words = [word for word in words_between(talk.alignments, start, end) if word.speaker == "left"]
    turns = [Span(turn.start - start, turn.end - start) for turn in talk.side("left")]
    counter = token_counter(tokenizer) if tokenizer else None
    spoken = []
    for word in words:
        around = [turn for turn in turns if turn.start <= word.start < turn.end]
        # A word outside of all utterances may move only within its own time.
        limits = around[0] if around else word.span
        limits &= Span(0.0, end - start)
        tokens = counter(word.word) if counter else 1
        spoken.append(SpokenWord(word.start, word.end, tokens, *limits))
    frames = place_words(spoken)
    placed = [word.moved_to(*times) for word, times in zip(words, frames.times, strict=True)]
    return placed, frames


def refuse_path(out: Path, settings: exporting.ExportSettings | None = None) -> None:
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


def write_moshi(export: exporting.Export, item: exporting.SeenTalk) -> list[exporting.FileEntry]:
    """Write the pieces of a conversation, each as WAV and words, and the facts for `check` into `about`."""
    settings = export.settings
    talk = item.talk
    rate = talk.sample_rate
    trained = [word for word in talk.alignments if word.speaker == "left" or settings.both_speakers]
    if not any(word.speaker == "left" for word in trained):
        raise BadInput("the main speaker has no words", "check its audio, or export it with the other --main")
    exporting.refuse_tags([word.word for word in trained], talk)
    counts = export.facts.setdefault("words", Counter(total=0, moved=0, lost=0, cut=0))
    inaudible = inaudible_spans(talk)
    if inaudible:
        export.left_out["stretches that the transcript calls inaudible"] += len(inaudible)
    seconds_of_tag: dict[str, float] = defaultdict(float)
    for utterance in talk.side("left"):
        tag = utterance.finished.said_tag
        if tag:
            seconds_of_tag[tag] += utterance.end - utterance.start
    entries = []
    for piece in trained_pieces(talk, inaudible, settings.max_length_seconds):
        name = f"{AUDIO_FOLDER}/{piece.name}"
        start = piece.first / rate
        end = piece.last / rate
        words, frames = placed_words(talk, start, end, settings.tokenizer)
        counts.update(total=len(words), moved=frames.moved, lost=frames.lost, cut=frames.cut)
        words += [word for word in words_between(trained, start, end) if word.speaker == "right"]
        words.sort(key=lambda word: word.start)
        alignments: dict[str, object] = {"alignments": alignments_of(words)}
        if isinstance(settings, MoshiSettings) and settings.text_conditions:
            longest_tags = sorted(seconds_of_tag, key=lambda tag: (-seconds_of_tag[tag], tag))[:3]
            alignments["text_conditions"] = {"style": ", ".join(longest_tags)}
        export.write_sound(name, item.pcm[piece.first : piece.last])
        export.target.write_text(f"{name}.json", json_text(alignments))
        duration = (piece.last - piece.first) / rate
        entries.append(exporting.FileEntry({"path": f"{name}.wav", "duration": duration}, duration))
    about = {  # for the check; no trainer reads it
        "duration": talk.duration,
        "language": talk.main_language,
        "kept_speakers": [name or "" for name in talk.finished.kept_speakers],
        "voices": list(talk.finished.voices),
        "turns": _turns(talk),
        "recording": talk.recording_id,
        "files": [entry.line["path"] for entry in entries],
    }
    if talk.finished.labels:
        about["clip"] = True
    export.about[talk.conversation_id] = about
    export.maker.add(talk.finished)
    return entries


def _turns(talk: SeenConversation) -> list[tuple[float, float, str]]:
    """Return the start and end of each utterance's sound in seconds, and its speaker."""
    turns = []
    for utterance in talk.utterances:
        sounding = utterance.sounding
        start = round(max(0.0, sounding.start), 3)
        end = round(max(0.0, sounding.end), 3)
        speaker = MAIN if utterance.channel == "left" else OTHER
        turns.append((start, end, speaker))
    return turns


def finish_moshi(
    export: exporting.Export, lists: exporting.Lists, trainer: Trainer = MOSHI_FINETUNE, prefix: float = 0.0
) -> Mapping[str, exporting.FileText]:
    """Return the manifests and the configuration, after the record for `check` is written.

    `prefix`: seconds of a window that prompts take at most.
    """
    # What the check has no other way to know: these do not follow from the turns.
    facts_kept = ["talk", "sound_digest"]
    measures_kept = [name for name, measure in CONVERSATION_MEASURES.items() if not measure.of_turns]
    table = export.maker.tables().conversations.set_index("conversation_id")
    about = {}
    for name, facts in export.about.items():
        row = table.loc[name, [*facts_kept, *measures_kept]].dropna()
        known_facts = {fact: row[fact] for fact in facts_kept if fact in row}
        known_facts["talk"] = bool(row["talk"])
        measures = {measure: round(row[measure], 6) for measure in measures_kept if measure in row}
        about[name] = {**facts, **known_facts, "measures": measures, "split": export.side[name]}
    export.target.write_text(publish_items.ABOUT, json_document(about))
    counts = export.facts["words"]
    note = f"{counted(counts['total'], 'word')} ({counts['moved']} moved to another 80 ms frame"
    if counts["lost"] or export.settings.tokenizer:
        note += f", {counts['lost']} lost"
    if export.settings.tokenizer:
        note += f", {counts['cut']} cut"
    else:
        counts["cut"] = None
    export.notes.append(f"{note})")
    texts, export.facts["windows"] = training_lists(export.target.root, lists, trainer, prefix)
    return texts


def training_lists(
    root: Path, lists: exporting.Lists, trainer: Trainer = MOSHI_FINETUNE, prefix: float = 0.0
) -> tuple[dict[str, exporting.FileText], dict[str, int]]:
    """Return the manifests and the configuration of a folder, and the number of windows of each side."""
    lengths = [entry.seconds + prefix for entries in lists.values() for entry in entries]
    duration_sec = window_seconds(lengths, trainer.window)
    texts: dict[str, exporting.FileText] = {}
    windows = {}
    for side, entries in lists.items():
        windows[side] = window_count([entry.seconds for entry in entries], duration_sec)
        if entries:
            texts[f"{side}.jsonl"] = [json_text(entry.line) for entry in entries]
    batch = min([trainer.batch, *filter(None, windows.values())])
    texts[trainer.config] = config_text(trainer, root, duration_sec, batch, evaluate=bool(lists["eval"]))
    return texts, windows


MOSHI = exporting.ExportFormat(
    "moshi",
    reader="moshi-finetune (Kyutai)",
    holds="stereo WAV with the voice to learn on the left, its words with times, a configuration",
    loses="texts as sentences, tags except with --text-conditions, valence/arousal/dominance, prosody",
    checked="a reader written from its source",
    write=write_moshi,
    finish=finish_moshi,
    manifests=MANIFESTS,
    sides=exporting.TWO_LISTS,
    settings=MoshiSettings(),
    options=frozenset({"main"}),
    unit="file",
    prepare=refuse_path,
    recognises=is_moshi,
    check=check_moshi,
)
