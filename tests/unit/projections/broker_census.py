"""Counts a world of the broker's stories for the metrics."""

import pathlib
from contextlib import closing
from tempfile import TemporaryDirectory

from broker_reading import broker_views, expectations_of
from broker_world import World
from projected_log import compiled_once

from deploymark.projections.broker.census import MAX_RUNNING, BrokerCensus, Census
from deploymark.projections.database import open_views
from deploymark.projections.runner import Runner
from deploymark.testing.meter import ListMeter


def census_of(world: World, most: int = MAX_RUNNING) -> Census:
    """Let new views read the whole log of a world, and count."""
    with (
        TemporaryDirectory(prefix="census-") as folder,
        closing(compiled_once(open_views(pathlib.Path(folder) / "views.db"))) as views,
    ):
        Runner(world.store, views, broker_views(world.settings), ListMeter()).catch_up()
        return BrokerCensus(views, expectations_of(world.settings), most).take()
