"""The formats of transcripts: each reads its files into records."""
