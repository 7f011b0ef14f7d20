"""Folders that trainers of a voice read: mono clips and lists of their texts, in the forms of six of them.

The lists are lines of fields with `|` between, and no reader of them takes a `|` or a line break inside a field,
so texts have neither. Where the reader is one of CSV (Python's or pandas'), a field with a quotation mark is
quoted as in CSV, because the mark would else swallow the lines behind it; the others split lines, and get it as it
is.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from dailytalk_contiguous.core.audio import Pcm, mixed_down, read_pcm
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.publish.items import conversation
from dailytalk_contiguous.publish.splits import as_given, split_two
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.corpora.registry import corpus_rows
from dailytalk_contiguous.sources.editable import laid_over
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name

#: Texts that pandas reads as a missing value, with which Coqui TTS fails hours later (`na_values` of `read_csv`).
_MISSING = frozenset(
    """
    #N/A #NA -1.#IND -1.#QNAN -NaN -nan 1.#IND 1.#QNAN <NA> N/A NA NULL NaN None n/a nan null
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

#: Languages of GPT-SoVITS; it leaves out lines of others with a warning.
SOVITS_LANGUAGES = frozenset({"zh", "ja", "en", "ko", "yue"})

_READABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class VoiceClip(NamedTuple):
    """A clip; `speaker` is a name, or what is used as one, and `entry` its entry in a whisper.json.

    Its `path`, the file of its sound under the folder without ending, and its `seconds` are known once it is
    written; `name` is that file's then.
    """

    id: str
    name: str
    speaker: str
    language: str | None
    text: str
    entry: dict[str, Any] | None
    load: Callable[[int], Pcm]
    path: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class VoiceFormat:
    """What a trainer reads.

    Attributes:
        sample_rate: Hz that it works at; it would resample anything else each time.
        line: the fields of a clip, for the folder, and whether there are several speakers.
        lists: the file of each side; one that evaluates on a share itself has the list `train` alone.
        audio: the folder of the sound.
        header: the first line.
        is_csv: whether the reader is one of CSV.
        refuse: why it can't take a clip.
    """

    sample_rate: int
    line: Callable[[VoiceClip, Path, bool], list[str]]
    lists: Mapping[str, str]
    audio: str = "wavs"
    header: tuple[str, ...] = ()
    is_csv: bool = False
    refuse: Callable[[VoiceClip], str | None] = lambda clip: None
    with_json: bool = False


def _missing(clip: VoiceClip) -> str | None:
    return f"its text {clip.text!r} is a missing value to pandas" if clip.text in _MISSING else None


def _unspoken(clip: VoiceClip) -> str | None:
    known = ", ".join(sorted(SOVITS_LANGUAGES))
    return None if clip.language in SOVITS_LANGUAGES else f"its language is {clip.language}, not one of {known}"


#: The formats; where each is read, and the rate. LJSpeech: its own README. XTTS: `coqui` in
#: TTS/tts/datasets/formatters.py of Coqui TTS, and `XttsAudioConfig`. Piper: `ljspeech_dataset` in
#: piper_train/preprocess.py, and the rate of its medium and high voices. GPT-SoVITS: 1-get-text.py and
#: 2-get-hubert-wav32k.py in prepare_datasets. F5-TTS: train/datasets/prepare_csv_wavs.py, and
#: `target_sample_rate` of its models. Tortoise: `load_filepaths_and_text` and DLAS's paired_voice_audio.
VOICE_FORMATS: dict[str, VoiceFormat] = {
    "ljspeech": VoiceFormat(
        22050, lambda clip, root, many: [clip.name, clip.text, clip.text], {"train": "metadata.csv"}
    ),
    "xtts": VoiceFormat(
        22050,
        lambda clip, root, many: [f"{clip.path}.wav", clip.text, clip.speaker],
        {"train": "metadata_train.csv", "eval": "metadata_eval.csv"},
        header=("audio_file", "text", "speaker_name"),
        is_csv=True,
        refuse=_missing,
    ),
    "piper": VoiceFormat(
        22050,
        # A third field is the speaker: it reads `id|text` of a single one.
        lambda clip, root, many: [clip.name, *([clip.speaker] if many else []), clip.text],
        {"train": "metadata.csv"},
        is_csv=True,
    ),
    "gpt-sovits": VoiceFormat(
        32000,
        # Paths are opened as they are, from whatever folder it runs in.
        lambda clip, root, many: [f"{root / clip.path}.wav", clip.speaker, str(clip.language), clip.text],
        {"train": "{}.list"},
        refuse=_unspoken,
    ),
    "f5": VoiceFormat(
        24000,
        # Some of its versions take whole paths only.
        lambda clip, root, many: [f"{root / clip.path}.wav", clip.text],
        {"train": "metadata.csv"},
        header=("audio_file", "text"),
        is_csv=True,
    ),
    "tortoise": VoiceFormat(
        22050,
        lambda clip, root, many: [f"{clip.path}.wav", clip.text],
        {"train": "train.txt", "eval": "validation.txt"},
        audio="audio",
        with_json=True,
    ),
}


