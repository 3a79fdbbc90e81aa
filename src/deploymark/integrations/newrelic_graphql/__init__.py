"""New Relic's CLI, its action and its libraries, which record changes over NerdGraph.

`routes` is the table, `document` reads GraphQL, `translation` says what a change means.
Source: docs.newrelic.com, "Change tracking GraphQL API".
"""

from deploymark.integrations.newrelic_graphql.routes import DIALECT

__all__ = ["DIALECT"]
