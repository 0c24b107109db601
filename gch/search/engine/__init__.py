"""Codes in ClickHouse: on a server or a cluster, or by chDB, the same engine inside this process."""
