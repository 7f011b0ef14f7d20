"""`dailytalk converse`: a spoken conversation with recognised emotion, kept as training data."""

import select
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from dailytalk_contiguous.apps.converse import sound_blocks, talk_setup
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_screen import TalkScreen, latency_text, median_steps
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import AS_JSON, Console, Panel, opened, option, visible
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome, exit_code, rejected_of, to_run
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE
from dailytalk_contiguous.models.contracts import Line
from dailytalk_contiguous.models.engines import ENGINES, engine_named
from dailytalk_contiguous.models.profiles import EMBEDDED, STANDARD

CONVERSE_SETTINGS = cli_options.setting_options(TalkSettings())


@cli_options.with_options(CONVERSE_SETTINGS)
def converse(
    profile: str = cli_options.profile_option("", STANDARD),
    input: list[Path] | None = option(
        None,
        Panel.INPUT,
        "A sound file in place of the microphone; of several, each waits for its answer.",
        "--input",
        metavar="FILE",
    ),
    out: Path = cli_options.out_option(Path("talks")),
    no_save: bool = option(False, Panel.INPUT, "Keep nothing of the talk.", "--no-save"),
    system: Path | None = option(
        None, Panel.MODELS, "File with instructions for the chat model.", metavar="FILE", show_default="ours"
    ),
    sound_device: str = option(
        "",
        Panel.INPUT,
        "Microphone and loudspeaker, by name or number (see --sound-devices).",
        metavar="NAME",
        show_default="the system's",
    ),
    list_devices: bool = option(
        False, Panel.INPUT, "List microphones and loudspeakers, and end.", "--sound-devices"
    ),
    headphones: bool = option(
        False, Panel.RUN, "You wear headphones: the microphone stays open while the voice speaks.", "--headphones"
    ),
    push_to_talk: bool = option(False, Panel.RUN, "Enter begins and ends what you say.", "--push-to-talk"),
    web: bool = option(False, Panel.RUN, "Talk in a page of your browser.", "--web"),
    port: int = cli_options.PORT,
    no_browser: bool = cli_options.NO_BROWSER,
    consent: bool = option(
        False, Panel.VOICE, "The speaker of clone:FILE has agreed; nobody is asked.", "--consent"
    ),
    as_json: bool = AS_JSON,
    **options: Any,
) -> Outcome:
    """Talk with this machine: it hears words and emotion.

    It answers, and speaks. Each talk is kept in --out as stereo sound with its words, the voice on the left and
    you on the right, ready for `check` and `export`. Type clear and Enter to start afresh; Ctrl-C ends the talk.
    An emotion is a guess from sound, and no diagnosis. Nothing leaves this machine unless a service is chosen:
    with the profile standard, Fish Audio speaks. Where it can't, you are told who can.
    """
    if list_devices:
        devices = sound_blocks.sound_devices()
        headline = counted(len(devices), "sound device") if devices else "no sound device is there"
        return Outcome({"devices": devices}, headline, 0 if devices else 1, devices)
    cli_options.on_this_machine("--out", out)
    if push_to_talk and input:
        raise DailytalkError("--push-to-talk does not go with --input", "leave one of them out")
    if web and (input or sound_device):
        raise DailytalkError(
            f"{'--input' if input else '--sound-device'} does not go with --web",
            "leave one of them out: the page has a microphone of its own",
        )
    (settings,) = with_settings((TalkSettings(),), cli_options.chosen(options, CONVERSE_SETTINGS))
    settings = settings.of(profile or STANDARD) if profile or settings.tts else _with_voice(settings)
    console = Console(stderr=as_json)
    instructions = talk_setup.read_instructions(system)

    def ask(question: str) -> bool:
        return consent or (sys.stdin.isatty() and typer.confirm(visible(question), default=False))

    voice = talk_setup.TalkVoice(settings, None if no_save else out, ask)
    blocks: sound_blocks.SoundBlocks
    page = files = None
    if web:
        try:
            from dailytalk_contiguous.apps.converse.talk_page import TalkPage
        except ImportError as error:
            raise DailytalkError(
                f"dailytalk converse --web needs {error.name}", "pip install 'dailytalk-contiguous[converse]'"
            ) from None
        blocks = page = TalkPage(port)
    elif input:
        blocks = files = sound_blocks.FileBlocks(input)
    else:
        blocks = sound_blocks.DeviceBlocks(sound_device)
    closes = blocks.echoes and not headphones and not push_to_talk
    parts = talk_setup.open_parts(settings, voice, instructions)
    about = talk_setup.about_talk(settings, parts, voice)
    name = datetime.now().strftime("talk-%Y%m%d-%H%M%S")
    record = None if no_save else TalkRecord(out, name, about, blocks.lag)
    privacy = "nothing leaves this machine"
    if about["services"]:
        privacy = f"what you say goes to {' and '.join(about['services'])}; nothing else leaves this machine"
    notes = [privacy, "an emotion is a guess from sound, and no diagnosis"]
    if closes:
        notes.append("the microphone is closed while the voice speaks; with --headphones you may speak over it")
    if push_to_talk and not web:
        notes.append("press Enter, speak, and press Enter again")
    for note in notes:
        console.text(f"note: {note}")
    console.text(f"microphone: {blocks.name}")
    screen = TalkScreen(console)

    def show(event: TalkEvent) -> None:
        screen.show(event)
        if page:
            page.show(event)

    with screen:
        talk = Talk(settings, parts, blocks, show, record, push_to_talk, closes)
        if page:
            page.serve(talk, f"{privacy[:1].upper()}{privacy[1:]}.", push_to_talk)
            console.text(f"page: {page.address}")
            if not no_browser and not opened(page.hand_over()):
                talk.say("no browser could be opened: open that address in one")
        if sys.stdin.isatty() or (push_to_talk and not web):
            threading.Thread(target=_obey_lines, args=(talk,), name="lines", daemon=True).start()
        try:
            talk.run()
        except KeyboardInterrupt:  # how a talk ends
            interrupts.answered()
    rejects = files.rejects if files else []
    medians, kept = median_steps(talk.latencies), talk.kept
    return Outcome(
        {
            "talk": kept and str(kept),
            "seconds": round(talk.time, 3),
            "replies": len(talk.latencies),
            "median_seconds_after_speech": medians,
            "rejects": [reject.as_dict() for reject in rejects],
        },
        f"kept: {kept or ('nothing: nobody spoke' if record else 'nothing')}",
        exit_code(len(input or ()) - len(rejects), len(rejects)) if rejects else 0,
        details=[
            f"talked: {length_text(talk.time)}, {counted(len(talk.latencies), 'answer')}",
            *([f"medians: {latency_text(medians)}"] if medians else []),
        ],
        rejected=rejected_of(rejects, "file"),
        next=to_run("check", out) if kept else "",
    )


