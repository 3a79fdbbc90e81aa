"""Whether a new release is as good as the one that runs: evidence from counts, and a verdict.

The room stands above `projections`. It is given counts of canary and control, look by look, and
says pass, fail or inconclusive, with reasons and a score. It reads nothing, has no clock, and does
nothing about its verdicts: adapters bring the counts, and whoever acts has guards of their own.

`assessment` is where to start; `replay` shows that a verdict follows from what was kept of it.
"""
