"""The corpora by name, and a person's own."""

from dailytalk_contiguous.apps.clips.corpora.acted import RAVDESS, SAVEE, TESS
from dailytalk_contiguous.apps.clips.corpora.corpus import Corpus
from dailytalk_contiguous.apps.clips.corpora.crema_d import CREMA_D
from dailytalk_contiguous.apps.clips.corpora.dailytalk import DAILYTALK
from dailytalk_contiguous.apps.clips.corpora.esd import ESD
from dailytalk_contiguous.apps.clips.corpora.msp_podcast import MSP_PODCAST
from dailytalk_contiguous.apps.clips.corpora.own_clips import CLIPS
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.machine.own_file import from_own_file

_OF_PACKAGE = (CLIPS, CREMA_D, DAILYTALK, ESD, MSP_PODCAST, RAVDESS, SAVEE, TESS)

CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in _OF_PACKAGE}


def corpus_named(name: str) -> Corpus:
    """The corpus of a name. Raises DailytalkError for an unknown one."""
    return CORPORA[one_of("the corpus", name, CORPORA)]


def own_corpus(file: str) -> str:
    """Add the corpus of clips in a person's own file to the table; returns its name.

    Raises DailytalkError as `from_own_file` does, and for a corpus that has the name of another.
    """
    corpus = from_own_file("corpus", file, "CORPUS", Corpus, "CORPUS = Corpus(…)")
    if CORPORA.setdefault(corpus.name, corpus) is not corpus:
        raise DailytalkError(f"corpus {file!r}: there is a corpus {corpus.name!r}", "give it another name")
    return str(corpus.name)
