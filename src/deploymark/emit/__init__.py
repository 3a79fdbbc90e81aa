"""Says that a deployment happens, without ever hurting it: number, keep, return, deliver later.

A marker is drafted and numbered (`draft`), signed when there is a key (`signing`), appended to a
journal on disk (`journal`, `spool`) and posted by a background thread (`sender`), as HTTP (`http1`)
over a connection of its own (`connection`), to a server that is not trusted (`delivery`).
`emitter` ties these together, `deploying` wraps a deploy, `process` holds the one emitter of this
process, `ci` recognises where it runs. `host` alone reads environment, clock, process and name of
the host; `settings` is what it was told.

The room sits below the server and above the model. Standard library only, `cryptography` when a
key signs. Every deploy job starts it anew, so what only some need (`ssl`, keys, proxies) is loaded
when it is needed. It verifies nothing and knows no store of the server. `guarded` is
for adapters that tell others than the server something, by the same careful connection.
"""
