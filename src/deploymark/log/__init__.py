"""The tamper-evident log: one writer, many readers, verifiable by strangers.

Pure modules think (`tree`, `tiles`, `proof`, `checkpoint`, `receipt`, `policy`, `witness`);
`sequencer`, `publisher`, `reader`, `fsck` and `export` act through the ports. What an entry *says*
is none of this room's business beyond its identity: it sees leaves, bytes and signatures.

Formats: RFC 6962 hashing; c2sp.org/tlog-tiles, tlog-checkpoint, tlog-proof, tlog-policy,
tlog-witness.
"""
