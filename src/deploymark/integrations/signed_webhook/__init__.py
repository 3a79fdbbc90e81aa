"""Lets a service of the operator's carry out orders that are posted to it, signed.

What is posted, how it is signed and what each status means is a contract that receivers are written
by: docs/howto/actuators.md. The signature is `crypto.standard_webhooks`, the connection
`emit.guarded`; here is what an order and an answer look like.
"""
