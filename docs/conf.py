"""How Sphinx builds these pages; `make docs` runs it with every warning an error."""

from importlib.metadata import version as installed_version

project = "deploymark"
author = "The deploymark authors"
copyright = author  # noqa: A001 - Sphinx reads this name
release = installed_version("deploymark")

extensions = ["myst_parser", "sphinx.ext.doctest"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = "deploymark"
html_show_sphinx = False
html_copy_source = False
