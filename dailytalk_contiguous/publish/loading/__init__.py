"""Published versions as training code wants them: stereo samples, windows, checksums, streams that resume."""
