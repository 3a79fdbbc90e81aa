"""What deploymark talks about, as plain values: markers, the other entries, their ids and bytes.

The room sits on `errors` and below everything else. It has no clock, no I/O and no randomness, so
each rule here gives the same answer in the SDK, in the server and in a replay years later.

* Standard library only, because the emitter uses them: `canonical`, `instants`, `lengths`,
  `vocabulary`, `ids`, `equality`, `statement`.
* With msgspec: `limits` (sizes and grammars of fields), `reading` (bytes to values, every fault
  named), `envelope`, `marker`, `entries`, `leaf`, `versions`, `schema`.

It verifies no signature (`crypto`), decides no occurrence (`ingest`) and stores nothing.
"""
