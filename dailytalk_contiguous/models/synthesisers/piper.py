"""Piper, the synthesiser of the embedded profile: a voice that sounds human, many times faster than it speaks.

Its engine is the wheel `piper-tts` (an optional extra, GPL-3, loaded when it is first needed). The English voice
joe (CC0) is in a wheel, too; others of rhasspy/piper-voices are downloaded by their names, and a file of one's own
is named by its path. A voice is a network that draws noise; here it is given the same noise for every line, so
that a line is always the same sound. It has no styles: of a tag it takes the rate and the loudness.
"""

import importlib.util
import itertools
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import as_text, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, ModelMissing
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.sound.clean_speech import voiced_spans
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import has_words, normalise, share_spans, split_words, within_sound
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE, PIPER_VOICES, Missing, resolve_files
from dailytalk_contiguous.models.contracts import (
    Engine,
    Line,
    Reserve,
    Spoken,
    Synthesiser,
    SynthesisFailed,
    VoiceSample,
    free,
)
from dailytalk_contiguous.models.devices import open_onnx, thread_count
from dailytalk_contiguous.models.style_prosody import STYLE_PROSODY, prosody_of_tag

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto
    from onnxruntime import InferenceSession
    from piper import PiperVoice
    from piper.config import PiperConfig

#: The voice in the wheel.
JOE = "joe"

#: The name that it has among `PIPER_VOICES`.
BUNDLED = "en_US-joe-medium"

#: Names of voices there: language and region, the voice, its quality; a number chooses one of several speakers.
_NAME = re.compile(r"(?P<language>[a-z]{2,3})_(?P<region>[A-Z]{2,3})-(?P<voice>\w+)-(?P<quality>\w+)")

#: The slowest rate, as a multiple of the voice's own, that stays intelligible.
SLOWEST = 0.7

#: The fastest rate that stays intelligible.
FASTEST = 1.5

#: dBFS. No sample passes this, however loud the style.
_PEAK_DBFS = -1.0


class VoiceFiles(NamedTuple):
    """A voice on disk: its network, its settings, and the card that says its licence, if there is one."""

    network: Path
    settings: Path
    card: Path | None


