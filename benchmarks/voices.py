"""How well the speaker encoder tells voices apart, and what `dailytalk check` finds by it.

    python benchmarks/voices.py FOLDER

FOLDER holds `readers/NAME/*.flac` (one voice each), `labelled/timit/NAME/*.flac` (TIMIT), `spokenwoz/*.wav` and
two calls in `talk` (one speaker a channel). It prints, as recorded and by telephone:

- of stretches of 6 and 15 s, the equal error rate at which two of one person are taken for two people, and two
  people's for one;
- what `check` finds in conversations of a bundled voice on the left and a reader on the right: as they should be,
  and with exchanged sides (of the rows, or of the sound alone), one of 3 and a third of all at a time;
- how often it finds one reader on both sides, two readers on one side, and another bundled voice on the left;
- what it takes beside the rest of `check`.

The limits of `check` were set when the likenesses of all these speakers were known, and how short a side may be by
the exchanged conversations of readers, so that people who are not among them are the better test.

The two SpokenWOZ calls are of the same two people, and count as one pair. Readers are of LibriSpeech, on another
part of which the encoder was trained.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import measuring
import numpy as np
import soundfile
import soxr
from built_conversations import turns_row
from numpy.typing import NDArray
from words import TELEPHONE, channels, sentence_samples

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.voice_likeness import SHORTEST_HALF, ConversationVoices, match_voices, voiced_side
from dailytalk_contiguous.models.checkpoints import INSTALL_RESEMBLYZER
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.speaker_encoder import SpeakerEncoder
from dailytalk_contiguous.models.speech_activity import hear
from dailytalk_contiguous.publish.row_check import row_findings
from dailytalk_contiguous.publish.verdict import LIMITS
from dailytalk_contiguous.publish.voice_check import (
    SAME_VOICE,
    SEVERAL_VOICES,
    find_speaker_encoder,
    hear_voices,
    voice_findings,
)

#: Speakers who are one person in two recordings.
SAME_PERSON = {"SNG1640 left": "MUL1423 left", "SNG1640 right": "MUL1423 right"}

#: Seconds of the stretches that are compared; of a line of a conversation; and of all lines of a side at most.
STRETCHES = (6.0, 15.0)
LINE = 3.0
SIDE = 30.0

#: The share of all conversations that are exchanged at a time.
EXCHANGED = 1 / 3

#: The goals: share of exchanged conversations that are found, and findings on readers.
LEAST_FOUND = 0.95
MOST_FALSE = 0

#: Speech without pauses at 16 kHz, by speaker.
Speech = Mapping[str, Samples]


@dataclass(frozen=True)
class Heard:
    """A reader in a conversation with a voice: as it should be, with exchanged rows, and with exchanged sound."""

    right: ConversationVoices
    exchanged_row: ConversationVoices
    exchanged_sound: ConversationVoices


def by_telephone(sound: Samples) -> Samples:
    """A sound as a telephone passes it."""
    return next(passed for name, passed in channels(sound) if name == TELEPHONE)


BANDS: dict[str, Callable[[Samples], Samples]] = {"as recorded": np.asarray, "telephone": by_telephone}


def speech_of(samples: Samples, rate: int) -> Samples:
    """What is speech in a channel, at 16 kHz."""
    sound = np.asarray(soxr.resample(samples, rate, ANALYSIS_RATE), np.float32)
    spans = hear(sound, ANALYSIS_RATE).speech
    parts = [sound[round(start * ANALYSIS_RATE) : round(end * ANALYSIS_RATE)] for start, end in spans]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def readers(folder: Path, mend: bool) -> dict[str, Samples]:
    """The speech of each folder of recordings, by its name."""
    voices = {}
    for home in sorted(path for path in folder.iterdir() if path.is_dir()):
        sentences = [sentence_samples(path, mend)[:2] for path in sorted(home.glob("*.flac"))]
        voices[home.name] = np.concatenate([speech_of(*sentence) for sentence in sentences])
    return voices


def callers(*paths: Path) -> dict[str, Samples]:
    """The speech of both sides of calls, by the call and the side."""
    voices: dict[str, Samples] = {}
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        for channel, side in enumerate(("left", "right")):
            name = f"{path.stem} {side}"
            person = SAME_PERSON.get(name, name)
            speech = speech_of(samples[:, channel], rate)
            voices[person] = np.concatenate([voices.get(person, np.zeros(0, np.float32)), speech])
    return voices


def cut(sound: Samples, seconds: float) -> list[Samples]:
    """The whole stretches of so many seconds in a sound."""
    length = round(seconds * ANALYSIS_RATE)
    return [sound[start : start + length] for start in range(0, len(sound) - length + 1, length)]


def likenesses(encoder: SpeakerEncoder, speech: Speech, seconds: float) -> tuple[Any, Any]:
    """How alike stretches are: of one speaker, and of two; each of shape (pairs,)."""
    stretches = [encoder.embed(cut(sound[: round(150 * ANALYSIS_RATE)], seconds)) for sound in speech.values()]
    same = [(each @ each.T)[np.triu_indices(len(each), 1)] for each in stretches]
    different = [(one @ other.T).ravel() for one, other in combinations(stretches, 2)]
    return np.concatenate(same), np.concatenate(different)


def equal_error_rate(same: NDArray[Any], different: NDArray[Any]) -> float:
    """The share of wrong answers at the limit at which both kinds are equally wrong."""
    limits = np.sort(np.concatenate([same, different]))
    missed = np.searchsorted(np.sort(same), limits) / len(same)
    taken = 1 - np.searchsorted(np.sort(different), limits) / len(different)
    nearest = np.argmin(np.abs(missed - taken))
    return float(missed[nearest] + taken[nearest]) / 2


def print_separation(encoder: SpeakerEncoder, corpora: Mapping[str, Speech]) -> None:
    for corpus, speech in corpora.items():
        for band, passed in BANDS.items():
            if corpus == "calls" and band == "telephone":
                continue  # they are by telephone
            heard = {name: passed(sound) for name, sound in speech.items()}
            for seconds in STRETCHES:
                same, different = likenesses(encoder, heard, seconds)
                figure = f"{corpus}, {len(speech)} speakers, {band}, {seconds:g} s: "
                if not len(same):
                    print(f"{figure}no two stretches of one speaker")
                    continue
                rate = equal_error_rate(same, different)
                low = np.quantile(same, 0.01)
                high = np.quantile(different, 0.99)
                print(
                    f"{figure}equal error rate {100 * rate:.1f} %; {len(same)} pairs by one: 1 % under {low:.2f}, "
                    f"least {same.min():.2f}; {len(different)} by two: 1 % over {high:.2f}, most "
                    f"{different.max():.2f}",
                    flush=True,
                )


def said_by(engine: str) -> list[Samples]:
    """Lines of the bundled recordings by a voice, at 16 kHz."""
    voice = load_synthesiser(engine, VoiceSettings("", ""))
    said = [synthesise(voice, Line(text, "", "en", 0)) for text in measuring.texts(least_words=6)]
    return [np.asarray(soxr.resample(each.samples, each.sample_rate, ANALYSIS_RATE), np.float32) for each in said]


def side_by(lines: Sequence[Samples], seed: int) -> list[Samples]:
    """Lines of a voice in a conversation, drawn with a seed, of `SIDE` seconds together."""
    order = np.random.default_rng(seed).permutation(len(lines))
    drawn: list[Samples] = []
    for index in order:
        if sum(map(len, drawn)) < SIDE * ANALYSIS_RATE:
            drawn.append(lines[index])
    return drawn


def lines_of(sound: Samples) -> list[Samples]:
    """The speech of a person in a conversation, line by line."""
    length = round(LINE * ANALYSIS_RATE)
    last = min(len(sound), round(SIDE * ANALYSIS_RATE))
    return [sound[start : start + length] for start in range(0, last, length)]


def hear_with(encoder: SpeakerEncoder, voice: Sequence[Samples], speech: Speech) -> list[Heard]:
    """Each speaker in a conversation with a voice."""
    heard = []
    for number, (name, sound) in enumerate(speech.items()):
        said = side_by(voice, number)
        kept = lines_of(sound)
        rows = (
            turns_row(name, said, kept),
            turns_row(name, kept, said),
            turns_row(name, said, kept, is_swapped=True),
        )
        voices = [hear_voices(encoder, row) for row in rows]
        assert all(voices), name
        heard.append(Heard(*(each for each in voices if each)))
    return heard


def corpora_of(heard: Sequence[Heard], kind: str) -> Iterator[tuple[list[ConversationVoices], set[str]]]:
    """Corpora in which conversations are exchanged, with their names: one of 3, and `EXCHANGED` of all."""
    for number, each in enumerate(heard):
        others = [heard[(number + step) % len(heard)].right for step in (1, 2)]
        yield [getattr(each, kind), *others], {each.right.conversation_id}
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(heard))
        drawn = {int(index) for index in order[: round(EXCHANGED * len(heard))]}
        corpus = [getattr(each, kind) if index in drawn else each.right for index, each in enumerate(heard)]
        yield corpus, {heard[index].right.conversation_id for index in drawn}


def count_exchanged(heard: Sequence[Heard], kind: str) -> tuple[int, int, int]:
    """How many exchanged conversations are found, of how many, and how many others are taken for exchanged."""
    found = 0
    total = 0
    wrong = 0
    for corpus, exchanged in corpora_of(heard, kind):
        named = exchanged_in(corpus)
        found += len(named & exchanged)
        total += len(exchanged)
        wrong += len(named - exchanged)
    return found, total, wrong


def exchanged_in(corpus: Sequence[ConversationVoices]) -> set[str]:
    """The conversations whose sides `check` takes for exchanged."""
    matches = match_voices(corpus, LIMITS[SEVERAL_VOICES] or 0.0)
    return {match.conversation.conversation_id for match in matches if match.is_exchanged}


def false_findings(heard: Sequence[Heard]) -> set[str]:
    """Speakers whose conversation has a finding among two others', of one right voice on each side."""
    named = set()
    for number, each in enumerate(heard):
        others = [heard[(number + step) % len(heard)].right for step in (1, 2)]
        for finding in voice_findings([each.right, *others], LIMITS):
            named.add(each.right.conversation_id)
            print(f"  {each.right.conversation_id}: {finding.sentence}")
    return named


