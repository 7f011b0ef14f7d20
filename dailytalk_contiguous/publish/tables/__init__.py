"""Tables: the figures of a dataset as a report, a card and the README's."""
