"""Admission: what must hold before an entry may stand in the log.

`receive` runs the numbered steps for envelopes; `authority` replays the keys and has the last
word in the writer's thread. HTTP, tokens and occurrences are not here yet.
"""
