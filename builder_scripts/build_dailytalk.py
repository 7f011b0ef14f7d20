"""DailyTalkContiguous from the Hub as expressive conversations: its words stay, its left voice is resynthesised.

Its transcripts give the words, so that the recogniser only hears what they leave out. It needs FISH_API_KEY.

    python builder_scripts/build_dailytalk.py work
"""

from dailytalk_contiguous import (
    Align,
    Bucket,
    Finish,
    MatchTranscript,
    MeasureProsody,
    PerUtterance,
    Punctuate,
    RateAffect,
    Reconstruct,
    Segment,
    Speak,
    Tag,
    Transcribe,
)
from dailytalk_contiguous.cli.recipe import main

TAGGING = [
    Segment(channel="both"),
    MatchTranscript(),
    PerUtterance(Transcribe(model="medium", language="en")),
    PerUtterance(MeasureProsody()),
    PerUtterance(RateAffect(model="audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim", context=3.0)),
    Bucket(preset="percentile"),
    PerUtterance(Tag(rules="standard")),
    PerUtterance(Punctuate()),
]

SPEAKING = [
    PerUtterance(Speak(engine="fish", revoice="left")),
    Reconstruct(mode="anchor", revoice="left"),
    Align(recogniser="medium", revoice="left"),
    Finish(revoice="left"),
]

if __name__ == "__main__":
    main(__doc__, TAGGING, SPEAKING, source="kyutai/DailyTalkContiguous")
