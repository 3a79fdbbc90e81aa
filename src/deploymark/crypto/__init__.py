"""Signatures: who said it, with which key, and was that key good at that index.

DSSE envelopes (`dsse`), C2SP signed notes and cosignatures (`note`, `cosignature`), keys on disk
(`keyfile`), signers by URI (`signer`), and the replay of key entries (`keyring`). This room knows
nothing of trees, stores or HTTP; what a checkpoint means is the business of `deploymark.log`.
"""
