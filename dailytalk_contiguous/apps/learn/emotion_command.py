"""`dailytalk emotion train`, `calibrate` and `predict`: train, calibrate and use classifiers of emotion."""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.apps.learn import emotion_evaluate_command as emotion_evaluate
from dailytalk_contiguous.apps.learn import emotion_training
from dailytalk_contiguous.apps.learn.emotion_evaluation import (
    EmotionEvaluation,
    evaluate_protocol,
    left_out_sentences,
)
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import SETTINGS_OF_KIND, NetworkSettings
from dailytalk_contiguous.apps.learn.model_cards import DataSource
from dailytalk_contiguous.apps.learn.mood import mood_sentence
from dailytalk_contiguous.apps.learn.moods import Mood, MoodReader, RecordingMoods
from dailytalk_contiguous.apps.learn.probes import FOLDS
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import Panel, argument, option, say
from dailytalk_contiguous.core import emotions
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.emotions import LEAST_CONFIDENCE
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.settings import chosen_for, settings_in, settings_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_folder, emotion_models
from dailytalk_contiguous.models.contracts import Line, Synthesiser, TrainedEmotionModel, VoiceSettings
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.egemaps import EGEMAPS_TERMS
from dailytalk_contiguous.models.engines import ENGINES, load_synthesiser, synthesise
from dailytalk_contiguous.publish.pushing import push_model
from dailytalk_contiguous.stages.classify_emotion import CONFIDENCE
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import wav_writer

#: The settings of each kind.
_SETTINGS: dict[str, type[Any]] = {"linear": emotion_training.LinearSettings, **SETTINGS_OF_KIND}

TRAIN_EMOTION_SETTINGS = cli_options.setting_options(
    *(kind() for kind in _SETTINGS.values()), without=("class_weights",)
)

LISTEN = cli_options.time_of({}, 0.5)

#: The note beside every emotion.
NO_DIAGNOSIS = "emotion is a guess from sound, and no diagnosis"


