"""Recommendations for fashion retail: from a shop's tables to twelve articles for every customer.

The folders follow the way of the data, and each imports only from those before it::

    engine      how work is run over partitions and written to disk
    data        schema, ingest, ``Dataset`` and the time protocol, the synthetic shop
    evaluation  metrics, intervals, the backtest, the protocol of every recommender
    models      one file a model

Over them stand ``pipeline`` (the stages of a run), ``report``, ``config`` and ``cli``.
"""

__version__ = "0.1.0"
