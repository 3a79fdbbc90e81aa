"""What running software reports: OpenTelemetry in, counts and slow traces per deployment out.

The room stands between `ingest` and `projections`. Resources become ordinary `running` markers
through admission; everything else is disposable evidence in a bounded store, and never the log.
It reads OTLP over HTTP only. It correlates nothing and judges nothing.
"""
