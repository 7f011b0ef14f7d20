"""`dailytalk emotion train` and `predict`: train and use classifiers of emotion."""

import shutil
import sys
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.learn import emotion_evaluate_command as emotion_evaluate
from dailytalk_contiguous.apps.learn.emotion_evaluation import (
    EmotionEvaluation,
    evaluate_model,
    evaluate_speakers,
    left_out_sentences,
)
from dailytalk_contiguous.apps.learn.emotion_examples import EmotionExamples
from dailytalk_contiguous.apps.learn.emotion_settings import NetworkSettings
from dailytalk_contiguous.apps.learn.emotion_training import fit_emotion, training_facts
from dailytalk_contiguous.apps.learn.folds import check_installed
from dailytalk_contiguous.apps.learn.model_cards import (
    TrainingSource,
    emotion_card,
    known_licences,
    repositories_of,
    without_licence,
)
from dailytalk_contiguous.apps.learn.moods import Mood, RecordingMoods, mood_sentence, moods_of, row_of
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.terminal import Panel, argument, option, say
from dailytalk_contiguous.core import emotions
from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.outcome import Figures, Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import chosen_for, one_of, settings_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models import emotion_folder, emotion_models
from dailytalk_contiguous.models.contracts import Line, Synthesiser, TrainedEmotionModel, VoiceSettings
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.engines import ENGINES, engine_named, load_synthesiser, synthesise
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.classify_emotion import CONFIDENCE, ClassifyEmotion
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import check_sound_file, write_sound

TRAIN_EMOTION_SETTINGS = cli_options.setting_options(NetworkSettings())

LISTEN = cli_options.time_of({})

#: The corpus that `dailytalk corpus clips` makes of anybody's recordings: no dataset that others know by its name.
OWN_CLIPS = "clips"

#: What is in the header of the files of `--say-to`, by which they are known and may be replaced.
SPOKEN_MOOD = "mood"

#: The note beside every emotion.
NO_DIAGNOSIS = "emotion is a guess from sound, and no diagnosis"


@cli_options.with_options({**TRAIN_EMOTION_SETTINGS, **emotion_evaluate.EXAMPLE_OPTIONS})
def emotion_train(
    inputs: list[str] = emotion_evaluate.INPUTS,
    out: Path = cli_options.out_option(),
    kind: str = emotion_evaluate.kind_option("linear"),
    save_spectrograms: Path | None = option(
        None, Panel.RARE, "Write train/CLASS/NAME.png and validation/…, of other speakers, too.", metavar="DIR"
    ),
    source_licence: str = cli_options.SOURCE_LICENCE,
    device: str = cli_options.DEVICE_OPTION,
    **options: Any,
) -> Outcome:
    """Train a classifier of emotion on clips.

    linear takes a minute, needs the extra tokens, and says how well it does on speakers that it has not heard.
    spectrogram and audio are networks and need the extra train: run the same command after a stop, and they go on.
    All are calibrated on speakers that a part of the training leaves out. Emotion is a guess from sound, and no
    diagnosis. The folder has a card, README.md, and can be published as it is: hf upload OWNER/NAME DIR.
    """
    cli_options.on_this_machine("--out", out)
    one_of("--kind", kind, emotion_folder.EMOTION_KINDS)
    asked = {name: options.pop(name) for name in emotion_evaluate.EXAMPLE_OPTIONS}
    chosen = chosen_for(NetworkSettings, cli_options.chosen(options, TRAIN_EMOTION_SETTINGS))
    if kind == "linear" and (foreign := [*(chosen.keys() - {"seed"})]):
        raise DailytalkError(f"{foreign[0]} is not for linear", "leave it out, or name another --kind")
    settings = NetworkSettings(**chosen)
    emotion_folder.check_new(out)
    resolved = resolve_device(device)
    examples = emotion_evaluate.examples_asked(inputs, None, **asked)
    notes = left_out_sentences(examples)
    present = [name for place, name in enumerate(examples.classes) if (examples.labels == place).any()]
    missing = [name for name in examples.classes if name not in present]
    if missing and not asked["classes"] and len(present) > 1:  # named classes must be present
        examples = examples.of_classes(present, "")
        notes.append(f"no utterance is {cli_options.either(missing)}: not told apart")

    def fit(known: EmotionExamples, work: Path | None = None) -> TrainedEmotionModel:
        return fit_emotion(kind, known, settings, resolved, work)

    if save_spectrograms is not None:
        from dailytalk_contiguous.apps.learn import emotion_networks_training

        pictures = emotion_networks_training.save_spectrograms(
            examples, save_spectrograms, settings.valid_share, settings.seed
        )
        notes.append(f"{counted(pictures, 'spectrogram')} in {as_text(save_spectrograms)}")
    model = fit(examples, None if kind == "linear" else out / emotion_folder.CHECKPOINTS)
    facts = training_facts(examples) | {"trained_with": settings_of(settings), "datasets": repositories_of(inputs)}
    try:
        if kind == "linear":
            tested = "speakers that it had not heard"
            evaluation = evaluate_speakers(fit, examples, seed=settings.seed)
        else:
            tested = "speakers that its training held out"
            evaluation = _evaluate_held_out(model, examples, settings)
        facts["evaluation"] = evaluation.as_dict()
        notes.append(f"{tested}: {emotion_evaluate.figures_sentence(evaluation)}")
    except DailytalkError as problem:
        facts["not_tested"] = problem.reason
        notes.append(f"not tested: {problem.reason}")
    sources = [
        TrainingSource(
            corpus or "not named",
            known_licences(known["licences"], source_licence),
            f"{counted(known['utterances'], 'utterance')} of {counted(known['speakers'], 'speaker')}",
            is_dataset=corpus not in ("", OWN_CLIPS),
        )
        for corpus, known in facts["by_corpus"].items()
    ]
    notes += filter(None, [without_licence(sources)])
    emotion_folder.write_emotion_folder(model, out, facts, emotion_card(out.name, model, facts, sources, settings))
    shutil.rmtree(out / emotion_folder.CHECKPOINTS, ignore_errors=True)
    record = {"out": as_text(out), "kind": kind, "classes": [*model.classes], "temperature": model.temperature}
    return Outcome(
        record | facts | {"notes": notes},
        f"{kind}: {counted(len(examples), 'utterance')} of {counted(facts['speakers'], 'speaker')}, "
        f"{len(model.classes)} classes, temperature {model.temperature:.2f}, in {as_text(out)}",
        details=[f"note: {sentence}" for sentence in notes],
        next=to_run("emotion", "predict", "FILE", "--model", out),
    )


