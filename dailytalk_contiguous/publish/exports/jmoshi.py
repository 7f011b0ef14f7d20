"""J-Moshi, as nu-dialogue's moshi-finetune reads it.

`audio/NAME.wav` is stereo, with speaker A on the left and B on the right, and `text/NAME.json` a list of
`{"speaker", "word", "start", "end"}` with the words of both by start.
"""

import shlex
from collections.abc import Iterator, Mapping

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.store.files import file_name, json_text

_AUDIO = "audio"
_TEXT = "text"

#: Languages that are written without spaces, so that nobody knows how many words a text has.
_SPACELESS = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my"})


def write_jmoshi(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write both streams; both are trained, so a conversation in which a side has no words is rejected."""
    talk = item.talk
    speakers = {"left": "A", "right": "B"}
    for side, speaker in speakers.items():
        spoken = [word.word for word in talk.alignments if word.speaker == side]
        if not spoken:
            raise BadInput(f"speaker {speaker} has no words", "transcribe both channels, or leave it out")
        exporting.refuse_tags(spoken, talk)
    name = file_name(talk.conversation_id)
    words = []
    for word in talk.alignments:
        times = {"start": round(word.start, 6), "end": round(word.end, 6)}
        words.append({"speaker": speakers[word.speaker], "word": word.word, **times})
    export.write_sound(f"{_AUDIO}/{name}", item.pcm)
    export.target.write_text(f"{_TEXT}/{name}.json", json_text(words))
    language = (talk.main_language or "").partition("-")[0]
    export.about[talk.conversation_id] = language in _SPACELESS
    yield exporting.FileEntry(None, talk.duration)


def finish_jmoshi(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    """Add the commands of the trainer's tools to the facts.

    The tools put a space before every word, which in a language without spaces is a token of its own, unless an
    option forbids it for all files of a folder.
    """
    spaceless = any(export.about.values())
    if spaceless and not all(export.about.values()):
        export.notes.append("some in a language that is written without spaces: export these apart")
    root = export.target.root
    audio_options = ["--audio_dir", str(root / _AUDIO), "--output_dir", str(root / "tokenized_audio")]
    text_options = ["--word_transcript", str(root / _TEXT), "--output_dir", str(root / "tokenized_text")]
    if spaceless:
        text_options.append("--no_whitespace_before_word")
    commands = []
    for tool, options in (("audio", audio_options), ("text", text_options)):
        command = ["uv", "run", "-m", f"tools.tokenize_{tool}", *options]
        commands.append(as_text(shlex.join(command)))
    export.facts["commands"] = commands
    return {}


JMOSHI = exporting.ExportFormat(
    "j-moshi",
    reader="moshi-finetune of nu-dialogue (J-Moshi)",
    holds="stereo WAV, the words of both speakers with times",
    loses="texts as sentences, tags, valence/arousal/dominance, prosody",
    checked="a reader written from its README",
    write=write_jmoshi,
    finish=finish_jmoshi,
    options=frozenset({"main"}),
)
