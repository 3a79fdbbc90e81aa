"""The side door: clients of other systems, each in its own dialect (`ports.dialect`).

Mounts their routes at the root beside the operations, finds out who calls, hands what they say to
admission as the gateway, and answers as they expect. What a request means is a vendor's folder's
to say, under `integrations`.
"""