@cli_options.with_options(TRAIN_EMOTION_SETTINGS)
def emotion_train(
    inputs: list[str] = emotion_evaluate.INPUTS,
    out: Path = cli_options.out_option(),
    kind: str = emotion_evaluate.kind_option("linear"),
    classes: str = emotion_evaluate.CLASSES,
    labels: str = emotion_evaluate.LABELS_OPTION,
    mapping: list[str] | None = emotion_evaluate.MAP,
    agreement: float = emotion_evaluate.AGREEMENT,
    votes: Path | None = emotion_evaluate.VOTES,
    folds: int | None = emotion_evaluate.folds_option(None, 0, f"{FOLDS} for linear; else 0, none"),
    save_spectrograms: Path | None = option(
        None, Panel.RARE, "Write train/CLASS/NAME.png and validation/…, of other speakers, too.", metavar="DIR"
    ),
    source_licence: str = cli_options.SOURCE_LICENCE,
    push: str | None = cli_options.PUSH_MODEL,
    private: bool = cli_options.PRIVATE,
    device: str = cli_options.DEVICE_OPTION,
    **options: Any,
) -> Outcome:
    """Train a classifier of emotion on clips.

    And say how well it does on speakers that it has not heard. linear takes a minute and needs the extra tokens.
    spectrogram and ssl are networks and need the extra train: run the same command after a stop, and they go on.
    All are calibrated on speakers that a part of the training leaves out. Emotion is a guess from sound, and no
    diagnosis.
    """
    cli_options.on_this_machine("--out", out)
    cli_options.one_of("--kind", kind, emotion_folder.EMOTION_KINDS)
    settings = _settings_of(kind, cli_options.chosen(options, TRAIN_EMOTION_SETTINGS))
    repo = cli_options.model_to_push(push, private)
    emotion_folder.check_new(out)
    resolved = resolve_device(device)
    examples = emotion_evaluate.examples_asked(inputs, classes, labels, mapping, agreement, votes)
    notes = []
    present = [name for label, name in enumerate(examples.classes) if (examples.labels == label).any()]
    missing = [name for name in examples.classes if name not in present]
    if missing and not classes and len(present) > 1:  # named classes must be present
        examples = examples.of_classes(present, "")
        notes.append(f"no utterance is {cli_options.either(missing)}: not told apart")

    work = None if kind == "linear" else out / emotion_folder.CHECKPOINTS

    def fit(known: EmotionExamples) -> TrainedEmotionModel:
        return emotion_training.fit_emotion(kind, known, settings, resolved, settings.seed, work, _say_epoch)

    if save_spectrograms is not None:
        from dailytalk_contiguous.apps.learn.emotion_networks_training import (
            save_spectrograms as write_pictures,
        )

        share = getattr(settings, "valid_share", NetworkSettings.valid_share)
        pictures = write_pictures(examples, save_spectrograms, share, settings.seed)
        notes.append(f"{counted(pictures, 'spectrogram')} in {as_text(save_spectrograms)}")
    model = fit(examples)
    count = (FOLDS if kind == "linear" else 0) if folds is None else folds
    evaluation: EmotionEvaluation | None = None
    if count < 2:
        notes += left_out_sentences(examples)
    else:
        try:
            progress = emotion_evaluate.say_nothing if kind == "linear" else emotion_evaluate.say_fold
            evaluation = evaluate_protocol(fit, examples, "speakers", count, settings.seed, progress=progress)
        except BadInput as problem:
            notes.append(f"not tested: {problem.reason}")
    terms = {name: source_licence or " / ".join(examples.licences.get(name, ())) or None for name in inputs}
    sources = [DataSource(name.rstrip("/").rpartition("/")[2], terms[name]) for name in dict.fromkeys(inputs)]
    facts = emotion_training.training_facts(examples, settings_of(settings), sources, evaluation)
    emotion_training.save_emotion(model, out, facts)
    shutil.rmtree(out / emotion_folder.CHECKPOINTS, ignore_errors=True)
    address = _pushed(repo, out, kind, private)
    if getattr(settings, "features", "") == "egemaps":
        notes.append(f"it needs {EGEMAPS_TERMS}")
    known = {"out": as_text(out), "kind": kind, "classes": [*model.classes], "temperature": model.temperature}
    people = counted(len(np.unique(examples.speakers)), "speaker")
    trained = (
        f"{kind}: {counted(len(examples), 'utterance')} of {people}, "
        f"{len(model.classes)} classes, temperature {model.temperature:.2f}"
    )
    return Outcome(
        known | facts | {"notes": notes, "published": address},
        f"{trained}, in {as_text(out)}" + (f", published as {address}" if address else ""),
        details=[*(f"note: {sentence}" for sentence in notes), *(_figures(evaluation) if evaluation else ())],
        next=to_run("emotion", "predict", "FILE", "--model", out),
    )


def _settings_of(kind: str, options: dict[str, Any]) -> Any:
    """The settings of a kind. Raises DailytalkError for an option that this kind does not have."""
    known = {placed.option for placed in settings_in(_SETTINGS[kind]())}
    for name in options:
        if name not in known:
            of = [
                other
                for other, settings in _SETTINGS.items()
                if name in {p.option for p in settings_in(settings())}
            ]
            raise DailytalkError(
                f"--{name.replace('_', '-')} is for {cli_options.either(of)}, not for {kind}", "leave it out"
            )
    return _SETTINGS[kind](**chosen_for(_SETTINGS[kind], options))


def _say_epoch(number: int, most: int, loss: float, held_out: float) -> None:
    say(f"epoch {number} of at most {most}: loss {loss:.3f}, on held-out speakers {held_out:.3f}")


def _figures(evaluation: EmotionEvaluation) -> list[str]:
    recall = evaluation.figures.recall
    interval = ""
    if recall.low is not None and recall.high is not None:
        interval = f" ({recall.low:.1%} to {recall.high:.1%})"
    return [
        f"speakers that it had not heard: mean recall {recall.value:.1%}{interval}, "
        f"chance {evaluation.chance:.1%}, calibration error {evaluation.figures.calibration_error:.3f}",
        *(f"note: {sentence}" for sentence in evaluation.sentences()),
    ]


def _pushed(repo: str | None, folder: Path, kind: str, private: bool) -> str | None:
    return repo and push_model(
        repo,
        folder,
        (emotion_folder.CARD, emotion_folder.ABOUT, emotion_folder.WEIGHTS),
        f"Classifier of emotion ({kind})",
        private,
    )


