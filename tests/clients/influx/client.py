"""influxdb-client (2.x) and influxdb (1.x): client.py HOST PORT"""

import sys

from influxdb import InfluxDBClient as One
from influxdb_client import InfluxDBClient as Two
from influxdb_client import Point
from influxdb_client.client.write_api import SYNCHRONOUS

host, port = sys.argv[1:3]
with Two(url=f"http://{host}:{port}", token="t", org="o") as two:
    assert two.ping() and two.health().status == "pass"
    point = Point("second").tag("host", "a").field("value", 1.5).field("n", 3)
    two.write_api(write_options=SYNCHRONOUS).write("bucket", "o", point)

one = One(host, int(port), database="d")
one.ping()
one.create_database("d")
fields = {"value": 2.5, "text": "x", "ok": True}
one.write_points([{"measurement": "first", "tags": {"host": "a b"}, "fields": fields}])
