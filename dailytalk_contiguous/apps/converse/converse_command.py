"""`dailytalk converse`: a spoken conversation with recognised emotion, kept as training data."""

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from dailytalk_contiguous.apps.converse import sound_blocks, talk_setup
from dailytalk_contiguous.apps.converse.talk import Talk, TalkEvent
from dailytalk_contiguous.apps.converse.talk_record import TalkRecord
from dailytalk_contiguous.apps.converse.talk_screen import TalkScreen
from dailytalk_contiguous.apps.converse.talk_settings import TalkSettings
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Console, Panel, as_json, opened, option, visible
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome, to_run
from dailytalk_contiguous.core.own_file import is_own_file
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.models.engines import engine_named
from dailytalk_contiguous.models.profiles import EMBEDDED

CONVERSE_SETTINGS = cli_options.setting_options(TalkSettings())


@cli_options.with_options(CONVERSE_SETTINGS, cli_options.VOICE_FILES)
def converse(
    profile: str = cli_options.profile_option(EMBEDDED),
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
        "Microphone and loudspeaker, by name or number.",
        metavar="NAME",
        show_default="the system's",
    ),
    headphones: bool = option(
        False, Panel.RUN, "You wear headphones: the microphone stays open while the voice speaks.", "--headphones"
    ),
    web: bool = option(False, Panel.RUN, "Talk in a page of your browser.", "--web"),
    port: int = cli_options.PORT,
    no_browser: bool = cli_options.NO_BROWSER,
    consent: bool = option(
        False, Panel.VOICE, "The speaker of clone:FILE has agreed; nobody is asked.", "--consent"
    ),
    **options: Any,
) -> Outcome:
    """Talk with this machine: it hears words and emotion.

    It answers, and speaks. Each talk is kept in --out as stereo sound with its words, the voice on the left and
    you on the right, ready for `check` and `export`. Ctrl-C ends the talk. An emotion is a guess from sound, and
    no diagnosis. Nothing leaves this machine unless a service is chosen, whose name is shown first.
    """
    cli_options.on_this_machine("--out", out)
    if web and (input or sound_device):
        raise DailytalkError(
            f"{'--input' if input else '--sound-device'} does not go with --web",
            "leave one of them out: the page has a microphone of its own",
        )
    (settings,) = with_settings((TalkSettings(),), cli_options.chosen(options, CONVERSE_SETTINGS))
    settings = settings.of(profile)
    if is_own_file(settings.tts):
        defaults = engine_named(settings.tts).options
        shared = cli_options.chosen(options, CONVERSE_SETTINGS)
        (of_voice,) = with_settings((defaults,), shared | cli_options.own_of(options, defaults))
        settings = replace(settings, options=of_voice)
    console = Console(stderr=as_json())
    instructions = talk_setup.read_instructions(system)

    def ask(question: str) -> bool:
        return consent or (sys.stdin.isatty() and typer.confirm(visible(question), default=False))

    voice = talk_setup.TalkVoice(settings, ask)
    blocks: sound_blocks.SoundBlocks
    page = None
    if web:
        try:
            from dailytalk_contiguous.apps.converse.talk_page import TalkPage
        except ImportError as error:
            raise DailytalkError(
                f"dailytalk converse --web needs {error.name}", "pip install 'dailytalk-contiguous[converse]'"
            ) from None
        blocks = TalkPage(port)
        page = blocks
    elif input:
        blocks = sound_blocks.FileBlocks(input)
    else:
        blocks = sound_blocks.DeviceBlocks(sound_device)
    closes = blocks.echoes and not headphones
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
    for note in notes:
        console.detail(f"note: {note}")
    console.detail(f"microphone: {blocks.name}")
    screen = TalkScreen(console)

    def show(event: TalkEvent) -> None:
        screen.show(event)
        if page:
            page.show(event)

    with screen:
        talk = Talk(settings, parts, blocks, show, record, closes)
        if page:
            page.serve(talk, f"{privacy[:1].upper()}{privacy[1:]}.")
            console.detail(f"page: {page.address}")
            if not no_browser and not opened(page.hand_over()):
                talk.say("no browser could be opened: open that address in one")
        try:
            talk.run()
        except KeyboardInterrupt:  # how a talk ends
            interrupts.answered()
    kept = talk.kept
    return Outcome(
        {"talk": kept and str(kept), "seconds": round(talk.time, 3)},
        f"kept: {kept or ('nothing: nobody spoke' if record else 'nothing')}",
        details=[f"talked: {length_text(talk.time)}"],
        next=to_run("check", out) if kept else "",
    )
