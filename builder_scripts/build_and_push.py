"""Recordings into a published version, with nothing to download and nothing to pay: a first try of the whole way.

The embedded models are a preview; take the list of build_from_folder.py for real work. `hf auth login` first, or
start a Hub on this machine with `make hub`.

    python builder_scripts/build_and_push.py examples work OWNER/NAME v1.0.0
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
    PerUtterance(Transcribe(model="pocketsphinx", language="en")),
    PerUtterance(MeasureProsody()),
    PerUtterance(RateAffect(model="acoustic-estimate")),
    Bucket(preset="percentile"),
    PerUtterance(Tag(rules="standard")),
    PerUtterance(Punctuate()),
]

SPEAKING = [
    PerUtterance(Speak(engine="espeak", revoice="left")),
    Reconstruct(mode="anchor", revoice="left"),
    Align(recogniser="", revoice="left"),
    Finish(revoice="left"),
]

if __name__ == "__main__":
    main(__doc__, TAGGING, SPEAKING, publish=True)
