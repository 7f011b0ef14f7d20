"""Sampling of rows: a random order that depends on ids, and groups that stay together.

Every choice is by a hash of an id and a seed: neither the order of rows nor how work is cut changes it.
"""

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

#: How often at most a clip is listed.
MOST_WEIGHT = 4.0


def order_key(name: str, seed: int) -> str:
    """Return the position of a name in a random order that depends on it and the seed alone."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


def joined_groups(keys: Sequence[Sequence[Hashable]]) -> NDArray[np.intp]:
    """Return the number of each item's group; items that share a key at one position are in one, over any steps.

    >>> joined_groups([("a", 1), ("b", 2), ("a", 3), ("c", 3)]).tolist()
    [0, 1, 0, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[tuple[int, Hashable], int] = {}
    items: list[int] = []
    nodes: list[int] = []
    for item, item_keys in enumerate(keys):
        for column, key in enumerate(item_keys):
            number = numbers.setdefault((column, key), len(numbers))
            items.append(item)
            nodes.append(len(keys) + number)
    size = len(keys) + len(numbers)
    ends = (np.array(items, np.intp), np.array(nodes, np.intp))
    graph = coo_array((np.ones(len(items)), ends), shape=(size, size))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups[: len(keys)], np.intp)
