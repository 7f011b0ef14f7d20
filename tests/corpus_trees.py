"""Look-alikes of published corpora: their names, folders, tables and faults, with short tones for audio.

Every maker returns the files by name, to be written into a folder or a zip archive.
"""

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from audio_files import tones, wav_bytes
from from_apps import from_app

Files = dict[str, bytes]

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 81234\n"


@lru_cache(maxsize=None)
def clip(seconds: float = 0.06, rate: int = 16000, channels: int = 1) -> bytes:
    """A short WAV."""
    return wav_bytes(tones(seconds, rate, channels), rate)


def put(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a zip archive, with entries for its folders as usual programs make them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files} - {""}):
            archive.writestr(f"{folder}/", b"")
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def table(columns: list[str], *lines: list[Any]) -> bytes:
    """A CSV file."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerows([columns, *lines])
    return file.getvalue().encode()


def read(name: str, source: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """The rows of a corpus by their file."""
    registry = from_app("clips.corpora.registry")
    rows = list(registry.CORPORA[name].rows(source, **options))
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(bool(row["problem"]) == bool(row["remedy"]) for row in rows)
    return {row["audio_file"]: row for row in rows}


def good(rows: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without a problem."""
    return [row for row in rows.values() if row["problem"] is None]


def problems(rows: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """What is wrong with those that have one, by their file."""
    return {name: row["problem"] for name, row in rows.items() if row["problem"]}


def ravdess(channel: str) -> Files:
    """All names of the speech (01) or the song (02) of RAVDESS, in the folders of its archives."""
    files = {}
    for actor in range(1, 25):
        if channel == "02" and actor == 18:
            continue
        for emotion in range(1, 9 if channel == "01" else 7):
            for intensity in (1,) if emotion == 1 else (1, 2):
                for statement in (1, 2):
                    for take in (1, 2):
                        codes = f"{emotion:02d}-{intensity:02d}-{statement:02d}-{take:02d}-{actor:02d}"
                        name = f"03-{channel}-{codes}.wav"
                        files[f"Actor_{actor:02d}/{name}"] = clip()
    return files


def tess() -> Files:
    """All files of TESS, in the folders as they are spelt, with words in place of its 200."""
    folders = {
        "OAF": "angry disgust Fear happy neutral Pleasant_surprise Sad",
        "YAF": "angry disgust fear happy neutral pleasant_surprised sad",
    }
    syllables = [a + b + c for a in "bdfgl" for b in "aeiou" for c in "klmnprst"]
    words = ["back", "bite", *syllables][:200]
    files = {}
    for speaker, names in folders.items():
        for folder in names.split():
            label = "ps" if "urprise" in folder else folder.lower()
            for word in words:
                is_misnamed = (speaker, word, label) == ("OAF", "bite", "neutral")
                prefix = "OA" if is_misnamed else speaker
                name = f"{prefix}_{word}_{label}.wav"
                files[f"TESS/{speaker}_{folder}/{name}"] = clip()
    return files


def savee(form: str = "{speaker}_{name}.wav") -> Files:
    """All files of SAVEE; `form` is how speaker and name make a path."""
    files = {}
    for speaker in ("DC", "JE", "JK", "KL"):
        for letters in ("a", "d", "f", "h", "n", "sa", "su"):
            for number in range(1, 31 if letters == "n" else 16):
                name = form.format(speaker=speaker, name=f"{letters}{number:02d}")
                files[name] = clip()
    return files


def esd(with_splits: bool = True) -> Files:
    """A clip of each split, emotion and speaker of ESD, and no text."""
    files = {}
    for speaker in range(1, 21):
        for block, emotion in enumerate(("Neutral", "Angry", "Happy", "Sad", "Surprise")):
            for split, number in (("evaluation", 1), ("test", 21), ("train", 350)):
                folder = f"{speaker:04d}/{emotion}"
                if with_splits:
                    folder += f"/{split}"
                clip_number = block * 350 + number
                files[f"{folder}/{speaker:04d}_{clip_number:06d}.wav"] = clip()
    return files


def dailytalk(dialogues: Mapping[str, list[tuple[int, str]]], seconds: float = 1.0) -> Files:
    """Dialogues of DailyTalk by number, each a list of speaker and text."""
    files = {}
    metadata: dict[str, dict[str, Any]] = {}
    for dialogue, turns in dialogues.items():
        metadata[dialogue] = {}
        for number, (speaker, text) in enumerate(turns):
            metadata[dialogue][str(number)] = {
                "dialog_idx": int(dialogue),
                "speaker": speaker,
                "text": text,
                "emotion": "happiness" if text.endswith("!") else "no emotion",
                "act": "question" if text.endswith("?") else "inform",
                "topic": "Ordinary Life",
            }
            name = f"data/{dialogue}/{number}_{speaker}_d{dialogue}"
            files[f"{name}.wav"] = clip(seconds + 0.1 * number, 22050)
            files[f"{name}.txt"] = text.encode()
    files["metadata.json"] = json.dumps(metadata).encode()
    return files
