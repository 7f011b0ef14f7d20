"""Style: buckets, emotions and tags, and the choice among takes and clips."""
