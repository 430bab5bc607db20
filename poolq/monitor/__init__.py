"""Reading a pool, in any process: snapshot, rates, alerts, health, metrics. Nothing is changed."""