def _evaluate_held_out(
    model: TrainedEmotionModel, examples: EmotionExamples, settings: NetworkSettings
) -> EmotionEvaluation:
    """Test a network on the speakers that its training held out. Raises DailytalkError without scikit-learn."""
    from dailytalk_contiguous.apps.learn.emotion_networks_training import held_out  # which imports PyTorch

    check_installed("sklearn", "tokens")
    _, valid = held_out(examples, settings.valid_share, settings.seed)
    return evaluate_model(model, examples.take(valid), known="its training held these speakers out")


def emotion_predict(
    inputs: list[str] | None = argument("FILE|DIR", "Recordings, and folders of them.", None),
    model: str = emotion_evaluate.model_option(emotions.VOICE_LINEAR),
    affect_model: str = option(
        emotions.VOICE_LINEAR,
        Panel.MODELS,
        f"Affect model: a name on the Hub, a folder, or {emotions.VOICE_LINEAR}.",
        metavar="NAME|DIR",
    ),
    emotion_confidence: float = option(
        emotions.LEAST_CONFIDENCE, Panel.STYLE, CONFIDENCE.about, metavar="N", min=0, max=1
    ),
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
    say_to: Path | None = option(
        None, Panel.VOICE, "Say it into a file, without a loudspeaker.", metavar="FILE.wav", dir_okay=False
    ),
    device: str = cli_options.DEVICE_OPTION,
) -> Outcome:
    """Say which emotion a voice sounds like, and how sure.

    Utterance by utterance. Valence and arousal are from 0 to 1. Two channels are two speakers.
    """
    if bool(inputs) == mic:
        raise DailytalkError(
            "recordings and the microphone are not heard together" if mic else "there is nothing to listen to",
            "leave one of both out" if mic else "name recordings, or pass --mic",
        )
    if say_mood:
        from dailytalk_contiguous.models.sound_card import check_loudspeaker

        check_loudspeaker()
    if say_to is not None:
        check_sound_file("--say-to", say_to, SPOKEN_MOOD)
    voice = _voice() if say_mood or say_to is not None else None
    resolved = resolve_device(device)
    classify = ClassifyEmotion(model, emotion_confidence, resolved)
    classifier = emotion_models.load_emotion_model(model, resolved)
    rate = RateAffect(affect_model, device=resolved)
    left_out = LeftOut()
    recordings: dict[str, list[Row]] = {}
    rejects = list[Reject]()
    heard = list[RecordingMoods]()
    if mic:
        from dailytalk_contiguous.models.sound_card import record_sound

        say(f"listening for {listen:g} s; Ctrl-C ends it")
        recordings["microphone"] = [row_of("microphone", record_sound(listen))]
    else:
        for row in folder_rows(FolderConfig(inputs=tuple(inputs or ()), channel="any", given=False), left_out):
            if row["problem"]:
                rejects.append(Reject(row["recording_id"], "listen", row["problem"], row["remedy"]))
            else:
                recordings.setdefault(row["recording_id"], []).append(row)
    for name, rows in recordings.items():
        try:
            heard.append(moods_of(rows, classify, rate))
        except BadInput as problem:
            rejects.append(Reject(name, "listen", problem.reason, problem.remedy))
    rejects += [failure for recording in heard for failure in recording.failures]
    show.say_left_out(left_out)
    sentences = [sentence for recording in heard for sentence in _spoken_moods(recording)]
    if voice is not None and sentences:
        spoken = synthesise(voice, Line(" ".join(sentences), "", "en", 0))
        if say_to is not None:
            with replacing(say_to) as file:
                write_sound(file, [to_pcm(spoken.samples)], spoken.sample_rate, 1, digest=SPOKEN_MOOD)
        if say_mood:
            from dailytalk_contiguous.models.sound_card import play_sound

            sys.stdout.flush()
            play_sound(spoken.samples, spoken.sample_rate)
    record = {
        "model": classifier.name,
        "affect_model": affect_model,
        "classes": [*classifier.classes],
        "confidence": emotion_confidence,
        "recordings": [
            {
                "recording": as_text(recording.name),
                "seconds": round(recording.seconds, 3),
                "utterances": recording.utterances,
                "speakers": recording.speakers,
            }
            for recording in heard
        ],
        "rejects": [reject.as_dict() for reject in rejects],
        "said": sentences,
        "said_to": as_text(say_to) if say_to is not None and sentences else None,
        "note": NO_DIAGNOSIS,
    }
    details = [detail for recording in heard for detail in _of_recording(recording)]
    return Outcome(
        record,
        f"{counted(len(heard), 'recording')} heard" if heard else "no recording could be heard",
        exit_code(len(heard), len(rejects)),
        [*details, *([f"said in {record['said_to']}"] if record["said_to"] else []), f"note: {NO_DIAGNOSIS}"],
        rejected_of(rejects),
    )


