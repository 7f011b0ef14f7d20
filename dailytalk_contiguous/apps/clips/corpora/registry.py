"""The corpora by name: their rows, their options, and their count check."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from inspect import getattr_static
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.clips.corpora.acted import Ravdess, Savee, Tess
from dailytalk_contiguous.apps.clips.corpora.common import About, Corpus, CorpusConfig
from dailytalk_contiguous.apps.clips.corpora.crema_d import CremaD
from dailytalk_contiguous.apps.clips.corpora.dailytalk import (
    DailyTalk,
    DailyTalkContiguous,
    DailyTalkConversations,
)
from dailytalk_contiguous.apps.clips.corpora.esd import Esd
from dailytalk_contiguous.apps.clips.corpora.msp_podcast import MspPodcast
from dailytalk_contiguous.apps.clips.corpora.own_clips import Clips
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.own_file import from_own_file
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.sources.hub_repository import HubChoice, fetch_tree, open_repository
from dailytalk_contiguous.store.hub import Reference

_CLIPS: tuple[type[Corpus], ...] = (Clips, CremaD, DailyTalk, Esd, MspPodcast, Ravdess, Savee, Tess)
_CONVERSATIONS: tuple[type[Corpus], ...] = (DailyTalkConversations, DailyTalkContiguous)

#: Corpora whose rows are clips (`core.schema.CLIP`), and those whose rows are conversations.
CLIP_CORPORA: dict[str, type[Corpus]] = {corpus.NAME: corpus for corpus in _CLIPS}
CONVERSATION_CORPORA: dict[str, type[Corpus]] = {corpus.NAME: corpus for corpus in _CONVERSATIONS}
CORPORA: dict[str, type[Corpus]] = CLIP_CORPORA | CONVERSATION_CORPORA


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
    is_corpus = issubclass(corpus, Corpus) and getattr_static(corpus, "reader") is not Corpus.__dict__["reader"]
    name, about = getattr(corpus, "NAME", None), getattr(corpus, "ABOUT", None)
    if not is_corpus or not isinstance(name, str) or not isinstance(about, About):
        reason = f"corpus {file!r}: its CORPUS is no Corpus with a NAME, an ABOUT and a reader"
        raise DailytalkError(reason, "see docs/architecture.md, Add a corpus")
    if CORPORA.get(name, corpus) is not corpus:
        raise DailytalkError(f"corpus {file!r}: there is a corpus {name!r}", "give it another name")
    CORPORA[name] = CLIP_CORPORA[name] = corpus
    return name


def corpus_rows(name: str, source: Path, **options: Any) -> Iterator[Row]:
    """The rows of the corpus `name` that is in `source`, one at a time.

    Raises DailytalkError for an unknown name, and as `Corpus.rows` does.
    """
    corpus = corpus_named(name)
    yield from corpus.rows(corpus.BUILDER_CONFIG_CLASS(source=str(source), **options))


#: Endings of the files that a corpus on the Hub is made of, beside its recordings: archives, tables and texts.
_BESIDE = frozenset({".zip", ".csv", ".json", ".txt"})


def corpus_on_hub(name: str, reference: Reference) -> tuple[Path, dict[str, Any]]:
    """Fetch the corpus in a dataset on the Hub; returns its folder, and its facts for run.json.

    Raises DailytalkError for an unknown corpus, a dataset without its files, and as `open_repository` does.
    """
    suffixes = {*corpus_named(name).SUFFIXES, *_BESIDE}
    repository = open_repository(reference, HubChoice())
    return fetch_tree(repository, suffixes), repository.about()


def options_of(name: str) -> set[str]:
    """Names of the options of a corpus except its source."""
    common = {field.name for field in fields(CorpusConfig)}
    return {field.name for field in fields(corpus_named(name).BUILDER_CONFIG_CLASS)} - common


def count_check(name: str, rows: Iterable[Row]) -> list[str]:
    """Return sentences on how rows differ from the published counts (missing parts are no error)."""
    return corpus_named(name).count_check(rows)
