"""The price of saying a script: that of every line that is not in the cache, before any of them is bought.

People start a dry run before their largest runs, so for each line to be bought it keeps a number in memory, and
neither the line nor its key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.models.contracts import Line, Synthesiser, VoiceSample
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.speech_cache import SpeechCache, cache_key
from dailytalk_contiguous.run.speaking import SynthesisInput, check_script_tags, revoiced, speak_stage_of
from dailytalk_contiguous.stages.base import Stage, find_stage
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.voice import ChooseVoice


@dataclass(frozen=True)
class Price:
    """The price of a script: utterances, UTF-8 bytes of their text, USD, hours of source.

    `cached` are the utterances for which nothing has to be bought. `not_cloned` are conversations without enough
    speech to clone their voice from, whose utterances are not counted. `refusal` says why a run would not begin
    (it lacks a token, a voice); empty if it would.
    """

    utterances: int
    cached: int
    without_text: int
    not_cloned: int
    text_bytes: int
    price: float
    hours: float
    refusal: str = ""


def price_of(script: SynthesisInput, stages: Sequence[Stage]) -> Price:
    """Compute what a script would cost, without the lines in the cache. Buys nothing.

    Takes that will be rejected, and bought again, are not included. Raises DailytalkError for tags that the
    synthesiser does not know.
    """
    load_synthesiser.cache_clear()
    check_script_tags(script, stages)
    stage, chooser = speak_stage_of(stages), find_stage(ChooseVoice, stages)
    if stage is None:
        return Price(0, 0, 0, 0, 0, 0.0, 0.0)
    synthesiser, cache = stage.synthesiser(), SpeechCache(Path(stage.cache) if stage.cache else None)
    missing: set[int] = set()
    said = cached = silent = text_bytes = not_cloned = 0
    seconds = price = 0.0
    for row in script.unfolded():
        try:
            samples: tuple[VoiceSample, ...] = ()
            if chooser is not None:
                chosen = chooser({name: [row[name]] for name in chooser.needs})
                samples = (VoiceSample(chosen["voice_wav"][0], chosen["voice_text"][0]),)
        except BadInput:  # too little of the voice to be cloned
            not_cloned += 1
            continue
        for index in revoiced(row, stage):
            text = row["text"][index].strip()
            if not text:
                silent += 1
                continue
            said += 1
            text_bytes += len(text.encode())
            seconds += row["end"][index] - row["start"][index]
            takes = _takes(stage, synthesiser, cache, row, index, samples)
            new = {key: line for key, line in takes if key not in missing}
            missing |= new.keys()
            price += synthesiser.price(list(new.values()))
            cached += not new
    return Price(said, cached, silent, not_cloned, text_bytes, price, seconds / 3600, refusal_of(synthesiser))


def refusal_of(synthesiser: Synthesiser) -> str:
    """Why a synthesiser can't say anything; empty if it can."""
    try:
        synthesiser.preflight()
    except DailytalkError as error:
        return str(error)
    return ""


def _takes(
    stage: Speak,
    synthesiser: Synthesiser,
    cache: SpeechCache,
    row: Row,
    index: int,
    samples: Sequence[VoiceSample],
) -> Iterator[tuple[int, Line]]:
    """The takes of an utterance that are not in the cache, as many as the stage needs if all are good.

    Each is a pair of the first 64 bits of its key and its line.
    """
    number, good, refused = stage.first_take(row["utterance_id"][index]), 0, 0
    tries, wanted = (1, 1) if synthesiser.deterministic else (stage.tries, stage.candidates)
    while good < wanted and refused < tries:
        line = stage.line(row["text"][index], row["tag"][index], row["language"][index], number)
        key = cache_key(synthesiser, line, samples)
        cached, verdict = cache.verdict(key)
        if not cached:
            yield int(key[:16], 16), line
        if stage.knows(verdict) and (verdict or {}).get("reason"):
            refused += 1
        else:
            good += 1
        number += stage.variants
