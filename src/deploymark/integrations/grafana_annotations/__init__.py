"""Writers of Grafana annotations: Argo CD, Flux, Ansible, grafana-client, and many a script.

`routes` is the table, `translation` says what an annotation means and how one is shown.
Source: grafana.com/docs/grafana/latest/developers/http_api/annotations.
"""

from deploymark.integrations.grafana_annotations.routes import DIALECT

__all__ = ["DIALECT"]
