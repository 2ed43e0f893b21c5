"""Channel adapters: one file a provider, each turning a `Delivery` into an `Outcome`.

Nothing in here knows of queues, tables, settings or retries. See `adapters.contract` for the seam.
"""
