"""Rows of expressive corpora: one acted or natural clip of one speaker, in the same words for every corpus.

The corpora name emotions in different ways, so there is one vocabulary here; each importer's map to it stands in
that importer, and the corpus's own label is always kept beside ours. What a corpus does not tell is null, never
guessed.
"""

from datasets import Features, Value

from dailytalk_contiguous.core.schema import AFFECT, AUDIO, MEASURE, SECONDS, STRING

#: `other` is a label that has no counterpart here, or raters who did not agree; it is not "unknown" (null is).
EMOTIONS = (
    *("neutral", "calm", "happy", "sad", "angry", "fearful", "disgusted", "surprised", "contemptuous", "other"),
)

#: How it is said, apart from the emotion. Null where neither the corpus nor a rule tells.
STYLES = ("normal", "whispered", "shouted", "sung")

#: How strongly it is meant to be acted.
INTENSITIES = ("low", "medium", "high", "normal", "strong")

GENDERS = ("female", "male", "other")

#: Splits that a corpus publishes itself.
OFFICIAL_SPLITS = ("train", "validation", "test")

#: What every importer yields. `id` is `corpus/…`, unique in the corpus; `audio` holds a path (or bytes from inside
#: an archive); `sentence` names the text that several speakers say, for splits by sentence; `label` is the
#: corpus's own word or code for `emotion`; `perceived` is what raters heard, with the share of them in `agreement`
#: and how strongly they heard it in `perceived_intensity`, both in [0, 1]; `given_…` affect is rated by people, in
#: [0, 1]; `act` is the dialogue act, as the corpus names it. A row with a `problem` can't be used, and `remedy`
#: says what to do about it.
CLIP = Features(
    {
        "id": STRING,
        "corpus": STRING,
        "audio": AUDIO,
        "audio_file": STRING,
        "duration": SECONDS,
        "sample_rate": Value("int32"),
        "channels": Value("int32"),
        "text": STRING,
        "language": STRING,
        "speaker": STRING,
        "gender": STRING,
        "age": Value("int32"),
        "sentence": STRING,
        "emotion": STRING,
        "label": STRING,
        "perceived": STRING,
        "perceived_label": STRING,
        "act": STRING,
        "agreement": MEASURE,
        "perceived_intensity": MEASURE,
        "intensity": STRING,
        "style": STRING,
        **{f"given_{name}": MEASURE for name in AFFECT},
        "official_split": STRING,
        "licence": STRING,
        "input_digest": STRING,
        "problem": STRING,
        "remedy": STRING,
    }
)
