"""Recordings into finished conversations, with nothing to download and nothing to pay: a first try of a chain.

The models are those of the extra `offline`; take the list of build_from_folder.py for real work.

    python builder_scripts/build_offline.py examples work
    dailytalk push work OWNER/NAME --create --tag v1.0.0
"""

import dailytalk_contiguous as dc
from dailytalk_contiguous.cli.recipe import main

CHAIN = [
    dc.Segment(channel="both"),
    dc.MatchTranscript(),
    dc.CheckGiven(),
    dc.Transcribe(model="base", language="en"),
    dc.JoinSentences(),
    dc.MeasureProsody(),
    dc.RateAffect(model="voice-linear"),
    dc.Bucket(preset="percentile"),
    dc.Tag(rules="standard"),
    dc.Punctuate(),
    dc.Script(),
    dc.Speak(engine="piper", revoice="left"),
    dc.Reconstruct(mode="anchor", revoice="left"),
    dc.Align(recogniser="", revoice="left"),
    dc.Finish(revoice="left"),
]

if __name__ == "__main__":
    main(__doc__, CHAIN)