def _of_recording(recording: RecordingMoods) -> list[str | Figures]:
    if not recording.utterances:
        return [as_text(recording.name), "  nobody speaks in it"]
    rows = [
        (f"  {_clock(mood['start'])}–{_clock(mood['end'])}", mood["speaker"], *_cells(mood))
        for mood in recording.utterances
    ]
    lines = [
        "  {}: in all {} ({}), valence {}, arousal {}: ".format(mood["speaker"], *_cells(mood))
        + mood_sentence(mood["emotion"], mood["arousal"])
        for mood in recording.speakers
    ]
    head = ("  time", "who", "emotion", ">sure", ">valence", ">arousal")
    return [as_text(recording.name), Figures(head, rows), *lines]


def _cells(mood: Mood) -> tuple[str, ...]:
    affect = [mood[name] for name in ("valence", "arousal")]
    shown = ["–" if value is None else f"{value:.2f}" for value in affect]
    return mood["emotion"] or "–", f"{mood['confidence']:.0%}", *shown


def _clock(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"


def _spoken_moods(recording: RecordingMoods) -> list[str]:
    if not recording.speakers:
        return [mood_sentence(None)]
    sentences = {mood["speaker"]: mood_sentence(mood["emotion"], mood["arousal"]) for mood in recording.speakers}
    if len(sentences) == 1:
        return [*sentences.values()]
    return [f"On the {speaker}: {sentence}" for speaker, sentence in sentences.items()]


def _voice() -> Synthesiser:
    refusals = []
    for name in ENGINES:
        if engine_named(name).converts:
            continue
        synthesiser = load_synthesiser(name, VoiceSettings("", ""))
        if not synthesiser.server:
            try:
                synthesiser.preflight()
                return synthesiser
            except DailytalkError as error:
                refusals.append(error)
    raise refusals[0]
