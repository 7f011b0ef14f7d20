"""The corpora by name, and a person's own."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.corpora.acted import Ravdess, Savee, Tess
from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus, CorpusConfig, count_differences
from dailytalk_contiguous.apps.clips.corpora.crema_d import CremaD
from dailytalk_contiguous.apps.clips.corpora.dailytalk import DailyTalk
from dailytalk_contiguous.apps.clips.corpora.esd import Esd
from dailytalk_contiguous.apps.clips.corpora.msp_podcast import MspPodcast
from dailytalk_contiguous.apps.clips.corpora.own_clips import Clips
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.own_file import from_own_file
from dailytalk_contiguous.core.schema import Row

_PUBLISHED: tuple[type[Corpus], ...] = (Clips, CremaD, DailyTalk, Esd, MspPodcast, Ravdess, Savee, Tess)

CORPORA: dict[str, type[Corpus]] = {corpus.NAME: corpus for corpus in _PUBLISHED}


def corpus_named(name: str) -> type[Corpus]:
    """The builder of a corpus. Raises DailytalkError for an unknown name."""
    if name not in CORPORA:
        raise BadValue(f"there is no corpus {name!r}", f"choose one of {', '.join(sorted(CORPORA))}")
    return CORPORA[name]


def own_corpus(file: str) -> str:
    """Add the corpus of clips in a person's own file to the table; returns its name.

    Raises DailytalkError as `from_own_file` does, and for a class that is no corpus, or has the name of another.
    """
    corpus = from_own_file("corpus", file, "CORPUS", type, "CORPUS = MyCorpus")
    name, about = getattr(corpus, "NAME", None), getattr(corpus, "ABOUT", None)
    is_corpus = issubclass(corpus, Corpus) and (corpus.PATTERN or "reader" in vars(corpus))
    if not is_corpus or not isinstance(name, str) or not isinstance(about, About):
        reason = f"corpus {file!r}: its CORPUS is no Corpus with a NAME, an ABOUT and a PATTERN"
        raise DailytalkError(reason, "see docs/extending.md, Add a corpus")
    if CORPORA.get(name, corpus) is not corpus:
        raise DailytalkError(f"corpus {file!r}: there is a corpus {name!r}", "give it another name")
    CORPORA[name] = corpus
    return name


def corpus_rows(name: str, source: Path, **options: Any) -> Iterator[Row]:
    """The rows of the corpus `name` that is in `source`, one at a time; `options` are those of `CorpusConfig`.

    Raises DailytalkError for an unknown name, and as `Corpus.rows` does.
    """
    yield from corpus_named(name).rows(CorpusConfig(source=str(source), **options))


def count_check(name: str, rows: Iterable[Row]) -> list[str]:
    """Return sentences on how rows differ from the published counts (missing parts are no error)."""
    corpus = corpus_named(name)
    return count_differences(name, corpus.PUBLISHED, ((corpus.part_of(row), row) for row in rows))