class Piper(Synthesiser):
    """Says lines with Piper. Every take of a line is the same.

    Args:
        voice: `joe`, a name such as `de_DE-thorsten-medium`, or the path of a FILE.onnx with FILE.onnx.json beside
            it; `#3` behind it chooses one of its speakers.
    """

    engine = "piper"
    deterministic = True
    version = 2

    def __init__(self, voice: str = JOE) -> None:
        self.voice = voice
        self.concurrency = thread_count()
        name, _, speaker = voice.partition("#")
        self._speaker = int(speaker) if speaker.isdecimal() else None
        self._is_file = name.endswith(".onnx")
        self._name = BUNDLED if name == JOE else name
        self.model = Path(name).stem if self._is_file else self._name
        named = _NAME.fullmatch(self._name)
        has_bad_speaker = bool(speaker) and self._speaker is None
        if has_bad_speaker or not (self._is_file or named):
            raise DailytalkError(
                f"Piper has no voice {as_text(voice)!r}",
                f"pass --voice {JOE}, a name of {PIPER_VOICES} such as de_DE-thorsten-medium, or a FILE.onnx",
            )
        if named:
            language = f"{named['language']}_{named['region']}"
            self._folder = "/".join((named["language"], language, named["voice"], named["quality"]))

    def settings(self) -> dict[str, object]:
        self.preflight()
        manners = {tag: [style.rate, style.gain_db] for tag, style in STYLE_PROSODY.items()}
        settings: dict[str, object] = {"version": version("piper-tts"), "manners": manners}
        if self._is_file:
            settings["network"] = Path(self._name).stat().st_mtime_ns
        return settings

    def preflight(self) -> None:
        """Raise DailytalkError unless Piper is installed, and a file that is named as a voice is there."""
        if not _is_installed():
            raise ModelMissing("Piper is not installed", INSTALL_OFFLINE)
        if self._is_file:
            self.files()

    def refuse_language(self, language: str) -> None:
        """Raise SynthesisFailed for another language than the voice's. A voice that is not here refuses none."""
        files = self.files(fetch=False)
        if files is None or language in ("", "und"):
            return
        spoken_language = _settings_of(files).espeak_voice.partition("-")[0]
        if language != spoken_language:
            raise SynthesisFailed(
                f"the voice {self.model} speaks {spoken_language!r}, and the line is in {language!r}",
                f"pass --voice with a voice of that language ({PIPER_VOICES} lists them), or --tts espeak",
            )

    def lacking(self) -> list[Missing]:
        missing: list[Missing] = []
        if not _is_installed():
            missing.append(Missing("Piper"))
        if not self._is_file and self.files(fetch=False) is None:
            missing.append(Missing(f"the voice {self._name}", 63_000_000))
        return missing

    def fetch(self) -> None:
        self.files()

    def files(self, fetch: bool = True) -> VoiceFiles | None:
        """The files of the voice, downloaded if need be; None where they are not here and may not be fetched.

        Raises ModelMissing for a voice that does not exist or can't be downloaded.
        """
        if self._is_file:
            folder = str(Path(self._name).parent)
            network = Path(self._name).name
        else:
            folder = PIPER_VOICES
            network = f"{self._folder}/{self._name}.onnx"
        settings = f"{network}.json"
        card = str(Path(network).with_name("MODEL_CARD"))
        paths = resolve_files(folder, (network, settings, card), fetch)
        if network in paths and settings in paths:
            return VoiceFiles(paths[network], paths[settings], paths.get(card))
        if not fetch:
            return None
        lacking = Path(settings if network in paths else network).name
        raise ModelMissing(f"the voice {as_text(self.voice)!r} has no {lacking}", "name another --voice")

    @property
    def licence(self) -> Licence:
        """That of the voice, as its card says; unknown without one."""
        files = self.files(fetch=False)
        text = ""
        if files and files.card:
            text = files.card.read_text(encoding="utf-8", errors="replace")
        match = re.search(r"^\W*licen[cs]e\W*:\s*(\S.*)$", text, re.IGNORECASE | re.MULTILINE)
        name = match[1].strip() if match else "unknown"
        if name == "CC0":
            name = "CC0-1.0"
        url = ""
        if not self._is_file:
            url = f"https://huggingface.co/{PIPER_VOICES}/tree/main/{self._folder}"
        return Licence(name, url, "of the voice")

    def speak(self, line: Line, samples: Sequence[VoiceSample] = (), reserve: Reserve = free) -> Spoken:
        """Say a line. Word times are those of the phonemes; a word is one of `core.words.word_times.split_words`.

        Raises SynthesisFailed for a line with nothing to say, or of another language than the voice's.
        """
        files = self.files()
        assert files is not None
        with _LOADING:  # threads that all come first would load one each
            voice = _loaded(files)
        self.refuse_language(line.language)
        style = prosody_of_tag(line.tag)
        speed = style.rate
        if line.rate is not None and style.rate != 1.0:
            speed = line.rate
        speed = min(max(speed, SLOWEST), FASTEST)
        # `[[` would be read as the start of phonemes.
        text = line.text.replace("[[", "[").replace("\0", " ")
        # Piper hums "hmm", and says the letters of "hm" and "mm".
        hummed = re.sub(r"\bHm+\b|(?<!\d )\bMm+\b", "Hmm", text)
        hummed = re.sub(r"\bhm+\b|(?<!\d )\bmm+\b", "hmm", hummed)
        sentences = list(_sentences(voice, hummed, 1 / speed, self._speaker))
        sample_rate = voice.config.sample_rate
        groups = _groups(sentences, sample_rate)
        if not groups:
            raise SynthesisFailed(f"Piper finds nothing to say in {line.text!r}", "give it words, or delete it")
        sound = np.concatenate([sentence.samples for sentence in sentences])
        gain = 10 ** (style.gain_db / 20) if line.tag else 1.0
        peak = float(np.abs(sound).max())
        sound *= min(gain, 10 ** (_PEAK_DBFS / 20) / peak) if peak else 1.0
        duration = len(sound) / sample_rate

        def symbols_of(word: str) -> str:
            symbols = itertools.chain.from_iterable(voice.phonemize(word))
            return "".join(filter(_is_spoken, symbols))

        words = word_times(split_words(text), groups, symbols_of, duration)
        words = _to_the_pause(words, voiced_spans(sound, sample_rate))
        longer, words = _with_long_fillers(sound.astype(np.float32), sample_rate, words, line.language)
        return Spoken(longer, sample_rate, words, 0.0)


