"""Codes in ClickHouse, an engine of many machines that compares bits exactly, for what outgrows one.

The same statements go to a server or a cluster and to chDB, the same engine inside this process.
"""
