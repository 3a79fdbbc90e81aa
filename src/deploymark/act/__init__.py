"""What follows from verdicts: rollouts go on, stop or go back, through guards; people hear of it.

The room stands above `judge`. Its thinking (`plan`, `rollout`, `facts`, `guards`, `decide`) is
pure; `controller` looks again and again at how things are and how they should be, and `execute`
carries out what was decided and logged, once. Nothing here is remembered beside the log: after a
restart the same entries lead to the same step.
"""
