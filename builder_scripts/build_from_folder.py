"""Stereo recordings, one speaker a channel, into finished conversations: what `dailytalk build` does, in one list.

Copy this file and change the list. It needs FISH_API_KEY; models are downloaded once.

    python builder_scripts/build_from_folder.py calls work
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
    PerUtterance(Transcribe(model="medium", language="auto")),
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
    main(__doc__, TAGGING, SPEAKING)