@dataclass(frozen=True)
class VoiceExported:
    lines: dict[str, int]
    disjoint: bool
    rejects: list[Reject] = field(default_factory=list)


def export_voice(
    clips: Iterable[VoiceClip | Reject],
    out: Path,
    format: str,
    *,
    eval_share: float = 0.1,
    seed: int = 0,
    sides: Mapping[str, str] | None = None,
    sample_rate: int | None = None,
) -> VoiceExported:
    """Write a folder for a trainer of voices; the same clips and settings give the same bytes.

    Args:
        clips: of `voice_rows` or `voice_folder`; read once, one at a time.
        format: of `VOICE_FORMATS`.
        eval_share, seed, sides: as of `export_moshi`.
        sample_rate: Hz; None for the trainer's own.

    Raises DailytalkError if `out` is not ours or its path can't be in a list, or no clip can be used.
    """
    kind = VOICE_FORMATS[format]
    root = out.resolve()
    lists = {side: name.format(_plain(root.name) or "clips") for side, name in kind.lists.items()}
    if "|" in str(root) or "\n" in str(root):
        raise DailytalkError(f"--out {str(root)!r} can't be in a list of the trainer", "choose another folder")
    target = OwnedFolder(out, format, [*lists.values(), *([whisper_json.WHISPER_JSON] if kind.with_json else [])])
    clips_by_id: dict[str, VoiceClip] = {}
    rejects: list[Reject] = []
    taken: set[str] = set()
    for source in clips:
        if isinstance(source, Reject):
            rejects.append(source)
            continue
        try:
            clip = _write(target, source, kind, sample_rate or kind.sample_rate, taken)
        except BadInput as problem:
            rejects.append(Reject(source.id, "export", problem.reason, problem.remedy))
            continue
        if clip.id in clips_by_id:
            raise DailytalkError(f"the clip {clip.id!r} occurs twice", "run `dailytalk check` on the dataset")
        clips_by_id[clip.id] = clip
    if not clips_by_id:
        first = f" ({rejects[0].id}: {rejects[0].reason})" if rejects else ""
        raise DailytalkError(
            f"no clip could be exported{first}", "transcribe the clips, or build the corpus again"
        )
    side, disjoint = dict.fromkeys(clips_by_id, "train"), True
    if "eval" in lists:
        items = [(clip.id, clip.speaker, clip.seconds) for clip in clips_by_id.values()]
        side, disjoint = as_given(items, sides) if sides is not None else split_two(items, eval_share, seed)
    many = len({clip.speaker for clip in clips_by_id.values()}) > 1
    listed = {name: [clip for clip in clips_by_id.values() if side[clip.id] == name] for name in lists}
    texts = {lists[name]: _list(kind, [kind.line(clip, root, many) for clip in listed[name]]) for name in lists}
    if kind.with_json:
        texts[whisper_json.WHISPER_JSON] = whisper_json.whisper_json_text(
            {f"{clip.name}.wav": clip.entry for clip in clips_by_id.values()}
        )
    target.finish(texts)
    return VoiceExported({name: len(listed[name]) for name in lists}, disjoint, rejects)