#: The packages that are imported: Piper, and the one that changes its networks.
PACKAGES = ("piper", "onnx")


def _is_installed() -> bool:
    return all(map(importlib.util.find_spec, PACKAGES))


#: Seconds of the fillers "uh" and "er".
SHORTEST_FILLER = 0.4

#: Seconds of a filler that is too short to be made longer.
_LEAST_STRETCHED = 0.05

#: Samples of the window in which fillers are made longer: two periods of a deep voice.
_STRETCHED_SAMPLES = 512


def _with_long_fillers(
    sound: NDArray[np.float32], sample_rate: int, words: Sequence[Word], language: str
) -> tuple[NDArray[np.float32], list[Word]]:
    """Sound and words of a line in which "uh" and "er" are held for `SHORTEST_FILLER`, as people hold them.

    Piper says them in a sixth of a second: of ten in the midst of sentences, a recogniser hears six, and nine of
    longer ones. "um" it says well.
    """
    from librosa.effects import time_stretch

    fillers = are_fillers([word.word for word in words], language or "en")
    pieces: list[NDArray[np.float32]] = []
    longer: list[Word] = []
    n_taken = 0  # samples that are in `pieces`, as they were or longer
    added = 0.0
    for word, filler in zip(words, fillers, strict=True):
        seconds = word.end - word.start
        is_hummed = normalise(word.word).endswith("m")
        longer.append(word.shifted(added))
        if not filler or is_hummed or not _LEAST_STRETCHED < seconds < SHORTEST_FILLER:
            continue
        first = round(word.start * sample_rate)
        last = round(word.end * sample_rate)
        speed = seconds / SHORTEST_FILLER
        held = time_stretch(sound[first:last], rate=speed, n_fft=_STRETCHED_SAMPLES)
        pieces += [sound[n_taken:first], np.asarray(held, np.float32)]
        n_taken = last
        added += (len(held) - (last - first)) / sample_rate
        longer[-1] = longer[-1].moved_to(longer[-1].start, word.end + added)
    return np.concatenate([*pieces, sound[n_taken:]]), longer


class SpokenSentence(NamedTuple):
    """Samples of a sentence, and its phonemes with the number of samples of each."""

    samples: NDArray[np.float32]
    phonemes: list[tuple[str, int]]


class Phone(NamedTuple):
    """A symbol of a phoneme, and when it is said, in seconds."""

    symbol: str
    start: float
    end: float


def word_times(
    words: Sequence[str], groups: Sequence[Sequence[Phone]], read: Callable[[str], str], duration: float
) -> list[Word]:
    """Times of written words from groups of phonemes that are said without a gap, mostly a word each.

    Piper says "25" as two groups and "out of" as one. Where there is a group for each word, and no digit, they are
    its times. Else each word is read by itself (`read` gives its phonemes) and has the time of those of the line
    that match its own; a word without any shares the time of the one before it, by `sound_length`.
    """
    voiced = [index for index, word in enumerate(words) if has_words(word)]
    spans: dict[int, TimeSpan] = {}
    has_digit = any(map(str.isdigit, "".join(words)))
    if len(voiced) == len(groups) and not has_digit:
        for index, group in zip(voiced, groups, strict=True):
            spans[index] = (group[0].start, group[-1].end)
        return share_spans(words, spans, duration)
    spelled = ""
    word_of: list[int] = []  # the number of the word of each symbol of `spelled`
    for index in voiced:
        symbols = read(words[index])
        spelled += symbols
        word_of += [index] * len(symbols)
    phones = list(itertools.chain.from_iterable(groups))
    spoken = [phone.symbol for phone in phones]
    matcher = SequenceMatcher(None, [*spelled], spoken, autojunk=False)
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            index = word_of[block.a + step]
            phone = phones[block.b + step]
            start, _ = spans.get(index, (phone.start, 0.0))
            spans[index] = (start, phone.end)
    return share_spans(words, spans, duration)