def as_recorded(name: str, left: NDArray[np.float32], right: NDArray[np.float32]) -> ConversationVoices:
    """A conversation of two people by the vectors of their halves."""
    sides = {"left": voiced_side(left, SIDE), "right": voiced_side(right, SIDE)}
    return ConversationVoices(name, 60.0, "", sides)


def findings_of_pairs(pairs: Sequence[ConversationVoices], kind: str) -> int:
    """How many conversations have a finding of a kind, each by itself."""
    return sum(any(finding.kind == kind for finding in voice_findings([pair], LIMITS)) for pair in pairs)


def judge_pairs(encoder: SpeakerEncoder, speech: Speech, label: str) -> list[bool]:
    """Two readers as recorded, one on both sides, and two on one side; of those with speech enough."""
    halves = {
        name: encoder.embed(np.array_split(sound[: round(SIDE * ANALYSIS_RATE)], 2))
        for name, sound in speech.items()
        if len(sound) >= 2 * SHORTEST_HALF * ANALYSIS_RATE
    }
    label += f", {len(halves)} speakers"
    two = [as_recorded(f"{one} {other}", halves[one], halves[other]) for one, other in combinations(halves, 2)]
    false = {kind: findings_of_pairs(two, kind) for kind in (SEVERAL_VOICES, SAME_VOICE)}
    goals = [
        measuring.judged(f"{label}: {kind} in {n} of {len(two)} pairs as recorded", n <= MOST_FALSE)
        for kind, n in false.items()
    ]
    one = [as_recorded(name, each[:1], each[1:]) for name, each in halves.items()]
    mixed = [
        as_recorded(f"{one} {other}", np.stack([halves[one][0], halves[other][1]]), halves[one])
        for one, other in combinations(halves, 2)
    ]
    print(f"{label}: one reader on both sides, found {findings_of_pairs(one, SAME_VOICE)} of {len(one)}")
    print(f"{label}: two readers on one side, found {findings_of_pairs(mixed, SEVERAL_VOICES)} of {len(mixed)}")
    return goals


