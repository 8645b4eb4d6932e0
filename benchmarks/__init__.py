"""Throughput, latency, memory and start of the agent beside its peers; see README.md."""