def _write(
    target: OwnedFolder, source: VoiceClip, kind: VoiceFormat, sample_rate: int, taken: set[str]
) -> VoiceClip:
    text = _plain(source.text)
    if not text:
        raise BadInput("it has no text", "run dailytalk transcribe, or leave it out")
    # Its own name where that is safe everywhere and no other clip has it, whatever the case.
    name = source.name if _READABLE.fullmatch(source.name) else file_name(source.id)
    name = file_name(source.id) if name.casefold() in taken else name
    path = f"{kind.audio}/{name}"
    clip = source._replace(name=name, path=path, speaker=_plain(source.speaker), text=text)
    if why := kind.refuse(clip):
        raise BadInput(why, "correct it where the clip has it, or leave the clip out")
    pcm = source.load(sample_rate)
    if not len(pcm):
        raise BadInput("it holds no audio (0 s)", "leave it out")
    taken.add(name.casefold())
    target.write_wav(f"{path}.wav", pcm, sample_rate)
    seconds = len(pcm) / sample_rate
    whole = {"id": 0, "start": 0.0, "end": round(seconds, 4), "text": text}
    entry = source.entry or {"text": text, "language": source.language, "segments": [whole]}
    return clip._replace(seconds=seconds, entry=entry)


def _plain(text: str) -> str:
    """A text with single spaces, in which no line and no field ends."""
    return " ".join(text.replace("|", " ").replace("\0", " ").split())


def _list(kind: VoiceFormat, lines: Iterable[list[str]]) -> str:
    rows = [*([kind.header] if kind.header else []), *lines]
    if not kind.is_csv:
        return "".join("|".join(fields) + "\n" for fields in rows)
    written = io.StringIO()
    csv.writer(written, delimiter="|", lineterminator="\n").writerows(rows)
    return written.getvalue()


def voice_rows(rows: Iterable[Row]) -> Iterator[VoiceClip | Reject]:
    """The clips among rows of `open_items`: their own part of the left channel."""
    for row in rows:
        name, labels = row["conversation_id"], row.get("labels")
        if row.get("problem"):
            yield Reject(name, "export", row["problem"], row["remedy"])
        elif not labels:
            remedy = "export it for moshi, csm or j-moshi"
            yield Reject(name, "export", "it is a conversation of two, not a clip of one speaker", remedy)
        else:
            utterance, corpus = row["utterances"][0], labels.get("corpus") or ""
            speaker = (row["speakers"] or {}).get("left") or corpus or "speaker"
            speaker, stem = speaker.removeprefix(f"{corpus}/"), PurePosixPath(name).name
            text = utterance["text_raw"] or utterance["text"] or ""

            def load(sample_rate: int, row: Row = row, start: float = utterance["start"]) -> Pcm:
                return conversation(row, sample_rate, swap=False).pcm[round(start * sample_rate) :, 0]

            yield VoiceClip(name, stem, speaker, row["language"], text, None, load)


def is_voice_folder(place: Path) -> bool:
    """Whether a folder is one of clips with a whisper.json. Raises DailytalkError for a link that leads out."""
    try:
        return place.is_dir() and whisper_json.clips_folder(place).json is not None
    except BadInput as error:
        raise DailytalkError(error.reason, error.remedy) from None


def voice_folder(place: Path) -> Iterator[VoiceClip | Reject]:
    """The clips of a folder with a whisper.json, as the corpus `clips` reads them."""
    rows = [*corpus_rows("clips", place)]
    audio, path = whisper_json.clips_folder(place)
    assert path is not None
    prefix = "" if audio == place else f"{audio.name}/"
    entries = whisper_json.read_whisper_json(laid_over(path)).entries
    names = [row["audio_file"].removeprefix(prefix) for row in rows if not row["problem"]]
    keys = whisper_json.match_names(entries, names).keys
    for row in rows:
        name = row["audio_file"].removeprefix(prefix)
        if row["problem"]:
            yield Reject(row["id"], "export", row["problem"], row["remedy"])
        else:
            entry = entries[keys[name]] if name in keys else None
            speaker = row["speaker"].removeprefix("clips/")
            stem = PurePosixPath(name).stem

            def load(sample_rate: int, audio: dict[str, Any] = row["audio"]) -> Pcm:
                return mixed_down(read_pcm(audio, sample_rate=sample_rate))

            yield VoiceClip(row["id"], stem, speaker, row["language"], row["text"] or "", entry, load)
