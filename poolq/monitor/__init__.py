"""Reads a pool, from any process: snapshot, rates, alerts, health, metrics. Changes nothing."""
