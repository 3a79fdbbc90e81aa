"""Alertmanager, told what people should know over its API v2.

`message` says an alert in its words, and `notifier` is the port over them.
"""
