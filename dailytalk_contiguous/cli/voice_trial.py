"""One line said by a synthesiser, mostly a person's own, and a judgement of what came."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Judgement, Outcome, to_run
from dailytalk_contiguous.core.settings import PlacedSetting, is_own_file, settings_in, with_settings
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.core.words.word_times import split_words
from dailytalk_contiguous.models.contracts import (
    Engine,
    Line,
    Spoken,
    Synthesiser,
    SynthesisFailed,
    VoiceConverter,
    VoiceSettings,
)
from dailytalk_contiguous.models.engines import (
    convert_side,
    engine_named,
    load_synthesiser,
    one_sentence,
    speaker_text,
    synthesise,
)
from dailytalk_contiguous.models.speech_activity import hear
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import check_sound_file, write_sound

#: What is said, with a style tag if the synthesiser takes any.
TRIAL = Line("It's been a while! How are you?", "excited", "en", 0)

#: What is in the header of the file of `--out`, by which a later trial knows that it may replace the file.
SPOKEN_TRIAL = "trial"

#: Largest sample under which sound is silence: -60 dBFS.
SILENT = 0.001


def try_voice(
    name: str, model: str = "", voice: str = "", out: Path | None = None, own: Mapping[str, object] = {}
) -> Outcome:
    """Say a line twice with a synthesiser, if that costs nothing, and judge it; one that converts is given a buzz.

    Args:
        name: of an engine, or a person's own file.
        model: empty for the engine's.
        voice: empty for the engine's.
        out: file for the sound, WAV; None for none.
        own: settings of the file, by their options.

    Raises DailytalkError for a name or a file that is no engine, and BadValue for an `out` that is there already,
    unless an earlier trial wrote it.
    """
    if out is not None:
        check_sound_file("--out", out, SPOKEN_TRIAL)
    engine = engine_named(name)
    line = TRIAL if engine.tags else TRIAL._replace(tag="")
    (options,) = with_settings((engine.options,), own)
    details: list[str | Judgement] = []
    record: dict[str, Any] = {"engine": engine.name}
    try:
        synthesiser = load_synthesiser(name, VoiceSettings(model, voice, options=options))
        details += _about(engine, synthesiser)
        record |= {"model": synthesiser.model, "voice": synthesiser.voice}
        with one_sentence(engine.name):
            synthesiser.preflight()
            missing = synthesiser.lacking()
            costs = synthesiser.price([line])
        if missing:
            reason = f"{missing[0].name} is not on this machine"
            raise DailytalkError(reason, "the first run with this voice downloads it")
        if costs:
            reason = f"a line would cost {costs:.6f} USD, so none was said"
            raise DailytalkError(reason, "try it with dailytalk speak")
        converts = isinstance(synthesiser, VoiceConverter)
        if isinstance(synthesiser, VoiceConverter):
            spoken = _converted(synthesiser)
            again = _converted(synthesiser)
        else:
            spoken = synthesise(synthesiser, line)
            again = synthesise(synthesiser, line)
    except DailytalkError as error:
        mended = _with_place(error, name) if is_own_file(name) else error
        return Outcome(record, Judgement("nothing was said", False), 1, details, error=mended)
    record |= _measures(spoken, again)
    faults = _faults(record, synthesiser)
    length = f"{record['seconds']:.2f} s at {spoken.sample_rate:,} Hz"
    if converts:
        details.append(f"  converted a buzz: {length}, sample for sample in time")
    else:
        details += [f"  said {line.text!r}: {length}", _words_text(spoken, line)]
    details += [Judgement(f"  {fault}", False) for fault in faults]
    if out is not None:
        with replacing(out) as file:
            write_sound(file, [to_pcm(spoken.samples)], spoken.sample_rate, 1, digest=SPOKEN_TRIAL)
        details.append(f"  in {out}")
    headline = "it converts" if converts else "it speaks"
    headline += ", with faults" if faults else ""
    next_command = ""
    if not faults:
        next_command = to_run("speak", "DIR", *_voice_words(name, model, voice, engine, own))
    return Outcome(record, Judgement(headline, not faults), 1 if faults else 0, details, next=next_command)


#: Parts of the names of settings whose values are secrets, and are never printed.
SECRET_PARTS = frozenset({"key", "token", "secret", "password"})


def _voice_words(name: str, model: str, voice: str, engine: Engine, own: Mapping[str, object]) -> list[str]:
    """The options of a command line that choose this synthesiser with these settings, except for secrets."""
    words = ["--tts", name]
    if model:
        words += ["--tts-model", model]
    if voice:
        words += ["--voice", voice]
    for placed in settings_in(engine.options):
        is_secret = not SECRET_PARTS.isdisjoint(placed.option.split("_"))
        if placed.option in own and not is_secret:
            words += _setting_words(placed, own[placed.option])
    return words


def _setting_words(placed: PlacedSetting, value: object) -> list[str]:
    flag = f"--{placed.option.replace('_', '-')}"
    if value is True:
        return [flag]
    if isinstance(value, tuple):
        return [word for item in value for word in (flag, str(item))]
    for word, meant in placed.setting.words.items():
        if value == meant:
            return [flag, word]
    if placed.setting.unit:
        return [flag, f"{value:g}s"]
    return [flag, str(value)]


def _about(engine: Engine, synthesiser: Synthesiser) -> list[str | Judgement]:
    voice = f", voice {synthesiser.voice}" if synthesiser.voice else ""
    tags = "none; lines are said without theirs"
    if engine.tags:
        tags = f"those of {engine.tag_list(synthesiser.model)}"
    licence = synthesiser.licence or engine.licence
    about = f"{speaker_text(synthesiser)}{voice}; price: {engine.price}; licence: {licence.licence}"
    if engine.converts:
        return [about, "  it converts recorded sound, and says no text"]
    return [
        about,
        f"  style tags: {tags}",
        f"  the voice of a sample: {'can be cloned' if engine.clones else 'is not cloned'}",
    ]


#: Pitch in Hz of what is converted: two syllables of a buzz, in a second.
BUZZ_HZ = 120.0

#: Sample rate in Hz of the buzz.
BUZZ_RATE = 16000


def _converted(converter: VoiceConverter) -> Spoken:
    """The buzz in a voice, with silence before, between and after its syllables."""
    seconds = np.arange(BUZZ_RATE) / BUZZ_RATE
    harmonics = np.arange(1, 40)[:, np.newaxis]
    partials = np.cos(2 * np.pi * BUZZ_HZ * harmonics * seconds)
    buzz = np.mean(partials, axis=0)
    syllables = np.maximum(0.0, np.sin(4 * np.pi * seconds))
    sound = convert_side(converter, (buzz * syllables).astype(np.float32), BUZZ_RATE, "trial")
    return Spoken(sound, BUZZ_RATE, None, 0.0)


def _measures(spoken: Spoken, again: Spoken) -> dict[str, float | None]:
    """Seconds of sound and of speech, the largest sample, how many words have times, whether both are alike."""
    speech = hear(spoken.samples, spoken.sample_rate).speech
    seconds = len(spoken.samples) / spoken.sample_rate
    speech_seconds = sum(end - start for start, end in speech)
    peak = float(np.abs(spoken.samples).max())
    return {
        "sample_rate": spoken.sample_rate,
        "seconds": round(seconds, 3),
        "speech_seconds": round(speech_seconds, 3),
        "peak": round(peak, 4),
        "words": None if spoken.words is None else len(spoken.words),
        "same_again": np.array_equal(spoken.samples, again.samples),
    }


def _faults(record: Mapping[str, Any], synthesiser: Synthesiser) -> list[str]:
    faults = []
    if record["peak"] < SILENT:
        faults.append("it is silence")
    elif not record["speech_seconds"] and not isinstance(synthesiser, VoiceConverter):
        faults.append("no speech is found in it: it is noise, or a tone")
    if record["peak"] > 1:
        faults.append(f"its largest sample is {record['peak']:.2f}, over 1: what exceeds 1 is limited")
    if synthesiser.deterministic and not record["same_again"]:
        faults.append("it calls itself deterministic, and said the line in another way")
    return faults


def _words_text(spoken: Spoken, line: Line) -> str:
    words = split_words(line.text)
    if spoken.words is None:
        return f"  word times: none, so all {len(words)} words are aligned"
    text = f"  word times: {len(spoken.words)} of {len(words)} words"
    if [word.text for word in spoken.words] != words:
        text += ", so all are aligned"
    return text


def _with_place(error: DailytalkError, file: str) -> DailytalkError:
    """The error of a person's own file, with the line of the file that raised it, if one did."""
    if error.__cause__ is not None:
        frames = traceback.extract_tb(error.__cause__.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(Path(file).absolute())]
        remedy = f"fix line {lines[-1]} of {file}" if lines else f"fix {file}"
        return DailytalkError(error.reason, remedy)
    if isinstance(error, SynthesisFailed):
        return DailytalkError(error.reason, f"fix what `speak` returns in {file}")
    return error