def _sentences(
    voice: "PiperVoice", text: str, length_scale: float, speaker: int | None
) -> Iterator[SpokenSentence]:
    from piper import SynthesisConfig

    settings = SynthesisConfig(speaker_id=speaker, length_scale=length_scale, normalize_audio=False)
    for chunk in voice.synthesize(text, settings, include_alignments=True):
        samples = np.array(chunk.audio_float_array, np.float32)
        assert chunk.phoneme_alignments is not None
        phonemes = [(aligned.phoneme, int(aligned.num_samples)) for aligned in chunk.phoneme_alignments]
        yield SpokenSentence(samples, phonemes)


def _to_the_pause(words: Sequence[Word], spans: Sequence[TimeSpan]) -> list[Word]:
    """Words that end with their sound: by its phonemes, the last one before a pause ends early or late."""
    longer = []
    for word, following in itertools.zip_longest(words, words[1:]):
        end = max((end for start, end in spans if start < word.end), default=word.end)
        if following is None or end <= following.start:
            word = word.moved_to(word.start, max(word.end, end))
        longer.append(word)
    return within_sound(longer, spans)


def _groups(sentences: Sequence[SpokenSentence], sample_rate: int) -> list[list[Phone]]:
    """The phonemes of all sentences, in groups between spaces, marks and the ends of a sentence."""
    groups: list[list[Phone]] = []
    offset = 0
    for sentence in sentences:
        first = offset
        is_inside = False
        for symbol, count in sentence.phonemes:
            end = first + count
            is_spoken = _is_spoken(symbol)
            if is_spoken:
                if not is_inside:
                    groups.append([])
                groups[-1].append(Phone(symbol, first / sample_rate, end / sample_rate))
            is_inside = is_spoken
            first = end
        offset += len(sentence.samples)
    return groups


def _is_spoken(symbol: str) -> bool:
    """Whether a symbol is part of a word: a letter, or a modifier such as stress, length and what combines."""
    return unicodedata.category(symbol)[0] in "LM" or symbol in "ˈˌ"


_LOADING = threading.Lock()


@lru_cache(maxsize=2)
def _settings_of(files: VoiceFiles) -> "PiperConfig":
    """The settings of a voice. Raises ModelMissing for a file that has none."""
    from piper.config import PiperConfig

    try:
        settings = read_json(files.settings)
        config = PiperConfig.from_dict(settings)
        if not LOWEST_RATE <= config.sample_rate <= HIGHEST_RATE:
            raise BadInput(f"it names a rate of {quoted(config.sample_rate)} Hz", "")
        return config
    except BadInput as error:
        reason = f"{files.settings.name} can't be read ({error.reason})"
        raise ModelMissing(reason, "name another --voice") from None
    except Exception as error:  # Piper reads its settings without a check
        reason = f"{files.settings.name} holds no settings of Piper ({type(error).__name__}: {quoted(str(error))})"
        raise ModelMissing(reason, "name another --voice") from error


@lru_cache(maxsize=2)
def _loaded(files: VoiceFiles) -> "PiperVoice":
    """The voice of this process, one thread a line: lines are said side by side, and alike on any machine."""
    import onnx
    from piper import PiperVoice
    from piper.patch_voice_with_alignment import add_alignment_output

    config = _settings_of(files)
    try:
        model = onnx.load(str(files.network), load_external_data=False)
        _refuse_other_files(model)
        add_alignment_output(model)
        noise = _with_noise_as_input(model)
        session = open_onnx(model.SerializeToString())
    except BadInput as error:
        raise ModelMissing(
            f"{files.network.name} is not a voice of Piper ({error.reason})", error.remedy
        ) from None
    except Exception as error:  # onnx and onnxruntime have many of their own
        message = as_text(str(error)).splitlines()[0][:200]
        reason = f"{files.network.name} is not a voice of Piper ({message})"
        raise ModelMissing(reason, "name another --voice") from error
    return PiperVoice(session=_VoiceSession(session, noise, files.network.stem), config=config)