def emotion_calibrate(
    model: Path = argument("MODEL", "Folder of dailytalk emotion train; its emotion.json is changed."),
    inputs: list[str] = emotion_evaluate.INPUTS,
    classes: str = emotion_evaluate.CLASSES,
    labels: str = emotion_evaluate.LABELS_OPTION,
    mapping: list[str] | None = emotion_evaluate.MAP,
    agreement: float = emotion_evaluate.AGREEMENT,
    votes: Path | None = emotion_evaluate.VOTES,
    push: str | None = cli_options.PUSH_MODEL,
    private: bool = cli_options.PRIVATE,
    device: str = cli_options.DEVICE_OPTION,
) -> Outcome:
    """Make a classifier as sure as it is right.

    Its temperature is fitted to speakers that it was not trained on. Which class it answers stays the same. On
    speakers it was trained on it comes out too sure of itself.
    """
    repo = cli_options.model_to_push(push, private)
    trained = emotion_models.model_of_folder(model, resolve_device(device))
    examples = emotion_evaluate.examples_asked(inputs, classes, labels, mapping, agreement, votes, trained)
    learned = emotion_models.emotion_facts(str(model)).get("corpora")
    heard = sorted({*learned} & {*examples.corpora.tolist()}) if isinstance(learned, dict) else []
    notes = left_out_sentences(examples)
    if heard:
        notes.append(f"it was trained on {', '.join(heard)}: of speakers that it knows it comes out too sure")
    done = emotion_training.calibrate_emotion(trained, examples)
    emotion_folder.set_temperature(model, done.temperature, {"calibration": done._asdict()})
    emotion_training.write_card(model)
    address = _pushed(repo, model, trained.kind, private)
    return Outcome(
        done._asdict() | {"model": as_text(model), "notes": notes, "published": address},
        f"temperature {done.temperature:.3f}, by {counted(done.utterances, 'utterance')} of "
        f"{counted(done.speakers, 'speaker')}: calibration error {done.error_before:.3f} → "
        f"{done.error_after:.3f}, loss {done.loss_before:.3f} → {done.loss_after:.3f} nats",
        details=[*(f"note: {sentence}" for sentence in notes), *filter(None, [address])],
        next=to_run("emotion", "predict", "FILE", "--model", model),
    )


def emotion_predict(
    inputs: list[str] | None = argument("FILE|DIR", "Recordings, and folders of them.", None),
    model: str = emotion_evaluate.model_option(emotions.VOICE_LINEAR),
    affect_model: str = option(
        emotions.VOICE_LINEAR,
        Panel.MODELS,
        f"Affect model: a name on the Hub, a folder, or {emotions.VOICE_LINEAR}.",
        metavar="NAME|DIR",
    ),
    emotion_confidence: float = option(LEAST_CONFIDENCE, Panel.STYLE, CONFIDENCE.about, metavar="N", min=0, max=1),
    mic: bool = option(False, Panel.INPUT, "Listen to the microphone; Ctrl-C ends it.", "--mic"),
    listen: Any = option(
        10.0,
        Panel.INPUT,
        "How long to listen to the microphone, at most.",
        metavar=cli_options.TIME,
        parser=LISTEN,
        show_default="10s",
    ),
    say_mood: bool = option(False, Panel.VOICE, "Say aloud how it sounds.", "--say"),
    say_to: Path | None = option(None, Panel.VOICE, "Say it into a WAV file, not aloud.", metavar="FILE.wav"),
    device: str = cli_options.DEVICE_OPTION,
) -> Outcome:
    """Say which emotion a voice sounds like, and how sure.

    Utterance by utterance. Valence and arousal are from 0 to 1. Two channels are two speakers. ."""
    if bool(inputs) == mic:
        raise DailytalkError(
            "recordings and the microphone are not heard together" if mic else "there is nothing to listen to",
            "leave one of both out" if mic else "name recordings, or pass --mic",
        )
    emotion_evaluate.check_file("--say-to", say_to, (".wav",))
    voice = _voice() if say_mood or say_to is not None else None
    if voice is not None and say_to is None:
        from dailytalk_contiguous.models.sound_card import check_loudspeaker

        check_loudspeaker()
    resolved = resolve_device(device)
    classifier = emotion_models.load_emotion_model(model, resolved)
    reader = MoodReader(classifier, emotion_confidence, affect_model, resolved)
    if mic:
        from dailytalk_contiguous.models.sound_card import record_sound

        say(f"listening for {listen:g} s; Ctrl-C ends it")
        heard = [reader.of_samples("microphone", record_sound(listen))]
    else:
        heard = [*reader.read(inputs or [])]
    show.say_left_out(reader.left_out)
    sentences = [sentence for recording in heard for sentence in spoken_moods(recording)]
    if voice is not None and sentences:
        _speak(voice, sentences, say_to)
    record = {
        "model": classifier.name,
        "affect_model": affect_model,
        "classes": [*classifier.classes],
        "confidence": emotion_confidence,
        "recordings": [
            {
                "recording": as_text(recording.name),
                "seconds": round(recording.seconds, 3),
                "utterances": [_mood_dict(mood) for mood in recording.utterances],
                "speakers": [_mood_dict(mood) for mood in recording.speakers],
            }
            for recording in heard
        ],
        "rejects": [reject.as_dict() for reject in reader.rejects],
        "said": sentences,
        "note": NO_DIAGNOSIS,
    }
    details = [detail for recording in heard for detail in _of_recording(recording)]
    return Outcome(
        record,
        f"{counted(len(heard), 'recording')} heard" if heard else "no recording could be heard",
        exit_code(len(heard), len(reader.rejects)),
        [*details, f"note: {NO_DIAGNOSIS}"],
        rejected_of(reader.rejects),
    )


