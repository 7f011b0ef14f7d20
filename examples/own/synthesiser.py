"""A voice of tones: `dailytalk speak work --tts synthesiser.py`. Run with python it is a recipe, too."""

import numpy as np

from dailytalk_contiguous import Engine, Licence, Spoken, Synthesiser, run_recipe, speak_stages, tag_stages


class Tones(Synthesiser):
    deterministic = True

    def __init__(self, chosen):
        self.voice = chosen.voice

    def speak(self, line, *_):
        return Spoken(np.float32(np.sin(0.06 * np.arange(1680 * len(line.text))) / 10), 24000, None, 0.0)


ENGINE = Engine("tones", Tones, Licence("CC0-1.0", ""), voice="low")

if __name__ == "__main__":
    run_recipe("calls", "work", tag_stages("embedded", language="en"), speak_stages("embedded", tts=__file__))
