"""The card of a release: its rows, its rejects, and the versions before it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from dailytalk_contiguous.publish.hub.compare import diff_in_words
from dailytalk_contiguous.publish.hub.pushing import Release
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.tables.card import Card, CardFacts, render_card
from dailytalk_contiguous.publish.version import Version, list_versions


def card_of_release(items: Items, defaults: Mapping[str, object], release: Release, version: Version) -> Card:
    """Write the card of a release for `push_version` or `restore_version`.

    Args:
        items: the work folder, or the earlier version that is restored.
        defaults: of `cli.defaults.default_settings`.
        version: the files of the release.

    Raises CardDamaged: see `publish.tables.card.render_card`.
    """
    changes = release.changes.as_dict()
    history = []
    if release.tag:
        today = datetime.now(UTC).date()
        history.append((release.tag, today.isoformat(), diff_in_words(changes)))
    earlier = list_versions(release.repo) if release.before.tags else []
    for listed in earlier:
        if listed.kind == "version":
            date = listed.date.date()
            difference = diff_in_words(listed.changes or {})
            history.append((listed.name, date.isoformat(), difference))
    rejects = list(items.rejects())
    rejects += [reject.as_dict() for reject in release.packed.rejects]
    licence = release.settings.card_licence
    facts = CardFacts(release.repo, release.tag, licence, tuple(history), changes)
    return render_card(release.before.card, release.packed, version, facts, items.run, defaults, rejects)