def _of_recording(recording: RecordingMoods) -> list[str | Figures]:
    if not recording.utterances:
        return [as_text(recording.name), "  nobody speaks in it"]
    two = len({mood.speaker for mood in recording.utterances}) > 1
    head = ("  time", *(["who"] if two else []), "emotion", ">sure", ">valence", ">arousal")
    rows = [
        (f"  {_clock(mood.start)}–{_clock(mood.end)}", *([mood.speaker] if two else []), *_cells(mood))
        for mood in recording.utterances
    ]
    lines = []
    for mood in recording.speakers:
        whose = f"{mood.speaker}: " if two else ""
        emotion, sure, valence, arousal = _cells(mood)
        affect = f"valence {valence}, arousal {arousal}"
        lines.append(f"  {whose}in all {emotion} ({sure}), {affect}: {_spoken(mood)}")
    return [as_text(recording.name), Figures(head, rows), *lines]


def _cells(mood: Mood) -> tuple[str, str, str, str]:
    affect = [f"{value:.2f}" if np.isfinite(value) else "–" for value in (mood.valence, mood.arousal)]
    if mood.emotion is None:
        return f"– ({mood.reason})", "–", *affect  # type: ignore[return-value]
    return mood.emotion, f"{mood.confidence:.0%}", *affect  # type: ignore[return-value]


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _mood_dict(mood: Mood) -> dict[str, Any]:
    known = mood._asdict()
    for name in ("start", "end", "confidence", "valence", "arousal"):
        known[name] = round(known[name], 4) if np.isfinite(known[name]) else None
    known["probabilities"] = {name: round(share, 4) for name, share in mood.probabilities.items()}
    return known


def spoken_moods(recording: RecordingMoods) -> list[str]:
    if not recording.speakers:
        return [mood_sentence(None)]
    two = len(recording.speakers) > 1
    return [f"On the {mood.speaker}: {_spoken(mood)}" if two else _spoken(mood) for mood in recording.speakers]


def _spoken(mood: Mood) -> str:
    return mood_sentence(mood.emotion, mood.arousal if np.isfinite(mood.arousal) else None)


def _voice() -> Synthesiser:
    refusals = []
    for name in ENGINES:
        synthesiser = load_synthesiser(name, VoiceSettings("", ""))
        if not synthesiser.server:
            try:
                synthesiser.preflight()
                return synthesiser
            except DailytalkError as error:
                refusals.append(error)
    raise refusals[0]


def _speak(voice: Synthesiser, sentences: list[str], out: Path | None) -> None:
    spoken = synthesise(voice, Line(" ".join(sentences), "", "en", 0))
    if out is not None:
        with replacing(out) as file:
            wav_writer([spoken.samples], spoken.sample_rate, 1)(file)
        say(f"said in {as_text(out)}")
        return
    from dailytalk_contiguous.models.sound_card import play_sound

    sys.stdout.flush()
    play_sound(spoken.samples, spoken.sample_rate)
