"""Argo Rollouts: a rollout that Argo runs is promoted, held at a weight, or taken back.

Argo stays the one that moves traffic. What is written is what its own kubectl plugin writes:
`status.promoteFull`, `status.abort`, an empty `status.pauseConditions`; and the image in
`spec.template` where a rollout that has ended is to be undone. `state` reads what Argo says and
decides what is so, `actuator` is the port. A Rollout is an object of Kubernetes, and is reached by
the adapter of Kubernetes.
"""
