"""The check of a WAV that a manifest for moshi-finetune names, and of the words beside it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finding import Finding, error
from dailytalk_contiguous.core.records.schema import MAIN, OTHER
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.moshi_words import said_words
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import to_uri
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.publish.checks.findings import Loudness, loudness_of, word_findings
from dailytalk_contiguous.publish.exports.moshi_config import TrainerPlan
from dailytalk_contiguous.publish.items import DURATION_TOLERANCE

EXPORT_AGAIN = "export again with `dailytalk export`"


class CheckedFile(NamedTuple):
    """A file that a manifest names, as it was found to be.

    Attributes:
        n_words: words beside it.
    """

    name: str
    n_words: int = 0
    is_clip: bool = False
    is_silent_right: bool = False


def check_file(name: str, wav: Path, seconds: float, plan: TrainerPlan) -> tuple[CheckedFile, list[Finding]]:
    """Check a file whose manifest says that it has so many `seconds`; returns its facts, and the findings."""
    if not wav.is_file():
        missing = error("missing-audio", name, "the manifest names it, but it isn't there", EXPORT_AGAIN)
        return CheckedFile(name), [missing]
    loudness, unreadable = loudness_of(name, lambda: {"bytes": None, "path": to_uri(wav)})
    findings = [*unreadable]
    if loudness:
        findings += _sound_findings(name, seconds, loudness)
    transcript = _read_transcript(name, wav)
    if isinstance(transcript, Finding):
        findings.append(transcript)
        transcript = Transcript([])
    else:
        findings += _transcript_findings(name, transcript, loudness, plan)
    is_silent_right = loudness is not None and loudness.channels > 1 and loudness.is_silent(1)
    return CheckedFile(name, len(transcript.words), transcript.is_of_clip, is_silent_right), findings


def _sound_findings(name: str, seconds: float, loudness: Loudness) -> Iterator[Finding]:
    """Yield the findings on the sound of a file whose manifest says that it has so many `seconds`."""
    if loudness.channels != 2:
        channels = counted(loudness.channels, "channel")
        problem = f"it has {channels}, not 2: training stops at the first batch with it"
        yield error("not-stereo", name, problem, EXPORT_AGAIN)
    trained_rate = 24000
    if loudness.sample_rate != trained_rate:
        problem = f"its rate is {loudness.sample_rate} Hz, not {trained_rate}: it is resampled without a message"
        yield error("wrong-rate", name, problem, "export it again without --sample-rate")
    if abs(loudness.seconds - seconds) > DURATION_TOLERANCE:
        problem = f"the manifest says {seconds:.3f} s, the audio has {loudness.seconds:.3f} s"
        yield error("wrong-duration", name, problem, EXPORT_AGAIN)
    if loudness.is_silent(0):
        remedy = "export it again, with the other --main?"
        yield error("silent-left", name, "the left channel, Moshi's, is silent", remedy)


class Transcript(NamedTuple):
    """The words beside a WAV.

    Attributes:
        words: the words, in the order of the file.
        is_of_clip: whether the WAV is a clip, of one speaker.
        has_conditions: whether it has `text_conditions`.
    """

    words: list[Word]
    is_of_clip: bool = False
    has_conditions: bool = False


def _read_transcript(name: str, wav: Path) -> Transcript | Finding:
    """Read the words beside a WAV; returns the finding if they can't be read."""
    shown = _transcript_name(name)
    document = wav.with_suffix(".json")
    if not document.exists():
        return error("missing-alignments", shown, f"it isn't there beside {wav.name}", EXPORT_AGAIN)
    try:
        fields = documents.typed(read_json(document), dict[str, Any], "it")
        words = said_words(fields.get("alignments"), wav.name, EXPORT_AGAIN)
    except BadInput as failure:
        return error("unreadable-alignments", shown, f"it can't be read ({failure.reason})", EXPORT_AGAIN)
    return Transcript(words, "id" in fields, fields.get("text_conditions") is not None)


def _transcript_name(name: str) -> str:
    return str(Path(name).with_suffix(".json"))


def _transcript_findings(
    name: str, transcript: Transcript, loudness: Loudness | None, plan: TrainerPlan
) -> Iterator[Finding]:
    """Yield the findings on the words beside the WAV `name`."""
    shown = _transcript_name(name)
    words = transcript.words
    unknown = Counter(word.speaker for word in words if word.speaker not in (MAIN, OTHER))
    if unknown:
        names = [f"{documents.quoted(speaker)} ({count})" for speaker, count in unknown.most_common(3)]
        share = f"{unknown.total()} of {counted(len(words), 'word')}"
        problem = f"{share} have another speaker than {MAIN} or {OTHER}: {', '.join(names)}"
        problem += "; they are never trained"
        yield error("unknown-speaker", shown, problem, f"call Moshi's side {MAIN}")
    if not any(word.speaker == MAIN for word in words):
        problem = f"no word is {MAIN}'s: the model learns to speak without text"
        yield error("no-words", shown, problem, "transcribe it, or leave it out")
    if transcript.has_conditions and plan.stock_model:
        problem = "it has text_conditions, on which the stock model in moshi-finetune.yaml stops"
        remedy = "export without --text-conditions, or name a model with that conditioner as hf_repo_id"
        yield error("text-conditions", shown, problem, remedy)
    yield from word_findings(shown, words, loudness)
