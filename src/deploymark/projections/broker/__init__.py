"""The broker: many witnesses, one deployment (spec: identity, "Correlation").

CI claims, the orchestrator applies, the process really runs. Here their words become one record of
each deployment, which says who spoke, by which rule a word was joined, where witnesses disagree and
who is silent.

A *scope* is one service in one environment. Its deployments follow from its markers in the order of
the time at which they are placed (`ingest.sighting.placed_ms`), not in the order of the log:

* `witness`: one marker as the broker hears it;
* `run`: one occurrence of one deployment, and what was heard of it;
* `fit`: the rules by which evidence fits a run;
* `sweep`: takes witnesses in the order of time, one step each, and changes the runs;
* `conditions`: what is wrong with a run, as findings that open and close;
* `scope`: keeps the newest witnesses of a scope, so that late news is put where it belongs;
* `instances`: which instance runs which run, and how well that is known;
* `documents`: runs, instances and findings as the interface shows them.

All of that is pure. `tables` and `view` keep the result in the views' database, `query` reads it.
"""
