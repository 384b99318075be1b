"""The live service: a bundle of what a run has learned, and the HTTP answers made from it.

>>> from modiste.service.export import export_bundle
>>> export_bundle("run", "bundle")  # doctest: +SKIP
"""