def _with_voice(settings: TalkSettings) -> TalkSettings:
    """The settings of the standard profile. Raises DailytalkError, with what else speaks, if its voice can't."""
    try:
        talk_setup.synthesiser_of(standard := settings.of(STANDARD))
        return standard
    except DailytalkError as error:
        refusal = error
    commands = list[str]()
    for engine in ENGINES:  # those that need no service, or one of this machine
        voice = settings.voice or engine_named(engine).voices.get("any", "")
        with suppress(DailytalkError):
            synthesiser = talk_setup.synthesiser_of(replace(settings, tts=engine, voice=voice))
            if not synthesiser.price([Line("Hello.", "", settings.language, 0)]):
                named = ["--voice", voice] if voice else []
                commands.append(to_run("converse", "--profile", EMBEDDED, "--tts", engine, *named))
    without = " or ".join(commands) or INSTALL_OFFLINE
    raise DailytalkError(refusal.reason, f"{refusal.remedy}; or without it: {without} (see docs/voices.md)")


def _obey_lines(talk: Talk) -> None:
    """Read lines of the terminal: `clear`, and Enter for push-to-talk."""
    with suppress(OSError, ValueError):  # the terminal is gone
        while True:
            ready, _, _ = select.select([sys.stdin], [], [], 0.5)
            line = sys.stdin.readline() if ready else None
            if line == "":
                return
            if line is None:
                continue
            if line.strip().lower() == "clear":
                talk.later(talk.clear)
            elif not line.strip():
                talk.later(talk.press)
            else:
                talk.later(talk.say, "type clear to start afresh, or end with Ctrl-C")
