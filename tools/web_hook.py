"""The build hook of hatch: puts the built web page into the wheel and the sdist.

Assets that exist are taken as they are, so that an sdist installs without Node.js. Without them
they are built (tools/web_build.py), and a build that cannot do that fails: no wheel leaves without
its page. An editable install, which is how the project is worked on, goes without.
"""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

import web_build


class PageHook(BuildHookInterface):  # type: ignore[misc]
    """Called by hatch before it gathers files."""

    def initialize(self, version: str, _: dict[str, Any]) -> None:
        """Build the page where it is missing."""
        if version == "editable" or web_build.built_from() is not None:
            return
        try:
            web_build.build()
        except web_build.BuildError as error:
            raise RuntimeError(
                f"The web page is not built and cannot be built here: {error}"
            ) from error
        if web_build.built_from() is None:
            raise RuntimeError("The build of the web page left no manifest.")