def _refuse_other_files(model: "ModelProto") -> None:
    """Raise BadInput for a network with weights in another file, which could be any file of this machine.

    No voice of Piper has any.
    """
    tensors = _tensors_of(model.graph)
    for function in model.functions:
        tensors += _tensors_in(function.node)
    for tensor in tensors:
        if tensor.external_data or tensor.data_location:
            raise BadInput("its weights are in another file", "name another --voice")


def _tensors_of(graph: "GraphProto") -> list["TensorProto"]:
    """The weights of a graph, and of the graphs inside it."""
    tensors = [*graph.initializer]
    for sparse in graph.sparse_initializer:
        tensors += [sparse.values, sparse.indices]
    return tensors + _tensors_in(graph.node)


def _tensors_in(nodes: "Iterable[NodeProto]") -> list["TensorProto"]:
    """The tensors in attributes of nodes, and in graphs that are attributes."""
    tensors = list["TensorProto"]()
    for node in nodes:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                tensors += [sparse.values, sparse.indices]
            for graph in (attribute.g, *attribute.graphs):
                tensors += _tensors_of(graph)
    return tensors


#: Frames of noise (256 samples each at 22.05 kHz: 190 s), which is more than any line needs.
_NOISE_FRAMES = 16384

#: Channels of noise, which is more than any voice needs.
_NOISE_CHANNELS = 192


class _VoiceSession:
    """A session of ONNX Runtime that uses the same noise for every line.

    Args:
        session: the session of a voice whose noise is an input.
        names: the names of those inputs.
        voice: its name, for errors.
    """

    def __init__(self, session: "InferenceSession", names: Sequence[str], voice: str) -> None:
        self._session = session
        self._voice = voice
        shape = (1, _NOISE_CHANNELS, _NOISE_FRAMES)
        noise = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        self._noise = dict.fromkeys(names, noise)

    def run(
        self, outputs: Sequence[str] | None, inputs: Mapping[str, NDArray[np.generic]]
    ) -> list[NDArray[np.float32]]:
        """Return the sound. Raises SynthesisFailed for a sentence that the network can't say."""
        try:
            results: list[NDArray[np.float32]] = self._session.run(outputs, {**inputs, **self._noise})
        except Exception as error:  # ONNX Runtime has many of its own, for too little memory among others
            reason = f"the voice {self._voice} can't say a sentence ({as_text(str(error))[:200]})"
            raise SynthesisFailed(reason, "say it in shorter sentences, or name another --voice") from error
        return results


def _with_noise_as_input(model: "ModelProto") -> list[str]:
    """Let a network take its noise from inputs, of which it uses as much as it needs; returns their names."""
    from onnx import TensorProto, helper

    graph = model.graph
    names = list[str]()
    zeros = helper.make_tensor("noise_from", TensorProto.INT64, [3], [0, 0, 0])
    graph.initializer.append(zeros)
    for position, node in enumerate([*graph.node]):
        if node.op_type != "RandomNormalLike":
            continue
        name = f"noise_{len(names)}"
        shape = f"{node.output[0]}_shape"
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None]))
        measure = helper.make_node("Shape", [node.input[0]], [shape])
        take = helper.make_node("Slice", [name, "noise_from", shape], [node.output[0]])
        graph.node.remove(node)
        # Each node before it was replaced by two.
        graph.node.insert(position + len(names), measure)
        graph.node.insert(position + len(names) + 1, take)
        names.append(name)
    return names


LICENCE = Licence("unknown", f"https://huggingface.co/{PIPER_VOICES}", "each voice has its own, as its card says")

ENGINE = Engine(
    "piper",
    lambda chosen: Piper(chosen.voice),
    LICENCE,
    voice=JOE,
    tags="fish-s1",
    follows_rate=True,
    voices={"male": JOE, "any": JOE},
)
