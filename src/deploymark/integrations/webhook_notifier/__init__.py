"""A webhook of anybody's, told what people should know, with a signature.

`message` says a group of alerts as a document, and `notifier` is the port over it.
"""
