"""datadog-ci deployment gate, which our gate answers.

`routes` is the table, `translation` says how a question and an answer look there.
Source: docs.datadoghq.com/api/latest/deployment-gates, and datadog-ci 5.25.
"""

from deploymark.integrations.datadog_gate.routes import DIALECT

__all__ = ["DIALECT"]
