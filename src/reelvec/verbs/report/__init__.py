"""`reelvec report`: a run as one HTML page that opens offline."""

from reelvec.verbs.report.make import report

__all__ = ["report"]
