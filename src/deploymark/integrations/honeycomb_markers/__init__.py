"""honeymarker and other senders of Honeycomb markers. Source: api-docs.honeycomb.io, "Markers".

`routes` is the table, `translation` says what a marker means and how one is shown.
"""

from deploymark.integrations.honeycomb_markers.routes import DIALECT

__all__ = ["DIALECT"]
