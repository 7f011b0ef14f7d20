"""DailyTalkContiguous from the Hub as expressive conversations: its words stay, its left voice is resynthesised.

Its transcripts give the words, so that the recogniser only hears what they leave out. The environment must have
FISH_API_KEY, and FISH_AUDIO_REFERENCE_ID for the voice (or give Speak a voice).

    python builder_scripts/build_dailytalk.py work
"""

import dailytalk_contiguous as dc
from dailytalk_contiguous.cli.recipe import main

CHAIN = [
    dc.Segment(channel="both"),
    dc.MatchTranscript(),
    dc.CheckGiven(),
    dc.Transcribe(model="medium", language="en"),
    dc.JoinSentences(),
    dc.MeasureProsody(),
    dc.RateAffect(model="audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim", context_seconds=3.0),
    dc.Bucket(preset="percentile"),
    dc.Tag(rules="standard"),
    dc.Punctuate(),
    dc.Script(),
    dc.Speak(engine="fish", revoice="left"),
    dc.Reconstruct(mode="anchor", revoice="left"),
    dc.Align(recogniser="medium", revoice="left"),
    dc.Finish(revoice="left"),
]

if __name__ == "__main__":
    main(__doc__, CHAIN, source="kyutai/DailyTalkContiguous")
