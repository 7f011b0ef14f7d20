"""How many words of an export the trainer of Moshi loses or cuts.

Builds conversations from each FOLDER of recordings (the bundled ones unless given; the embedded profile and its
voice; a work folder is taken as it is), exports either side, and reads the export by the contract of moshi-
finetune: every 80 ms frame holds one token, the tokens of a word begin in the frame of its start, and the next
word takes over in its own. Prints the words lost and cut as they are in the dataset, after an export, and after
one with the tokenizer. Exits with 1 where an export loses a word, or the last cuts more than 2 %.

Without --tokenizer FILE the tokenizer is a stand-in of the size of Moshi's: 32,000 pieces, trained on the words
that pocketsphinx knows, as often as its language model expects them.

    python benchmarks/moshi_words.py [FOLDER ...] [--tokenizer FILE]
"""

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measuring import EXAMPLES, dailytalk, judged, parser, print_table

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items

try:
    import pocketsphinx
    import sentencepiece
except ImportError:
    sys.exit("this benchmark needs two packages: pip install pocketsphinx sentencepiece")

#: Frames of Mimi in a second, the label of Moshi's side, and the pieces of its tokenizer.
FRAME_RATE = 12.5
MAIN = "SPEAKER_MAIN"
PIECES = 32000

#: Goals: words lost, and share of words cut.
MOST_LOST = 0
MOST_CUT = 0.02

#: A word as it is in an export: text, start and end in seconds, speaker.
Aligned = tuple[str, tuple[float, float], str]


def main() -> int:
    own = parser(__doc__)
    own.add_argument("folders", nargs="*", type=Path, default=[EXAMPLES], metavar="FOLDER")
    own.add_argument("--tokenizer", type=Path, metavar="FILE", help="the SentencePiece model of your Moshi")
    chosen = own.parse_args()
    rows = []
    met = True
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = chosen.tokenizer or stand_in(Path(scratch) / "stand-in.model")
        model = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer))

        def count(word: str) -> int:
            return len(model.encode(word.strip()))

        for number, folder in enumerate(chosen.folders):
            work = folder if (folder / "dataset").is_dir() else build(folder, Path(scratch) / f"work{number}")
            for swap in (False, True):
                out = Path(scratch) / f"{number}-{swap}"
                side = CHANNELS[swap]
                write_export(open_items(work).rows(), out / "plain", MOSHI, main=side)
                write_export(open_items(work).rows(), out / "fitted", MOSHI, main=side, tokenizer=str(tokenizer))
                before = read(unplaced(work, side), count)
                plain = read(exported(out / "plain"), count)
                fitted = read(exported(out / "fitted"), count)
                name = f"{folder.resolve().name}, {'kept' if swap else 'resynthesised'}"
                shown = [f"{lost}, {cut / total:.1%}" for total, lost, cut in (before, plain, fitted)]
                rows.append([name, str(before[0]), *shown])
                met &= plain[1] <= MOST_LOST and fitted[1] <= MOST_LOST and fitted[2] <= MOST_CUT * fitted[0]
    print_table(("side", "words", "as built: lost, cut", "exported", "--tokenizer"), rows)
    return 0 if judged(f"goals (0 words lost, at most {MOST_CUT:.0%} cut with the tokenizer)", met) else 1


def build(recordings: Path, work: Path) -> Path:
    """A work folder of finished conversations."""
    options = ("--profile", "embedded", "--language", "en", "--on-failure", "keep-original")
    dailytalk("build", recordings, "--out", work, *options)
    return work


def stand_in(path: Path) -> Path:
    """A tokenizer of English of the size of Moshi's."""
    folder = Path(pocketsphinx.get_model_path()) / "en-us"
    # Its logarithms have the base 1.0001.
    language = pocketsphinx.NGramModel(pocketsphinx.Config(), pocketsphinx.LogMath(), str(folder / "en-us.lm.bin"))
    lines = (folder / "cmudict-en-us.dict").read_text(encoding="utf-8").splitlines()
    words = {line.split()[0] for line in lines if "(" not in line.split()[0]}
    spelled = path.with_suffix(".tsv")
    with spelled.open("w", encoding="utf-8") as file:
        for word in sorted(words):
            often = round(1e8 * math.exp(language.prob([word]) * math.log(1.0001)))
            for form, times in ((word, often), (word.capitalize(), often // 10)):
                if times:
                    file.write(f"{form}\t{times}\n")
    sentencepiece.SentencePieceTrainer.train(
        input=str(spelled),
        input_format="tsv",
        model_prefix=str(path.with_suffix("")),
        vocab_size=PIECES,
        hard_vocab_limit=False,
        seed_sentencepiece_size=80_000,
        num_sub_iterations=1,
        required_chars=".,?!;:-…0123456789'",
        minloglevel=2,
    )
    return path


def unplaced(work: Path, side: str) -> Iterator[list[Aligned]]:
    """The words of Moshi's side of each conversation, as they are in the dataset."""
    for row in open_items(work).rows():
        words = [word for word in row["alignments"] if word["speaker"] == side]
        yield [(word["word"], (round(word["start"], 6), round(word["end"], 6)), MAIN) for word in words]


def exported(data: Path) -> Iterator[list[Aligned]]:
    """The words of each file of a training folder."""
    for path in sorted(data.rglob("data_stereo/*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))["alignments"]


def read(files: Iterator[list[Aligned]], count: Callable[[str], int]) -> tuple[int, int, int]:
    """Words, those of which the trainer sees no token, and those of which it sees only some."""
    total = 0
    lost = 0
    cut = 0
    for words in files:
        own = [word for word in words if word[2] == MAIN and word[1][0] < word[1][1]]
        total += sum(word[2] == MAIN for word in words)
        lost += sum(word[2] == MAIN for word in words) - len(own)
        shown = [0] * len(own)
        newest = -1
        place = 0
        for frame in range(math.ceil(own[-1][1][1] * FRAME_RATE) + 100 if own else 0):
            while place < len(own) and own[place][1][0] * FRAME_RATE < frame + 1:
                newest = place
                place = place + 1
            if newest >= 0 and shown[newest] < count(own[newest][0]):
                shown[newest] += 1
        lost += sum(not tokens for tokens in shown)
        cut += sum(0 < tokens < count(word[0]) for tokens, word in zip(shown, own, strict=True))
    return total, lost, cut


if __name__ == "__main__":
    sys.exit(main())
