"""Shifts traffic by the weights of an Envoy that reads its routes from a file.

`routes` is the file and what stands in it, `admin` asks Envoy what it really does, and `actuator`
is the port over them. The file belongs to the operator; only weights in it are changed.
"""
