"""Codes in ClickHouse: on a server or a cluster, or in chDB, the same engine inside this process."""
