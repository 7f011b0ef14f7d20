"""The measures of quality of a corpus as histograms, with the limits in them: where thresholds are chosen.

One picture, because a limit is a trade between measures: what is soft is noisy too. The scale of counts is
logarithmic, or the few clips that a limit is about would not be seen beside thousands of good ones.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.engine.files import write_bytes

#: Measures with a limit: what is written under them, and the names of their limits.
MEASURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "duration": ("duration (s)", ("shortest", "longest")),
    "snr_db": ("signal-to-noise ratio (dB)", ("lowest_snr_db",)),
    "clipping_ratio": ("clipped share", ("most_clipping",)),
    "bandwidth_hz": ("bandwidth (Hz)", ("lowest_bandwidth_hz",)),
    "speech_ratio": ("share of speech", ("lowest_speech_ratio",)),
    "silence_seconds": ("longest silence inside (s)", ("longest_silence",)),
}


def plot_quality(rows: Sequence[Mapping[str, Any]], limits: QualityLimits, path: Path) -> None:
    """Write a PNG of the measures of rows (null left out), with dashed lines at the limits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    for place, (name, (label, of)) in enumerate(MEASURES.items(), 1):
        axes = figure.add_subplot(2, 3, place)
        values = [row[name] for row in rows if row[name] is not None]
        if values:
            axes.hist(values, bins=40, color="#4c72b0")
            axes.set_yscale("log")
        axes.set_xlabel(f"{label}, {len(rows) - len(values)} unknown" if len(values) < len(rows) else label)
        for limit in of:
            if (value := getattr(limits, limit)) is not None:
                axes.axvline(value, color="#c44e52", linestyle="--")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    write_bytes(path, file.getvalue())
