"""prometheus_client: client.py push|add|delete ADDRESS"""

import sys

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import (
    basic_auth_handler,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)

verb, address = sys.argv[1:3]
grouping = {"instance": "", "path": "/var/tmp"}


def handler(url, method, timeout, headers, data):
    return basic_auth_handler(url, method, timeout, headers, data, "ann", "wonder")


registry = CollectorRegistry()
if verb == "push":
    Gauge("last_success", "When it was last well.", registry=registry).set(1.5e9)
    Counter("files", "Files that were copied.", ["kind"], registry=registry).labels("a b").inc(3)
    Histogram("copy_seconds", "How long a file took.", registry=registry, buckets=[0.1, 1]).observe(0.5)
    Summary("size", "How long a file was.", registry=registry).observe(7)
    push_to_gateway(address, job="backup", registry=registry, grouping_key=grouping)
elif verb == "add":
    Gauge("last_success", "When it was last well.", registry=registry).set(1.6e9)
    pushadd_to_gateway(address, job="backup", registry=registry, grouping_key=grouping, handler=handler)
else:
    delete_from_gateway(address, job="backup", grouping_key=grouping, handler=handler)