def judge_voice(
    encoder: SpeakerEncoder, engine: str, voice: Sequence[Samples], speech: Speech, label: str
) -> list[bool]:
    """What is found of readers in conversations with a bundled voice."""
    heard = hear_with(encoder, voice, speech)
    label = f"{label} with {engine}"
    false = false_findings(heard)
    goals = [measuring.judged(f"{label}: findings on {len(false)} of {len(heard)}", len(false) <= MOST_FALSE)]
    for kind in ("exchanged_row", "exchanged_sound"):
        found, total, wrong = count_exchanged(heard, kind)
        figure = f"{label}: {kind.replace('_', ' ')}s found {found} of {total}, {wrong} others named"
        goals.append(measuring.judged(figure, found >= LEAST_FOUND * total and wrong <= MOST_FALSE))
    return goals


def judge_other_voice(encoder: SpeakerEncoder, said: Mapping[str, Sequence[Samples]], speech: Speech) -> None:
    """Another bundled voice, or another reader, on the left of one conversation of three."""
    engine, other = said
    long = [name for name, sound in speech.items() if len(sound) >= SHORTEST_HALF * ANALYSIS_RATE]
    kept = {name: lines_of(speech[name]) for name in long[:13]}
    names = [*kept]
    usual = [turns_row(name, side_by(said[engine], seed), kept[name]) for seed, name in enumerate(names[:2])]
    heard = [hear_voices(encoder, row) for row in usual]
    rest = [each for each in heard if each]
    n_voices = 0
    n_readers = 0
    for seed, name in enumerate(names[2:12]):
        for lines, is_voice in ((side_by(said[other], seed), True), (kept[names[seed + 3]], False)):
            third = hear_voices(encoder, turns_row(name, lines, kept[name]))
            assert third
            kinds = {finding.kind for finding in voice_findings([*rest, third], LIMITS)}
            n_voices += is_voice and SEVERAL_VOICES in kinds
            n_readers += not is_voice and SEVERAL_VOICES in kinds
    print(
        f"on the left of one of 3: {other} for {engine} found {n_voices} of 10, a reader {n_readers} of 10",
        flush=True,
    )


def print_cost(encoder: SpeakerEncoder, voice: Sequence[Samples], speech: Speech) -> None:
    kept = np.concatenate([*speech.values()])
    row = turns_row("long", [*voice] * 4, cut(kept, LINE)[:200])
    began = time.process_time()
    findings = list(row_findings("long", row))
    checked = time.process_time()
    hear_voices(encoder, row)
    heard = time.process_time() - checked
    print(
        f"a conversation of {row['duration'] / 60:.1f} minutes: voices {heard:.2f} s of processor time, its other "
        f"checks {checked - began:.2f} s ({len(findings)} findings)"
    )


def main(folder: Path) -> int:
    encoder = find_speaker_encoder()
    if encoder is None:
        raise SystemExit(f"the weights of the speaker encoder are not here: {INSTALL_RESEMBLYZER}")
    corpora: dict[str, Speech] = {
        "TIMIT": readers(folder / "labelled/timit", mend=True),
        "readers": readers(folder / "readers", mend=False),
        "calls": callers(
            *sorted((folder / "spokenwoz").glob("*.wav")),
            folder / "talk/aws_auto_repairs_40.flac",
            folder / "talk/cobalt_call.flac",
        ),
    }
    print_separation(encoder, corpora)
    said = {engine: said_by(engine) for engine in ("piper", "espeak")}
    goals = []
    for corpus, speech in corpora.items():
        for band, passed in BANDS.items():
            if corpus == "calls" and band == "telephone":
                continue
            heard = {name: passed(sound) for name, sound in speech.items()}
            label = f"{corpus}, {band}"
            goals += judge_pairs(encoder, heard, label)
            for engine, lines in said.items():
                goals += judge_voice(encoder, engine, lines, heard, label)
    judge_other_voice(encoder, said, corpora["readers"])
    print_cost(encoder, said["piper"], corpora["readers"])
    return 0 if all(goals) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    sys.exit(main(parser.parse_args().folder))
